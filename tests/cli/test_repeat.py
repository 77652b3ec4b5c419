"""Several seeds, one after another."""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lit_mlm.cli.main import main
from lit_mlm.cli.repeat import check_comparable
from tests.conftest import imdb_args


def run_here(command: list[str], check: bool, stdout: Any = None) -> Any:
    """In place of a process of its own, which would import everything again."""
    assert not check
    try:
        with redirect_stdout(stdout or sys.stdout):
            main(command[3:])
    except SystemExit as end:  # a run that is finished
        return SimpleNamespace(returncode=end.code)
    return SimpleNamespace(returncode=0)


def test_three_seeds(
    tiny_bert: str,
    cache_dir: str,
    run_cli: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(subprocess, "run", run_here)
    folder = run_cli("repeat", "--seeds", 1, 2, 3, *imdb_args(tiny_bert, cache_dir)) / "runs/imdb/repeat_0"
    summary = json.loads((folder / "repeat.json").read_text())
    runs = [json.loads((folder / f"seed_{seed}" / "metrics.json").read_text()) for seed in (1, 2, 3)]
    values = [run["val/perplexity"] for run in runs]
    assert len(set(values)) == 3
    assert summary["seeds"] == [1, 2, 3]
    assert summary["val/perplexity"] == {
        "mean": pytest.approx(statistics.mean(values)),
        "deviation": pytest.approx(statistics.stdev(values)),
        "runs": values,
    }
    assert len({run["val/mask_fingerprint"] for run in runs}) == 1  # masks and splits have seeds of their own
    assert summary["start/val/perplexity"]["deviation"] == 0  # the pretrained model is the same
    assert len({run["train/loss"] for run in runs}) == 3
    output = capsys.readouterr().out
    assert f"fit --config imdb.yaml --config overlays/cpu.yaml --model.model {tiny_bert}" in output
    (row,) = [line for line in output.splitlines() if line.startswith("val/perplexity ")]
    assert row.split()[1:] == [f"{x:,.6g}" for x in (statistics.mean(values), statistics.stdev(values), *values)]
    assert "start/val/perplexity" not in output

    (folder / "repeat.json").unlink()
    (folder / "seed_3" / "metrics.json").unlink()  # as if it had been killed: only this one goes on
    run_cli("repeat", "--seeds", 1, 2, 3, *imdb_args(tiny_bert, cache_dir), "--run_dir", folder)
    assert json.loads((folder / "repeat.json").read_text()) == summary
    assert capsys.readouterr().out.count("start: val") == 0


def test_failing_run_ends_it_with_its_status(run_cli: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run_cli("repeat", "--seeds", 1, 2, "--config", "imdb.yaml", "--trainer.max_epoch", 3)
    assert stop.value.code not in (0, None)
    assert "seed 1 ended with exit status 2\n" in capsys.readouterr().err  # and no word of finished runs


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--seeds", "1", "--config", "imdb.yaml"], "--seeds must be two or more numbers, got 1"),
        (["--seeds", "1", "1", "--config", "imdb.yaml"], "--seeds must be different numbers, got 1 1"),
        (
            ["--seeds", "1", "2", "--config", "imdb.yaml", "--seed_everything=3"],
            "--seed_everything can.t be given to repeat",
        ),
        (
            ["--seeds", "1", "2", "--config", "imdb.yaml", "--run_dir", "full"],
            "--run_dir full holds notes.txt, which repeat didn.t",
        ),
        (["--seeds", "-1", "2", "--config", "imdb.yaml"], "--seeds must be at least 0 and at most 4294967295, got -1"),
        (["--seeds", "1", "2", "--config", "imbd.yaml"], "there is no config imbd.yaml here"),
        (["--seeds", "1", "2", "--config", "imdb.yaml", "--run_dir", "file/x"], "file is a file, not a folder"),
        (["--seeds", "1", "2", "--config", "imdb.yaml", "--run_dir="], "--run_dir is empty; give the path of a"),
        (
            ["--seeds", "1", "2", "--config", "imdb.yaml", "--trainer.fast_dev_run", "true"],
            "--trainer.fast_dev_run true can.t be given to repeat",
        ),
        (
            ["--seeds", "1", "2", "--config", "imdb.yaml", "--trainer.enable_checkpointing=false"],
            "--trainer.enable_checkpointing false can.t be given to repeat",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    args: list[str], message: str, run_cli: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "full" / "seed_1").mkdir(parents=True)
    (tmp_path / "full" / "notes.txt").touch()
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=message):
        run_cli("repeat", *args)


def test_runs_on_different_text_are_not_summed_up() -> None:
    runs: dict[int, dict[str, Any]] = {1: {"data_fingerprint": "a"}, 2: {"data_fingerprint": "b"}}
    with pytest.raises(ValueError, match=r"their data_fingerprint differs: seed 1 a, seed 2 b"):
        check_comparable(runs)
    runs = {seed: {"val/mask_fingerprint": str(seed)} for seed in (1, 2)}
    with pytest.raises(ValueError, match=r"their val/mask_fingerprint differs: seed 1 1, seed 2 2"):
        check_comparable(runs)
    check_comparable({seed: run | {"start/val/mask_fingerprint": "x"} for seed, run in runs.items()})
