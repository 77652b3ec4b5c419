"""What is left in a run's folder by one that ends before its first step."""

from pathlib import Path
from unittest.mock import Mock

import pytest

from lit_mlm.callbacks.clean_up_failed_run import CleanUpFailedRun
from lit_mlm.runs.folder import hold_folder, release_folders


def write(folder: Path) -> None:
    """As a run does before its first step."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.yaml", "events.out.tfevents.2"):
        (folder / name).write_text("new")


def begin(folder: Path) -> CleanUpFailedRun:
    """As a command does."""
    hold_folder(folder)
    return CleanUpFailedRun(folder)


def end(callback: CleanUpFailedRun, is_global_zero: bool = True) -> None:
    callback.on_exception(Mock(is_global_zero=is_global_zero), Mock(), ValueError())
    release_folders()


def test_new_folder_is_removed_with_its_parents(tmp_path: Path) -> None:
    callback = begin(tmp_path / "runs" / "imdb" / "version_0")
    write(tmp_path / "runs" / "imdb" / "version_0")
    end(callback)
    assert list(tmp_path.iterdir()) == []


def test_folder_of_another_run_stays(tmp_path: Path) -> None:
    callback = begin(tmp_path / "runs" / "imdb" / "version_0")
    write(tmp_path / "runs" / "imdb" / "version_0")
    write(tmp_path / "runs" / "imdb" / "version_1")
    end(callback)
    assert [path.name for path in (tmp_path / "runs" / "imdb").iterdir()] == ["version_1"]


def test_folder_that_was_there_gets_its_files_back(tmp_path: Path) -> None:
    for name in ("config.yaml", "events.out.tfevents.1", "last.ckpt"):
        (tmp_path / name).write_text("old")
    callback = begin(tmp_path)
    write(tmp_path)
    (tmp_path / "notes.txt").write_text("of the user")
    end(callback)
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    old = dict.fromkeys(("config.yaml", "events.out.tfevents.1", "last.ckpt"), "old")
    assert found == old | {"notes.txt": "of the user"}


@pytest.mark.parametrize("is_started", [True, False])
def test_what_is_kept(is_started: bool, tmp_path: Path) -> None:
    """A run that has begun to train, and whatever other processes than the first meet."""
    callback = begin(tmp_path / "run")
    write(tmp_path / "run")
    if is_started:
        callback.on_train_start(Mock(), Mock())
    end(callback, is_global_zero=is_started)
    assert len(list((tmp_path / "run").iterdir())) == 2


@pytest.mark.parametrize("saved", ["checkpoints/last.ckpt", "metrics.json", "hf/config.json", "predictions.jsonl"])
def test_what_another_process_saved_is_kept(saved: str, tmp_path: Path) -> None:
    """As the processes of `ddp_fork` do."""
    callback = begin(tmp_path / "run")
    write(tmp_path / "run")
    (tmp_path / "run" / saved).parent.mkdir(exist_ok=True)
    (tmp_path / "run" / saved).touch()
    end(callback)
    assert {"config.yaml", "events.out.tfevents.2", saved.partition("/")[0]} == {
        path.name for path in (tmp_path / "run").iterdir()
    }
