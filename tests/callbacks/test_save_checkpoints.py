"""Which checkpoints a run keeps."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lit_mlm.checkpointing import RECORD, read_checkpoint
from tests.conftest import imdb_args

Run = Callable[..., Path]


@pytest.fixture
def diverging(tiny_bert: str, cache_dir: str) -> list[str]:
    """A run that gets worse after its first epochs: 6 steps an epoch."""
    args = imdb_args(tiny_bert, cache_dir)
    return [*args, "--model.lr", "0.3", "--model.num_warmup_steps", "10", "--trainer.max_epochs", "5"]


def read_step(folder: Path, name: str) -> int:
    return int(read_checkpoint(folder / "checkpoints" / f"{name}.ckpt")["global_step"])


def read_loss(folder: Path, name: str) -> float:
    return float(read_checkpoint(folder / "checkpoints" / f"{name}.ckpt")[RECORD]["results"]["val"]["loss"])


def test_last_is_the_end_and_best_is_the_best(diverging: list[str], run_cli: Run) -> None:
    folder = run_cli("fit", *diverging, "--run_dir", "run") / "run"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert read_step(folder, "last") == 30
    assert read_step(folder, "best") == metrics["step"] < 30
    assert read_loss(folder, "best") == metrics["val/loss"] < metrics["last/val/loss"] == read_loss(folder, "last")


@pytest.mark.parametrize(
    "options",
    [
        ("--trainer.max_epochs", 3, "--trainer.check_val_every_n_epoch", 2),
        ("--trainer.max_epochs", 3, "--trainer.val_check_interval", 4),
        ("--trainer.max_epochs", 9, "--trainer.max_steps", 18, "--trainer.check_val_every_n_epoch", 1),
        ("--trainer.max_epochs", 3, "--trainer.val_check_interval", 7, "--trainer.check_val_every_n_epoch", "null"),
    ],
)
def test_the_end_of_a_training_is_validated(
    options: tuple[object, ...], tiny_bert: str, cache_dir: str, run_cli: Run
) -> None:
    folder = run_cli("fit", *imdb_args(tiny_bert, cache_dir), *options, "--run_dir", "run") / "run"
    assert read_step(folder, "last") == 18
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["last/val/loss"] == read_loss(folder, "last")


def test_resumed_run_keeps_its_best_wherever_it_was_moved(diverging: list[str], run_cli: Run) -> None:
    folder = run_cli("fit", *diverging, "--run_dir", "run")
    best = read_loss(folder / "run", "best")
    start = json.loads((folder / "run" / "metrics.json").read_text())["start/val/loss"]
    run_cli("test", *diverging, "--run_dir", "run", "--ckpt_path", "best")
    shutil.move(folder / "run", folder / "moved")
    config = (folder / "moved" / "config.yaml").read_text()
    run_cli("fit", *diverging, "--trainer.max_epochs", 6, "--run_dir", "moved", "--allow_changes", "true")
    assert read_step(folder / "moved", "last") == 36
    assert read_loss(folder / "moved", "best") == best
    metrics = json.loads((folder / "moved" / "metrics.json").read_text())
    assert metrics["val/loss"] == best
    assert metrics["start/val/loss"] == start
    assert metrics["test/loss"] > 0
    assert "ckpt_path: null" in config
    assert "ckpt_path: null" in (folder / "moved" / "config.yaml").read_text()


def test_best_of_another_run_is_not_this_one_s(diverging: list[str], run_cli: Run) -> None:
    folder = run_cli("fit", *diverging, "--run_dir", "one")
    last = folder / "one" / "checkpoints" / "last.ckpt"
    run_cli("fit", *diverging, "--trainer.max_epochs", 6, "--run_dir", "two", "--ckpt_path", last)
    assert read_step(folder / "two", "best") == 36
    assert read_loss(folder / "two", "best") > read_loss(folder / "one", "best")
