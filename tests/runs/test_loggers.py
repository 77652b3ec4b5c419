"""The folder of a run is its own whatever loggers it has, and its curves are continued."""

import csv
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from lightning.pytorch.loggers import CSVLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lit_mlm.errors import InputError
from lit_mlm.runs.checkpoints import read_checkpoint
from tests.conftest import imdb_args

RunCLI = Callable[..., Path]

CSV = ("--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", "curves")


def read_steps(path: Path) -> list[int]:
    with path.open(newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file) if row["train/loss_step"]]


@pytest.fixture
def args(tiny_bert: str, cache_dir: str) -> list[str]:
    """A run of 12 steps that logs each of them."""
    return [*imdb_args(tiny_bert, cache_dir), "--trainer.log_every_n_steps", "1"]


def test_runs_with_the_same_logger_are_two(args: list[str], run_cli: RunCLI) -> None:
    for lr in ("1e-3", "1e-4"):
        folder = run_cli("fit", *args, *CSV, "--model.lr", lr)
    runs = [folder / "runs" / "imdb" / f"version_{number}" for number in (0, 1)]
    assert all((run / "hf" / "model.safetensors").is_file() for run in runs)
    curves = [folder / "curves" / "lightning_logs" / f"version_{number}" / "metrics.csv" for number in (0, 1)]
    assert [read_steps(path) for path in curves] == [list(range(12))] * 2
    fixed = ("--trainer.logger.version", "version_0")
    with pytest.raises(InputError, match=r"version_0/metrics.csv holds the curves of another run, which"):
        run_cli("fit", *args, *CSV, *fixed, "--run_dir", "other")
    assert not (folder / "other").exists()
    assert read_steps(curves[0]) == list(range(12))


def read_curve(folder: Path, tag: str) -> list[tuple[int, float]]:
    """What TensorBoard shows."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return [(point.step, point.value) for point in events.Scalars(tag)]


def test_curves_of_a_resumed_run_are_continued(
    args: list[str], run_cli: RunCLI, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the run's own folder, beside those of TensorBoard."""
    args = [*args, "--config", "overlays/csv.yaml", "--run_dir", "run"]
    run = run_cli("fit", *args, "--trainer.max_epochs", "1") / "run"
    steps = read_steps(run / "metrics.csv")
    run_cli("fit", *args, "--allow_changes", "true")
    assert read_steps(run / "metrics.csv") == [*steps, *range(len(steps), 12)]
    printed = capsys.readouterr().out
    assert "curves:      tensorboard --logdir run\n" in printed
    assert "curves:      run/metrics.csv\n" in printed
    assert "{run_dir}" in (run / "config.yaml").read_text()
    curve = read_curve(run, "val/perplexity")
    assert [step for step, _ in curve] == [0, 5, 11]
    for command, split in (("validate", "val"), ("test", "test")):
        run_cli(command, "--run_dir", "run", "--ckpt_path", "last")
        metrics = json.loads((run / "metrics-last.json").read_text())
        ((step, value),) = read_curve(run / command, f"{split}/perplexity")
        assert step == 12
        assert value == pytest.approx(metrics[f"{split}/perplexity"])
        assert read_curve(run / command, "epoch") == [(12, 1)]
        with (run / "metrics.csv").open(newline="") as file:
            rows = [(row["step"], row["epoch"]) for row in csv.DictReader(file) if row[f"{split}/perplexity"]]
        assert rows[-1] == ("12", "1.0")
    assert read_steps(run / "metrics.csv") == list(range(12))
    assert read_curve(run, "val/perplexity") == curve
    start = json.loads((run / "metrics.json").read_text())["start/val/perplexity"]
    assert curve[0][1] == pytest.approx(start)
    assert read_curve(run, "train/grad_norm")[-1][1] > 0


def test_step_before_a_stop_is_logged(args: list[str], run_cli: RunCLI, tmp_path: Path) -> None:
    stop = ("--trainer.callbacks+=tests.faults.failing.Stop", "--trainer.callbacks.rank", "0")
    with pytest.raises(SystemExit):
        run_cli("fit", *args, "--config", "overlays/csv.yaml", "--run_dir", "run", *stop)
    step = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["global_step"]
    assert read_steps(tmp_path / "run" / "metrics.csv") == list(range(step))


def test_complaint_of_a_service_is_one_line(
    args: list[str], run_cli: RunCLI, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As that of Weights & Biases where nobody has logged in."""

    class ServiceError(Exception):
        pass

    def connect(self: CSVLogger, *args: object, **options: object) -> None:
        raise ServiceError("No API key configured")

    monkeypatch.setattr(CSVLogger, "log_hyperparams", connect)
    with pytest.raises(InputError, match=r"^trainer.logger CSVLogger: No API key configured$"):
        run_cli("fit", *args, *CSV, "--run_dir", "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="wandb is not installed")
def test_resumed_run_is_the_same_one_in_wandb(args: list[str], tmp_path: Path) -> None:
    options = ["--config", "overlays/wandb.yaml", "--trainer.logger.offline", "true", "--run_dir", "run"]
    command = [sys.executable, "-m", "lit_mlm", "fit", *args, *options]
    environment = os.environ | {"WANDB_SILENT": "true"}
    for more in (["--trainer.max_epochs", "1"], ["--allow_changes", "true"]):
        subprocess.run([*command, *more], check=True, cwd=tmp_path, env=environment, timeout=300)
    (entry,) = json.loads((tmp_path / "run" / "loggers.json").read_text())
    folders = [path.name for path in (tmp_path / "run" / "wandb").glob("offline-run-*")]
    assert len(folders) == 2
    assert all(name.endswith(f"-{entry['version']}") for name in folders)
    assert (tmp_path / "run" / "hf" / "model.safetensors").is_file()
