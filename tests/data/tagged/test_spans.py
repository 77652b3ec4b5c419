"""Exports of annotation tools: spans of characters as tags of words."""

import json
from pathlib import Path
from typing import Any

import pytest

from lit_mlm.data.reading.files import BadRecordError
from lit_mlm.data.tagged.sentences import TaggedSentence, read_sentences

TEXT = "Mira Kell visited Porto-Alto."
TASK = {"value": {"start": 0, "end": 9, "text": "Mira Kell", "labels": ["PER"]}, "type": "labels"}


def read(tmp_path: Path, *records: Any, is_array: bool = False, **columns: Any) -> list[TaggedSentence]:
    file = tmp_path / ("train.json" if is_array else "train.jsonl")
    file.write_text(json.dumps(records) if is_array else "\n".join(map(json.dumps, records)))
    return list(read_sentences(file, **({"words_column": "tokens", "tags_column": "ner_tags"} | columns)))


@pytest.mark.parametrize(
    "record",
    [
        {"id": 1, "text": TEXT, "label": [[0, 9, "PER"], [18, 28, "LOC"]]},
        {"id": 1, "text": TEXT, "labels": [[18, 28, "LOC"], [0, 9, "PER"]]},
        {
            "text": TEXT,
            "entities": [
                {"id": 1, "label": "PER", "start_offset": 0, "end_offset": 9},
                {"id": 2, "label": "LOC", "start_offset": 18, "end_offset": 28},
            ],
            "relations": [],
        },
        {
            "text": TEXT,
            "tokens": [{"text": "Mira", "start": 0, "end": 4, "id": 0}],
            "spans": [{"start": 0, "end": 9, "label": "PER"}, {"start": 18, "end": 28, "label": "LOC"}],
            "answer": "accept",
        },
        {
            "id": 1,
            "data": {"text": TEXT},
            "annotations": [
                {"was_cancelled": True, "result": []},
                {
                    "result": [
                        TASK,
                        {"value": {"start": 18, "end": 28, "labels": ["LOC"]}},
                        {"value": {"choices": ["a"]}},
                    ]
                },
            ],
        },
        {"text": TEXT, "label": [TASK["value"], {"start": 18, "end": 28, "text": "Porto-Alto", "labels": ["LOC"]}]},
    ],
    ids=["doccano", "doccano, labels", "doccano, entities", "Prodigy", "Label Studio", "Label Studio, small"],
)
@pytest.mark.parametrize("is_array", [False, True])
def test_exports(record: Any, is_array: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (sentence,) = read(tmp_path, record, is_array=is_array)
    assert sentence.words == ["Mira", "Kell", "visited", "Porto", "-", "Alto", "."]
    assert sentence.tags == ["B-PER", "I-PER", "O", "B-LOC", "I-LOC", "I-LOC", "O"]
    assert sentence.place.endswith("record 1" if is_array else "line 1")
    assert not caplog.messages


def test_fields_by_option(tmp_path: Path) -> None:
    record = {"body": TEXT, "found": [[0, 4, "PER"]], "label": [[5, 9, "X"]]}
    (sentence,) = read(tmp_path, record, words_column="body", tags_column="found")
    assert sentence.tags[:2] == ["B-PER", "O"]


def test_words_win_over_a_text(tmp_path: Path) -> None:
    record = {"text": "a b", "label": [], "tokens": ["a", "b"], "ner_tags": ["O", "B-X"]}
    assert read(tmp_path, record)[0].tags == ["O", "B-X"]


def test_spans_that_do_not_fit_words_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    records = [
        {"text": TEXT, "label": [[0, 2, "PER"], [7, 9, "PER"], [17, 28, "LOC"]]},  # white space is no word
        {"text": TEXT, "label": [[18, 28, "LOC"], [18, 23, "LOC"], [24, 28, "ORG"]]},
        {"text": TEXT, "spans": [], "answer": "reject"},
        {"text": TEXT, "answer": "accept"},
    ]
    found = read(tmp_path, *records)
    assert [" ".join(s.tags) for s in found] == [
        "B-PER B-PER O B-LOC I-LOC I-LOC O",
        "O O O B-LOC I-LOC I-LOC O",
        "O O O O O O O",
    ]
    file = tmp_path / "train.jsonl"
    assert caplog.messages == [
        f"{file}: spans that cut words, which are taken as a whole: 2, the first: {file}, line 1, 'Mi' (0 to 2)",
        f"{file}: spans that overlap longer ones, left out: 2, the first: {file}, line 2, 'Porto' (18 to 23)",
        f"{file}: records that were not accepted, left out: 1, the first: {file}, line 3",
    ]


def test_offsets_of_utf_16_are_told_by_the_text_of_the_span(tmp_path: Path) -> None:
    text = "\U0001f600 Mira"
    for start in (2, 3):
        (sentence,) = read(
            tmp_path, {"text": text, "label": [{"start": start, "end": start + 4, "text": "Mira", "labels": ["PER"]}]}
        )
        assert sentence.tags == ["O", "B-PER"]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"text": TEXT, "label": [[0, 99, "PER"]]}, "line 1: the span 0 to 99 is not in the text of 29 characters"),
        ({"text": TEXT, "label": [[4, 5, "PER"]]}, r"line 1, ' ' \(4 to 5\): the span has no word"),
        ({"text": TEXT, "label": [[4, 4, "PER"]]}, "the span 4 to 4 is not in the text"),
        ({"text": TEXT, "label": [[0, 4]]}, r"expected a span with a start, an end and a label, got \[0, 4\]"),
        ({"text": TEXT, "label": "PER"}, "the column 'label' must hold a list of spans, got 'PER'"),
        ({"text": TEXT, "spans": [{"start": 0, "end": 4}]}, "expected a span with a start, an end and a label"),
        (
            {"text": TEXT, "label": [{"start": 0, "end": 4, "text": "Kell", "label": "X"}]},
            "has 'Mira' at 0 to 4, not 'K",
        ),
        ({"data": {"text": TEXT}, "annotations": []}, "line 1: the task has no annotation"),
        ({"data": {"image": 1}, "annotations": [{}]}, "the data of the task have no 'text', only image"),
        ({"text": TEXT}, "line 1: no column 'tokens', only 'text'"),
    ],
)
def test_spans_that_are_not_those_of_the_text(record: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadRecordError, match=message):
        read(tmp_path, record)
