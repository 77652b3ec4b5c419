"""A recipe is run again, and its target is met, missed, or not to be compared."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lit_mlm.cli.reproduce import format_result, judge
from lit_mlm.cli.targets import Target
from lit_mlm.errors import InputError
from tests.cli.test_repeat import run_here
from tests.conftest import FIXTURES

SIGNATURE = "data:1|text:2|run:3|masks:42/4|tokens:9|split:val|versions:torch-2.13.0"
TARGET = Target({"val/perplexity": {"value": 10.0, "tolerance": 1.0}}, "a minute", signature=SIGNATURE)


def judge_runs(*values: float | None, signature: str = SIGNATURE, **more: Any) -> dict[str, Any]:
    runs = {seed: {"val/perplexity": value, **more} for seed, value in enumerate(values)}
    return judge(TARGET, runs, signature)


@pytest.mark.parametrize(
    ("values", "change", "verdict", "line"),
    [
        ([10.9], ("", ""), "reproduced", "met"),
        ([8.0, 13.0], ("", ""), "reproduced", "met"),  # the mean counts
        ([11.1], ("", ""), "not reproduced", "not met"),
        ([None], ("", ""), "not reproduced", "not met"),  # as JSON has infinity
        ([10.9], ("torch-2.13.0", "torch-2.14.0"), "reproduced", "other versions: torch-2.14.0, not torch-2.13.0"),
        ([11.1], ("torch-2.13.0", "torch-2.14.0"), "not comparable", "other versions: torch-2.14.0, not torch-2.13.0"),
        ([10.0], ("run:3", "run:5"), "not comparable", "other run: 5, not 3 (the training text)"),
        ([10.0], ("text:2|run:3", "text:6|run:5"), "not comparable", "other text: 6, not 2 (the text of the split)"),
        ([10.0], ("42/4", "43/7"), "not comparable", "other masks: 43/7, not 42/4 (the masked text)"),
        ([10.0], ("tokens:9", "tokens:8|draws:5"), "not comparable", "other draws: 5, not None"),
    ],
)
def test_verdicts(values: list[float | None], change: tuple[str, str], verdict: str, line: str) -> None:
    result = judge_runs(*values, signature=SIGNATURE.replace(*change))
    assert result["verdict"] == verdict
    lines = format_result(result | {"recipe": "r.yaml"})
    assert lines[-1] == f"r.yaml: {verdict}"
    assert any(found.endswith(line) for found in lines)
    assert not any("tokens: 8" in found for found in lines) or "draws" in line  # what follows from the text


def test_intervals_are_over_seeds_or_of_the_run() -> None:
    metric = judge_runs(9.0, 10.0, 11.0)["metrics"]["val/perplexity"]
    assert (metric["low"], metric["high"]) == (pytest.approx(7.516, abs=1e-3), pytest.approx(12.484, abs=1e-3))
    more: dict[str, Any] = {"val/perplexity_low": 9.5, "val/perplexity_high": 10.4}
    metric = judge_runs(10.0, **more)["metrics"]["val/perplexity"]
    assert (metric["low"], metric["high"]) == (9.5, 10.4)


def test_a_published_target_has_no_data_to_compare() -> None:
    target = Target(TARGET.metrics, "a minute", published="a course", reasons="other splits")
    result = judge(target, {42: {"val/perplexity": 10.5}}, SIGNATURE)
    assert result["verdict"] == "reproduced"
    lines = format_result(result | {"recipe": "r.yaml"})
    assert "the target has no signature, so data and masks can't be compared" in lines
    assert "published: a course; reasons to differ: other splits" in lines


def test_a_recipe_is_run_and_compared(
    run_cli: Callable[..., Path],
    tmp_path: Path,
    cache_dir: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One of a user: the run gives the signature, and a changed file of text another."""
    monkeypatch.setattr(subprocess, "run", run_here)
    recipe = tmp_path / "mine.yaml"
    text = (FIXTURES.parent.parent / "configs" / "ner-sample.yaml").read_text().partition("model:\n")[2]
    head = "# target:\n#   metrics: {test/f1: {value: 0.5, tolerance: 0.5}}\n#   cost: seconds\n#   published: here\n"
    recipe.write_text(head + "model:\n" + text.replace("max_epochs: 10", "max_epochs: 1\n  limit_train_batches: 3"))
    shutil.copytree(FIXTURES / "conll", tmp_path / "tests/fixtures/conll")
    args = ["reproduce", "mine", "--data.cache_dir", cache_dir, "--trainer.enable_progress_bar", "false", "--json"]

    def reproduce(*more: str) -> tuple[int | str | None, dict[str, Any]]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            run_cli(*args, *more)
        return stop.value.code, json.loads(capsys.readouterr().out.splitlines()[-1])

    status, result = reproduce()
    assert (status, result["verdict"], result["seeds"]) == (0, "reproduced", [42])
    assert json.loads((tmp_path / "runs/mine/reproduce_0/reproduce.json").read_text()) == result
    assert result["signature"].count("|split:test|") == 1

    recipe.write_text(recipe.read_text().replace("published: here", f'signature: "{result["signature"]}"'))
    assert reproduce("--run_dir", "runs/mine/reproduce_0") == (
        0,
        result | {"target_signature": result["signature"], "published": None},
    )
    path = tmp_path / "tests/fixtures/conll/test.txt"
    path.write_text(path.read_text().replace("German", "Dutch", 1))
    status, result = reproduce()
    assert (status, result["verdict"]) == (3, "not comparable")
    assert set(result["differences"]) == {"data", "text"}  # and not the run: it was trained on the same


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["text"], "text.yaml can't be reproduced: it is for text of your own; repeat trains it with several seeds"),
        (["quikstart"], "there is no config quikstart.yaml here.*; did you mean quickstart.yaml"),
        (["quickstart", "--seeds", "1", "1"], "--seeds must be different numbers, got 1 1"),
        (["quickstart", "--seed_everything", "1"], "--seed_everything can't be given to reproduce"),
        (["quickstart", "--model.lr", "0.1"], "--model.lr 0.1 can't be given to reproduce: the recipe has 0.001"),
        (["quickstart", "--data.batch_size", "4"], "--data.batch_size 4 can't be given to reproduce"),
        (["quickstart", "--model.lrr", "0.1"], "model.lrr"),
        (["--seeds", "1", "--model.lr=1"], "--model.lr=1 needs a recipe before it"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(args: list[str], message: str, run_cli: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match=message):
        run_cli("reproduce", *args)
