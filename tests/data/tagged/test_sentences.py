"""Words and tags from JSON lines and from the Hub's layout."""

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, Value
from datasets import List as ListFeature

from lit_mlm.data.reading.files import BadRecordError
from lit_mlm.data.reading.readers import Row
from lit_mlm.data.tagged.sentences import (
    TaggedSentence,
    hash_sentences,
    hold_out,
    load_sentences,
    make_sentence,
    read_sentences,
)
from lit_mlm.errors import InputError

NAMES = ["O", "B-PER", "I-PER"]


def save_hub(folder: Path, tags: Any, values: list[Any]) -> str:
    """A folder with a Parquet file, as the Hub has it."""
    features = Features({"tokens": ListFeature(Value("string")), "ner_tags": ListFeature(tags)})
    rows = {"tokens": [["Peter", "Blackburn"], ["is"]], "ner_tags": values}
    folder.mkdir(exist_ok=True)
    Dataset.from_dict(rows, features=features).to_parquet(folder / "train.parquet")
    return str(folder)


@pytest.mark.parametrize(
    ("tags", "values", "names"),
    [
        (ClassLabel(names=NAMES), [[1, 2], [0]], None),
        (Value("string"), [["B-PER", "I-PER"], ["O"]], None),
        (Value("int64"), [[1, 2], [0]], NAMES),
    ],
    ids=["class labels", "strings", "numbers"],
)
def test_hub(tmp_path: Path, tags: Any, values: list[Any], names: list[str] | None) -> None:
    folder = save_hub(tmp_path, tags, values)
    found = list(load_sentences(folder, "train", "tokens", "ner_tags", names=names))
    assert found == [
        TaggedSentence(["Peter", "Blackburn"], ["B-PER", "I-PER"], f"{folder}, train, row 1"),
        TaggedSentence(["is"], ["O"], f"{folder}, train, row 2"),
    ]


def test_hub_without_the_column(tmp_path: Path) -> None:
    folder = save_hub(tmp_path, Value("string"), [["O", "O"], ["O"]])
    with pytest.raises(
        InputError, match=r"no column 'tags', only 'tokens', 'ner_tags'; did you mean data.tags_column ner_tags"
    ):
        list(load_sentences(folder, "train", "tokens", "tags"))


def test_json_lines(tmp_path: Path) -> None:
    rows = [{"words": ["a", ""], "tags": ["O", "B-X"]}, {"words": [], "tags": []}]
    file = tmp_path / "train.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)) + "\n{")
    bad: list[BadRecordError] = []
    found = list(read_sentences(file, "words", "tags", on_bad=bad.append))
    assert found == [
        TaggedSentence(["a", ""], ["O", "B-X"], f"{file}, line 1"),
        TaggedSentence([], [], f"{file}, line 2"),
    ]
    assert str(bad[0]).startswith(f"{file}, line 3: not a JSON object")
    assert found[0].locate(1) == f"{file}, line 1, word 2 ('')"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"token": ["a"], "ner_tags": ["O"]}, "row 1: no column 'tokens', .*did you mean data.words_column token?"),
        ({"tokens": ["a"], "tags": ["O"]}, "row 1: no column 'ner_tags', only 'tokens', 'tags'; .*data.tags_column"),
        ({"tokens": "a", "ner_tags": ["O"]}, "the column 'tokens' must hold a list, got 'a'"),
        ({"tokens": ["a", "b"], "ner_tags": ["O"]}, "row 1: 2 words, but 1 tags"),
        ({"tokens": ["a", 5], "ner_tags": ["O", "O"]}, "row 1, word 2: expected text, got 5"),
        ({"tokens": ["a"], "ner_tags": [None]}, r"row 1, word 1 \('a'\): expected a tag, got None"),
        ({"tokens": ["a"], "ner_tags": [3]}, "the tag is the number 3, but there are 3 names: O, B-PER, I-PER"),
        ({"tokens": ["a"], "ner_tags": [-1]}, "the tag is the number -1, but there are 3 names"),
    ],
)
def test_rows_that_are_not_right(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRecordError, match=message):
        make_sentence(Row("f, row 1", fields), "tokens", "ner_tags", NAMES)


def test_numbers_without_names() -> None:
    advice = "is the number 3, without a name; give all names in order with data.labels$"
    with pytest.raises(BadRecordError, match=advice):
        make_sentence(Row("f, row 1", {"tokens": ["a"], "ner_tags": [3]}), "tokens", "ner_tags")


def test_hash_sees_words_tags_and_documents_but_not_places() -> None:
    sentences = [TaggedSentence(["a"], ["O"], "f", 1, 0), TaggedSentence(["b"], ["O"], "f", 3, 0)]
    moved = [TaggedSentence(["a"], ["O"], "g", 2, 4), TaggedSentence(["b"], ["O"], "g", 7, 4)]
    assert hash_sentences(sentences) == hash_sentences(moved)
    for other in (
        TaggedSentence(["b"], ["O"], "f", 3, 1),
        TaggedSentence(["c"], ["O"], "f", 3, 0),
        TaggedSentence(["b"], ["P"], "f", 3, 0),
    ):
        assert hash_sentences([sentences[0], other]) != hash_sentences(sentences)


def test_whole_documents_are_held_out() -> None:
    sentences = [TaggedSentence([str(i)], ["O"], "f", i, i // 3) for i in range(30)]
    train, val = hold_out(sentences, 0.2, 0)
    assert len({s.document for s in val}) == 2
    assert not {s.document for s in val} & {s.document for s in train}
    assert sorted([*train, *val], key=lambda s: s.first_line or 0) == sentences
    assert hold_out(sentences, 0.2, 0) == (train, val) != hold_out(sentences, 0.2, 1)


def test_sentences_are_held_out_without_documents() -> None:
    for document in (None, 0):
        sentences = [TaggedSentence([str(i)], ["O"], "f", i, document) for i in range(30)]
        train, val = hold_out(sentences, 0.1, 0)
        assert (len(train), len(val)) == (27, 3)
    with pytest.raises(InputError, match="1 sentences for training are too few to hold out 1"):
        hold_out(sentences[:1], 0.1, 0)
