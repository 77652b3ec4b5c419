"""Groups of errors: that they add up, what training says, and examples by hand."""

import json
from collections import Counter

import numpy as np
import pytest

from lit_mlm.metrics.entity_errors import ScoredSentence, list_entities
from lit_mlm.metrics.error_report import TrainingLabels, report_errors
from lit_mlm.text.tagging.schemes import Scheme
from tests.text.tagging.test_schemes import draw_right_sentences

GROUPS = ("lengths", "sets", "training", "frequency")


def make(
    text: str, gold: str, found: str, scheme: Scheme | None = "IOB2", index: int = 0, score: float = 0.9
) -> ScoredSentence:
    words = text.split()
    return ScoredSentence(
        words, gold.split(), found.split(), [score] * len(words), scheme, index, f"a.txt, line {index}"
    )


def draw(num: int = 300) -> list[ScoredSentence]:
    """Random entities of few words, so that many are seen in `train`."""
    rng = np.random.default_rng(3)
    tags = draw_right_sentences("IOB2", num)
    found = [tags[i] if len(tags[i]) == len(t) and rng.random() < 0.5 else t for i, t in enumerate(tags)]
    for i, sentence in enumerate(found):
        found[i] = [tag if rng.random() < 0.8 else "O" for tag in sentence]
    return [
        ScoredSentence(
            rng.choice(["a", "b"], len(t)).tolist(), t, f, rng.random(len(t)).tolist(), "IOB2", i, set_name="xyz"[i % 3]
        )
        for i, (t, f) in enumerate(zip(tags, found, strict=True))
    ]


def test_every_table_adds_up_to_the_counts() -> None:
    sentences = draw()
    train = [(s.words, s.gold) for s in sentences[:5]]
    report = report_errors(sentences, train)
    counts = report["counts"]
    assert counts["correct"] > 100
    for name in ("types", *GROUPS):
        for column in ("correct", "predicted", "gold"):
            assert sum(row[column] for row in report[name].values()) == counts[column], (name, column)
        assert len(report[name]) > 2
    for column in ("correct", "predicted"):
        assert sum(row[column] for row in report["confidence"].values()) == counts[column]
    for kind in ("wrong_type", "wrong_boundary", "wrong_both", "missed", "spurious"):
        assert sum(row[kind] for row in report["types"].values()) == report["kinds"][kind]
    for row in report["types"].values():
        parts = ("correct", "wrong_type", "wrong_boundary", "wrong_both", "missed")
        assert sum(row[kind] for kind in parts) == row["gold"]
    bad = report["sentences"]
    assert len(bad) == report["num_sentences_with_errors"]
    numbers = [sentence["num_errors"] for sentence in bad]
    assert numbers == sorted(numbers, reverse=True)
    assert all(sentence["set"] == "xyz"[sentence["index"] % 3] for sentence in bad)
    assert sum(numbers) == sum(report["kinds"].values()) - report["kinds"]["correct"]
    assert json.loads(json.dumps(report)) == report


def test_training_labels_equal_a_count_at_every_place() -> None:
    sentences = draw(60)
    surfaces = {s.get_surface(span) for s in sentences for span in list_entities(s.gold, "IOB2")}
    found = TrainingLabels.build([(s.words, s.gold) for s in sentences], "IOB2", surfaces).counts
    for surface in surfaces:
        expected: Counter[str | None] = Counter()
        for sentence in sentences:
            spans = list_entities(sentence.gold, "IOB2")
            for start in range(len(sentence.words) - len(surface) + 1):
                end = start + len(surface)
                if tuple(sentence.words[start:end]) != surface:
                    continue
                same = [span.type for span in spans if span[1:] == (start, end)]
                if same:
                    expected[same[0]] += 1
                elif not any(span.start < end and span.end > start for span in spans):
                    expected[None] += 1
        assert found[surface] == expected


def test_contradictions_are_errors_that_follow_training() -> None:
    train = [(["Paris"], ["B-LOC"])] * 2 + [(["Paris"], ["B-PER"]), (["in", "Ulm"], ["O", "O"])]
    sentences = [
        make("Paris", "B-PER", "B-LOC", index=1),  # training says LOC
        make("Paris Hilton", "B-PER I-PER", "B-LOC O", index=2),  # the same, of a part
        make("Ulm", "B-LOC", "O", index=3),  # training has it, but not as an entity
        make("Paris", "B-LOC", "B-PER", index=4),  # training says LOC: an error of the model
        make("Oslo", "O", "B-LOC", index=5),  # training says nothing
    ]
    found = report_errors(sentences, train)["contradictions"]
    assert (found["number"], found["num_errors"]) == (3, 5)
    assert [(row["text"], row["gold"], row["found"], row["number"]) for row in found["surfaces"]] == [
        ("Paris", "PER", "LOC", 1),
        ("Paris", "PER (Paris Hilton)", "LOC", 1),
        ("Ulm", "LOC", "outside", 1),
    ]
    assert found["surfaces"][0]["training"] == {"LOC": 2, "PER": 1}
    assert found["surfaces"][2]["place"] == "a.txt, line 3"


def test_seen_seen_as_another_type_and_unseen() -> None:
    train = [(["Paris"], ["B-LOC"])]
    sentences = [make("Paris Paris Ulm", "B-LOC B-PER B-LOC", "B-LOC O B-LOC")]
    groups = report_errors(sentences, train)["training"]
    assert {name: (row["correct"], row["predicted"], row["gold"]) for name, row in groups.items()} == {
        "seen": (1, 1, 1),
        "seen_as_other_type": (0, 0, 1),
        "unseen": (1, 1, 1),
    }
    assert not {"training", "frequency", "contradictions"} & set(report_errors(sentences))


def test_plain_tags_have_confusions_and_no_lengths() -> None:
    report = report_errors([make("the run ended", "DET NOUN VERB", "DET VERB VERB", None)], [(["run"], ["VERB"])])
    assert report["confusions"] == [{"gold": "NOUN", "found": "VERB", "number": 1}]
    assert report["f1"] == pytest.approx(2 / 3)
    assert "lengths" not in report
    assert report["contradictions"]["number"] == 1
    (sentence,) = report["sentences"]
    assert [entity["text"] for entity in sentence["gold"]] == ["run"]


def test_types_named_o_or_without_a_name() -> None:
    report = report_errors([make("a b c", "B-O B O", "B-O O B")], [(["a"], ["O"])])
    assert set(report["types"]) == {"O", "_"}
    assert report["kinds"] == {"correct": 1} | dict.fromkeys(("wrong_type", "wrong_boundary", "wrong_both"), 0) | {
        "missed": 1,
        "spurious": 1,
    }


def test_no_entities_and_no_sentences() -> None:
    for sentences in ([make("a", "O", "O")], []):
        report = report_errors(sentences, [])
        assert report["f1"] == 0
        assert report["sentences"] == []


def test_the_surest_error_comes_first_among_equals() -> None:
    sentences = [make("a", "O", "B-X", index=i, score=score) for i, score in enumerate((0.5, 0.99, 0.7))]
    assert [sentence["index"] for sentence in report_errors(sentences)["sentences"]] == [1, 2, 0]
