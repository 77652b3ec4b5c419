"""Which checkpoints a run keeps."""

import itertools
import json
import os
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from lit_mlm.callbacks.save_checkpoints import SaveCheckpoints, check_space
from lit_mlm.errors import InputError
from lit_mlm.runs import checkpoints
from lit_mlm.runs.checkpoints import RECORD, read_checkpoint
from tests.conftest import imdb_args
from tests.resumed_runs import NO_DIFFERENCES, find_differences

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


# When, and what stands in the way


@pytest.fixture
def saves(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps that are saved."""
    found: list[int] = []
    save = SaveCheckpoints.save

    def note(self: SaveCheckpoints, trainer: Any, is_validated: bool = False) -> None:
        save(self, trainer, is_validated)
        found.append(trainer.global_step)

    monkeypatch.setattr(SaveCheckpoints, "save", note)
    return found


@pytest.fixture
def args(tiny_bert: str, cache_dir: str) -> list[str]:
    """One epoch of 6 steps."""
    return [*imdb_args(tiny_bert, cache_dir), "--trainer.max_epochs", "1", "--run_dir", "run"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), [6]),
        (("--save_every_n_steps", 4), [4, 6]),
        (("--save_every_n_steps", 1), [1, 2, 3, 4, 5, 6, 6]),  # before the validation and after it
        (("--save_every_n_minutes", 0.025), [2, 4, 6, 6]),  # a step takes a second
        (
            ("--save_every_n_steps", 1, "--data.batch_size", 2, "--trainer.accumulate_grad_batches", 4),
            [1, 2, 3, 4, 5, 6, 6],
        ),
        (("--save_every_n_steps", 4, "--trainer.limit_val_batches", 0), [4, 6]),
    ],
)
def test_intervals(
    options: tuple[object, ...],
    expected: list[int],
    args: list[str],
    saves: list[int],
    run_cli: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "--save_every_n_minutes" in options:
        clock = Mock(monotonic=Mock(side_effect=itertools.count()))
        monkeypatch.setattr("lit_mlm.callbacks.save_checkpoints.time", clock)
    run_cli("fit", *args, *options)
    assert saves == expected


@pytest.mark.parametrize("name", ["steps", "minutes"])
def test_intervals_that_never_end_are_refused(name: str, args: list[str], run_cli: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"save_every_n_{name} must be (at least 1|above 0), got 0"):
        run_cli("fit", *args, f"--save_every_n_{name}", 0)
    assert list(tmp_path.iterdir()) == []


def test_no_room_at_the_start(
    args: list[str], run_cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saves: list[int]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Mock(free=2**18))
    with pytest.raises(InputError, match=r"run/checkpoints has 0 MiB left, and checkpoints need 1: make room"):
        run_cli("fit", *args)
    assert (saves, list(tmp_path.iterdir())) == ([], [])


def test_room_counts_what_is_there_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The best one may be the last one by another name, whose place is needed when that is written anew."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Mock(free=150))
    (tmp_path / "last.ckpt").write_bytes(b"0" * 100)
    check_space(tmp_path, 250)
    os.link(tmp_path / "last.ckpt", tmp_path / "best.ckpt")
    check_space(tmp_path, 250)
    with pytest.raises(InputError, match=f"{tmp_path} has"):
        check_space(tmp_path, 251)
    (tmp_path / "best.ckpt").unlink()
    (tmp_path / "best.ckpt").write_bytes(b"0" * 100)
    check_space(tmp_path, 350)


def test_folder_that_is_read_only(
    args: list[str], run_cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saves: list[int]
) -> None:
    write = Path.write_bytes

    def refuse(self: Path, content: bytes) -> int:
        if self.name == ".probe.unfinished":
            raise OSError(30, "Read-only file system")
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(InputError, match=r"run/checkpoints can't be written to \(Read-only file system\).*--run_dir"):
        run_cli("fit", *args)
    assert (saves, list(tmp_path.iterdir())) == ([], [])


def test_disk_that_fills_up(args: list[str], run_cli: Run, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    """The checkpoint that is there is intact, and with room again the run goes on to the same end."""
    args = [*args, "--save_every_n_steps", "2"]
    whole = run_cli("fit", *args, "--run_dir", "whole") / "whole"
    save, folder = torch.save, whole.with_name("run")
    calls: list[int] = []

    def fill(content: dict[str, Any], file: Any) -> None:
        calls.append(content["global_step"])
        if calls[-1] < 4:
            return save(content, file)
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2**14, limit[1]))
            return save(content, file)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
            signal.signal(signal.SIGXFSZ, ignored)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", fill)
        with pytest.raises(InputError, match=r"last.ckpt can't be written; the existing one is intact: .*--run_d"):
            run_cli("fit", *args)
    assert (calls, read_step(folder, "last")) == ([2, 4], 2)
    assert not list(folder.rglob("*.unfinished"))
    run_cli("fit", *args)
    assert find_differences(whole, folder) == NO_DIFFERENCES


def test_kill_between_the_last_one_and_the_best_one(
    args: list[str], run_cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that goes on from a last one that is the best gives it that name."""
    args = [*args, "--trainer.max_epochs", "2"]
    whole = run_cli("fit", *args, "--run_dir", "whole") / "whole"
    folder, link = whole.with_name("run"), checkpoints.link_checkpoint
    with monkeypatch.context() as patch:
        patch.setattr("lit_mlm.callbacks.save_checkpoints.link_checkpoint", Mock(side_effect=ZeroDivisionError))
        with pytest.raises(ZeroDivisionError):
            run_cli("fit", *args)
    assert (read_step(folder, "last"), (folder / "checkpoints" / "best.ckpt").exists()) == (6, False)
    linked: list[int] = []

    def note(source: Path, path: Path) -> None:
        linked.append(read_checkpoint(source)["global_step"])
        link(source, path)

    monkeypatch.setattr("lit_mlm.callbacks.save_checkpoints.link_checkpoint", note)
    run_cli("fit", *args)
    assert linked[0] == 6
    assert find_differences(whole, folder) == NO_DIFFERENCES
