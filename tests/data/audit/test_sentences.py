"""Findings in tagged sentences, each planted."""

from typing import Any

import pytest

from lit_mlm.data.audit.sentences import audit_sentences
from lit_mlm.data.tagged.sentences import TaggedSentence
from lit_mlm.nets.pretrained import load_tokenizer
from lit_mlm.text.tagging.schemes import find_scheme


def make(split: str, *sentences: str) -> list[TaggedSentence]:
    """Sentences written as word/tag."""
    made, line = [], 1
    for sentence in sentences:
        pairs = [pair.rpartition("/") for pair in sentence.split()]
        made.append(TaggedSentence([w for w, _, _ in pairs], [t for _, _, t in pairs], f"{split}.txt", line))
        line += len(pairs) + 1
    return made


@pytest.fixture
def report(conll_tokenizer: str) -> dict[str, Any]:
    splits = {
        "train": make(
            "train",
            "EU/B-ORG rejects/O German/B-MISC call/O",
            "Peter/B-PER Blackburn/I-PER",
            "EU/B-LOC rejects/O German/B-MISC call/O",
            "Peter/B-ORG Blackburn/I-ORG call/O",
            "EU/B-ORG zoo/o",
            "German/I-MISC a/O",
            "",
        ),
        "val": make("val", "Peter/B-PER Blackburn/I-PER", "British/B-MISC lamb/B-FOOD !/O !/O"),
        "test": make("test", "to/O boycott/O lamb/O"),
    }
    tokenizer = load_tokenizer(conll_tokenizer)
    return audit_sentences(splits, tokenizer, lambda s: find_scheme(x.tags for x in s), 6, 0.8, 3)


def test_counts(report: dict[str, Any]) -> None:
    train = report["splits"]["train"]
    assert (train["num_sentences"], train["num_empty"], train["num_words"]) == (7, 1, 17)
    assert train["num_tokens"] == 19  # Blackburn has two pieces
    assert (train["fertility"], train["split_fraction"]) == (19 / 17, 2 / 17)
    assert (train["num_unknown_tokens"], train["unknown_words"]) == (1, [{"word": "zoo", "num": 1}])
    assert (train["num_long"], report["splits"]["val"]["num_long"]) == (0, 1)  # lamb has two: five, and two around
    assert train["entities"] == {"MISC": 3, "ORG": 3, "LOC": 1, "PER": 1}
    assert train["tags"]["O"] == 6
    assert report["scheme"] == "IOB2"


def test_wrong_tags(report: dict[str, Any]) -> None:
    wrong = report["splits"]["train"]["wrong_tags"]
    assert (wrong["num"], wrong["num_misspelt"]) == (2, 1)
    assert wrong["examples"][0].startswith("train.txt, line 19 ('zoo'): tag 'o', expected O, or one of B-, I-")
    assert wrong["examples"][1].startswith("train.txt, line 21 ('German'): tag 'I-MISC', expected B-MISC")


def test_unseen(report: dict[str, Any]) -> None:
    val = report["splits"]["val"]
    assert val["unseen_tags"] == {"B-FOOD": 1}
    assert (val["num_unseen_words"], val["unseen_word_fraction"]) == (4, 4 / 6)
    assert val["unseen_words"] == [{"word": "!", "num": 2}, {"word": "British", "num": 1}, {"word": "lamb", "num": 1}]
    assert report["splits"]["test"]["unseen_word_fraction"] == 1
    assert val["entities_in_train"] == {"seen": 1, "seen_as_other_type": 0, "unseen": 2}
    assert "entities_in_train" not in report["splits"]["train"]


def test_entities_with_another_type(conll_tokenizer: str) -> None:
    splits = {"train": make("train", "EU/B-ORG a/O"), "test": make("test", "EU/B-LOC EU/B-ORG a/B-ORG")}
    report = audit_sentences(splits, load_tokenizer(conll_tokenizer), lambda _: "IOB2", None, 0.8, 3)
    assert report["splits"]["test"]["entities_in_train"] == {"seen": 1, "seen_as_other_type": 1, "unseen": 1}


def test_contradictions(report: dict[str, Any]) -> None:
    assert report["inconsistent_entities"] == {
        "num": 2,
        "examples": [
            {"surface": "EU", "types": {"ORG": 2, "LOC": 1}},
            {"surface": "Peter Blackburn", "types": {"PER": 2, "ORG": 1}},
        ],
    }
    expected = [{"first": "train.txt, line 1", "second": "train.txt, line 9"}]
    assert report["inconsistent_sentences"] == {"num": 1, "examples": expected}


def test_duplicates(report: dict[str, Any]) -> None:
    counts = {(found["first"], found["second"]): found["num_exact"] for found in report["duplicates"]}
    assert counts[("train", "train")] == counts[("train", "val")] == 1
    assert sum(counts.values()) == 2
    (example,) = report["duplicates"][3]["examples"]
    assert example["first"] == {"split": "train", "index": 1, "place": "train.txt, line 6"}
    assert example["second"] == {"split": "val", "index": 0, "place": "val.txt, line 1"}


def test_numbers_count_sentences_without_words(conll_tokenizer: str) -> None:
    splits = {"train": make("train", "", "a/O", "", "a/O")}
    report = audit_sentences(splits, load_tokenizer(conll_tokenizer), lambda _: "IOB2", None, 0.8, 3)
    (example,) = report["duplicates"][0]["examples"]
    assert (example["first"]["index"], example["second"]["index"]) == (1, 3)
    assert example["second"]["place"] == "train.txt, line 5"


def test_plain_tags_have_no_entities(conll_tokenizer: str) -> None:
    splits = {"train": make("train", "EU/NNP rejects/VBZ", "EU/NN")}
    report = audit_sentences(splits, load_tokenizer(conll_tokenizer), lambda _: None, None, 0.8, 3)
    assert report["scheme"] is report["inconsistent_entities"] is report["splits"]["train"]["entities"] is None
    assert report["splits"]["train"]["tags"] == {"NN": 1, "NNP": 1, "VBZ": 1}
    assert report["splits"]["train"]["num_long"] is None
