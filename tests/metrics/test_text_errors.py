"""Errors of texts: that the tables add up, and examples by hand."""

import json

from lit_mlm.metrics.text_errors import ScoredText, TrainingTexts, report_text_errors


def make(text: str, gold: str, found: str, scores: tuple[float, ...], num_tokens: int = 5) -> ScoredText:
    names = ("a", "b", "c")
    return ScoredText(
        text, tuple(gold.split()), tuple(found.split()), dict(zip(names, scores, strict=True)), num_tokens, place=text
    )


def test_one_label_per_text() -> None:
    texts = [
        make("x", "a", "a", (0.8, 0.1, 0.1)),
        make("y", "a", "b", (0.4, 0.5, 0.1), 32),
        make("z", "c", "b", (0.0, 0.99, 0.01), 31),
        make("w", "b", "b", (0.3, 0.4, 0.3), 5000),
    ]
    train = TrainingTexts(
        [("x", ["b"], "1"), (" z\n", ["b"], "2"), ("z", ["c"], "3"), ("z", ["b"], "4"), ("w", ["b"], "5")]
    )
    report = report_text_errors(texts, ["a", "b", "c"], False, train)
    assert report["accuracy"] == 0.5
    assert [(row["gold"], row["found"]) for row in report["texts"]] == [
        ({"c": 0.01}, {"b": 0.99}),
        ({"a": 0.4}, {"b": 0.5}),
    ]
    assert report["confusions"] == [
        {"gold": "a", "found": "b", "number": 1},
        {"gold": "c", "found": "b", "number": 1},
    ]
    assert {name: row["num_texts"] for name, row in report["lengths"].items()} == {
        "0 to 31": 2,
        "32 to 63": 1,
        "1024 or more": 1,
    }
    assert report["confidence"]["0.99 to 1"] == {"correct": 0, "predicted": 1, "precision": 0.0, "mean_score": 0.99}
    assert {name: row["num_texts"] for name, row in report["training"].items()} == {
        "seen": 2,
        "seen_as_other_label": 1,
        "unseen": 1,
    }
    found = report["contradictions"]
    assert (found["number"], found["num_wrong"], found["num_errors"]) == (2, 1, 2)
    first, second = found["texts"]
    assert first["training"] == [{"labels": "b", "number": 2, "place": "2"}, {"labels": "c", "number": 1, "place": "3"}]
    assert (first["is_right"], second["is_right"], second["text"]) == (False, True, "x")
    assert json.loads(json.dumps(report)) == report


def test_several_labels_per_text() -> None:
    texts = [
        make("x", "a b", "b a", (0.8, 0.6, 0.1)),
        make("y", "", "b", (0.4, 0.7, 0.1)),
        make("z", "a c", "a", (0.9, 0.2, 0.1)),
        make("w", "", "", (0.1, 0.2, 0.1)),
    ]
    report = report_text_errors(texts, ["a", "b", "c"], True, TrainingTexts([("x", ["b", "a"], "1"), ("w", (), "2")]))
    assert report["num_right"] == 2
    assert "confusions" not in report
    assert [(row["text"], row["gold"], row["found"]) for row in report["texts"]] == [
        ("z", {"a": 0.9, "c": 0.1}, {"a": 0.9}),
        ("y", {}, {"b": 0.7}),
    ]
    counts = {name: (row["correct"], row["predicted"], row["gold"]) for name, row in report["types"].items()}
    assert counts == {"a": (2, 2, 2), "b": (1, 2, 1), "c": (0, 0, 1)}
    assert report["training"]["seen"]["num_texts"] == 2
    assert report["contradictions"]["number"] == 0


def test_no_texts() -> None:
    assert report_text_errors([], ["a"], False)["accuracy"] == 0
