"""`python -m lit_mlm score --pairs`."""

import json
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest

from lit_mlm.cli.main import run_command
from lit_mlm.errors import InputError
from lit_mlm.inference.fill import load_masked_lm
from lit_mlm.inference.pairs import score_pairs

BLIMP = [
    {
        "sentence_good": f"The {noun} was {adjective}.",
        "sentence_bad": f"The {noun} were {adjective}.",
        "field": field,
        "UID": f"{field}_{adjective}",
    }
    for noun, field in (("story", "syntax"), ("film", "morphology"), ("cast", "syntax"))
    for adjective in ("dull", "bright")
]


def write(path: Path, records: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def test_accuracy_is_that_of_the_pairs_and_of_each_group(
    tiny_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = [{"good": record["sentence_good"], "bad": record["sentence_bad"]} for record in BLIMP[:3]]
    files = write(tmp_path / "a.jsonl", BLIMP), write(tmp_path / "b.jsonl", [*half, {"good": "Was", "bad": "was"}])
    summary = tmp_path / "summary.json"
    options = ["--normalize", "words", "--summary", str(summary)]
    run_command(["score", "--model", tiny_bert, "--pairs", *files, *options])
    printed = capsys.readouterr()
    records = [json.loads(line) for line in printed.out.splitlines()]
    pairs = [(record["good"], record["bad"]) for record in records]
    assert pairs[:6] == [(record["sentence_good"], record["sentence_bad"]) for record in BLIMP]
    assert [record["index"] for record in records] == list(range(10))
    expected = score_pairs(*load_masked_lm(tiny_bert), pairs, normalize="words")
    for record, scores in zip(records, expected, strict=True):
        assert (record["good_score"], record["bad_score"]) == pytest.approx(scores, rel=1e-6)
        assert record["preferred"] == scores.preferred
    metrics = json.loads(summary.read_text())
    right = [record["preferred"] == "good" for record in records]
    assert (metrics["num_pairs"], metrics["num_ties"], metrics["accuracy"]) == (10, 1, sum(right) / 10)
    ends = binomtest(sum(right), 10).proportion_ci(method="wilson")
    assert (metrics["accuracy_low"], metrics["accuracy_high"]) == pytest.approx((ends.low, ends.high))
    assert set(metrics["groups"]) == {"field", "UID"}
    assert {name: group["num_pairs"] for name, group in metrics["groups"]["field"].items()} == {
        "syntax": 4,
        "morphology": 2,
    }
    syntax = [is_right for record, is_right in zip(records, right, strict=True) if record.get("field") == "syntax"]
    assert metrics["groups"]["field"]["syntax"]["accuracy"] == sum(syntax) / 4
    rows = [line.split() for line in printed.err.splitlines()]
    assert rows[0] == ["pairs", "ties", "accuracy", "95", "%", "interval"]
    assert rows[1][:4] == ["all", "10", "1", f"{sum(right) / 10:.4f}"]
    assert [row[:2] for row in rows[2:4]] == [["field", "syntax"], ["field", "morphology"]]


def test_a_table_of_pairs(tiny_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.jsonl", [{"good": "The  story was\nbright.", "bad": "was"}])
    run_command(["score", "--model", tiny_bert, "--pairs", path, "--text", "--method", "original"])
    (pair,) = score_pairs(*load_masked_lm(tiny_bert), [("The story was bright.", "was")], "original")
    _, line = capsys.readouterr().out.splitlines()
    assert line.split(None, 3) == [pair.preferred, f"{pair.good:.2f}", f"{pair.bad:.2f}", "The story was bright."]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], r"pairs\.jsonl is empty"),
        ([{"good": "a"}], "line 1: no column 'bad', only 'good'$"),
        ([{"good": "a", "bad": "b"}, {"good": "a", "bad": " "}], "line 2: .*'bad'"),
        ([{"sentence_good": "a", "bad": "b"}], "line 1: .*'sentence_bad'"),
        ([{"good": "a", "bad": 3}], "line 1: .*3.* 'bad'"),
    ],
)
def test_bad_pairs_are_refused_before_a_model_is_loaded(
    records: list[dict[str, Any]], message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "pairs.jsonl", records)
    with pytest.raises(InputError, match=message):
        run_command(["score", "--model", "no-such-model", "--pairs", path])


@pytest.mark.parametrize(
    ("name", "message"), [("pairs.txt", r"pairs\.txt must have columns, good and bad"), ("pairs.tsv", "has no pair")]
)
def test_files_without_pairs_are_refused(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("good\tbad\n")
    with pytest.raises(InputError, match=message):
        run_command(["score", "--model", "no-such-model", "--pairs", str(tmp_path / name)])
