"""Selects the run folder and decides whether the run may be resumed.

A folder belongs to one config: the same command with the same ``--run_dir`` resumes an interrupted run.
"""

import fcntl
import logging
import os
import socket
import sys
from itertools import count
from pathlib import Path
from typing import IO, Any

from lit_mlm.errors import InputError
from lit_mlm.runs.atomic import check_replaceable, read_json, restore_folder
from lit_mlm.runs.changes import find_differences, refuse_differences
from lit_mlm.runs.checkpoints import find_checkpoint, read_checkpoint
from lit_mlm.runs.loggers import read_ids

log = logging.getLogger(__name__)

LOCK = ".lock"

RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
"""Environment variables with the rank of this process; rank 0 holds the folder."""

_held: dict[Path, tuple[IO[str], list[Path]]] = {}
"""The locks of the folders that this process holds, and the folders that it created for them."""


def claim_folder(runs: Path) -> Path:
    """Creates and holds the next ``version_<N>`` in a folder."""
    numbers = [int(path.name.removeprefix("version_")) for path in find_versions(runs)]
    for number in count(max(numbers, default=-1) + 1):
        folder = runs / f"version_{number}"
        try:
            hold_folder(folder)
            return folder
        except InputError:
            if not folder.exists():  # else another process has taken it
                raise
    raise RuntimeError("unreachable")


def find_versions(runs: Path) -> list[Path]:
    """Returns the folders ``version_<N>`` in a folder."""
    return [path for path in runs.glob("version_*") if path.name.removeprefix("version_").isdigit()]


def is_new(folder: Path) -> bool:
    """Whether this process holds a folder and created it."""
    _, new_folders = _held.get(folder.resolve(), (None, []))
    return bool(new_folders)


def hold_folder(folder: Path) -> None:
    """Locks a run folder until this process ends; ranks other than the first do nothing."""
    folder = folder.resolve()
    if folder in _held or any(os.environ.get(name, "0") != "0" for name in RANKS):
        return
    new_folders = [path for path in (folder, *folder.parents) if not path.exists()]
    file = _open_lock(folder)
    try:
        # Not `flock`, which forked processes would keep for seconds after a kill.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:  # POSIX allows either
        file.seek(0)
        owner = file.read().strip() or "another process"
        file.close()
        raise InputError(
            f"the run folder {folder} is in use by {owner}: wait for it, stop it, or give another --run_dir"
        ) from error
    except OSError:  # no locks on this file system
        file.close()
        return
    if not (folder / LOCK).exists() or not os.path.samestat(os.fstat(file.fileno()), (folder / LOCK).stat()):
        file.close()  # its last owner has just removed it
        hold_folder(folder)
        return
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    _held[folder] = file, new_folders


def find_owner(folder: Path) -> str | None:
    """Returns the process that holds a run folder, if it is another one than this."""
    try:
        with (folder / LOCK).open("r+", encoding="utf-8") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return (folder / LOCK).read_text(encoding="utf-8").strip() or "another process"
    except OSError:  # no such file, or no locks on this file system
        return None
    return None


def _open_lock(folder: Path) -> IO[str]:
    """Creates a folder and opens its lock file."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{folder} can't be written to ({error.strerror}); change its permissions, or give another --run_dir"
        ) from error


def release_folders() -> None:
    """Releases the folders that this process holds, and removes those that it created and that are empty."""
    for folder, (file, new_folders) in _held.items():
        (folder / LOCK).unlink(missing_ok=True)
        file.close()
        for path in new_folders:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
    _held.clear()


def choose_run(config: Any, name: str, content: dict[str, Any]) -> None:
    """Selects the run to resume and its checkpoint, and fills in `run_dir` and `ckpt_path` of the config of ``fit``.

    Args:
        config: of ``fit``.
        name: of the config's runs.
        content: the config, as `yaml.safe_load` returns it.

    Raises:
        SystemExit: if the run is finished.
    """
    runs = Path(config.trainer.default_root_dir or "runs") / name
    if config.run_dir is None and config.ckpt_path == "last":
        config.run_dir = str(find_unfinished_run(runs, content))
    if config.run_dir is None:
        _require_checkpoint(config)
        _fill_run_dir(config, runs)
        return
    run_dir = Path(config.run_dir)
    check_written(run_dir)
    if not (run_dir / "config.yaml").is_file():
        if config.ckpt_path in ("best", "last"):
            raise InputError(f"--ckpt_path {config.ckpt_path}: --run_dir {run_dir} holds no run")
        _require_checkpoint(config)
        return
    hold_folder(run_dir)
    restore_folder(run_dir / "hf")
    if not config.allow_changes:
        refuse_differences(run_dir, content)
    last = (run_dir / "checkpoints" / "last.ckpt").resolve()
    if config.ckpt_path in (None, "last") or Path(config.ckpt_path).resolve() == last:
        if is_finished(run_dir) and not find_differences(run_dir, content):
            log.info("the run in %s is finished; give another --run_dir to train again", run_dir)
            sys.exit(0)
        path, problems = find_last(run_dir)
        for problem in problems:
            log.warning("using %s instead: %s", path, problem)
        config.ckpt_path = None if path is None else str(path)
    elif config.ckpt_path == "best":
        config.ckpt_path = str(run_dir / "checkpoints" / "best.ckpt")
    _require_checkpoint(config)
    if config.ckpt_path and Path(config.ckpt_path).resolve().parent != (run_dir / "checkpoints").resolve():
        raise InputError(
            f"--run_dir {run_dir} holds a run, and --ckpt_path {config.ckpt_path} is not one of its checkpoints; leave "
            "--ckpt_path out to resume that run, or give another folder"
        )


def choose_evaluated(config: Any, name: str) -> None:
    """Selects the checkpoint to evaluate, by default the best of the run, and fills in `run_dir` and `ckpt_path`.

    A checkpoint of another run is refused; without a run a new folder is made among the runs `name`.
    """
    if config.run_dir is None:
        if config.ckpt_path in ("best", "last"):
            raise InputError(f"--ckpt_path {config.ckpt_path} needs --run_dir, the folder of the run it is from")
        _require_checkpoint(config)
        _fill_run_dir(config, Path(config.trainer.default_root_dir or "runs") / name)
        return
    folder = Path(config.run_dir) / "checkpoints"
    check_written(folder.parent)
    has_run = any(folder.glob("*.ckpt"))
    if has_run and config.ckpt_path is None:
        config.ckpt_path = "best"
    if config.ckpt_path in ("best", "last"):
        config.ckpt_path = str(folder / f"{config.ckpt_path}.ckpt")
    _require_checkpoint(config)
    if folder.parent.is_dir():
        hold_folder(folder.parent)
        restore_folder(folder.parent / "hf")
    if has_run and Path(config.ckpt_path).resolve().parent != folder.resolve():
        raise InputError(
            f"{config.run_dir} holds metrics of its own checkpoints, and --ckpt_path {config.ckpt_path} is not one of "
            "them: leave it out, or give another --run_dir"
        )


def check_written(run_dir: Path) -> None:
    """Refuses a run folder with damaged files that a run reads, or with something else in the place of its model."""
    for path in run_dir.glob("metrics*.json"):
        read_json(path)
    read_ids(run_dir)
    check_replaceable(run_dir / "hf")


def _fill_run_dir(config: Any, runs: Path) -> None:
    """Chooses a new folder, unless the run is a `fast_dev_run`."""
    if config.trainer.fast_dev_run:
        return
    if (runs / "config.yaml").is_file():
        raise InputError(f"{runs} is a run folder and can't contain other runs: give --run_dir, or another config")
    config.run_dir = str(claim_folder(runs))


def _require_checkpoint(config: Any) -> None:
    if config.ckpt_path is not None and not Path(config.ckpt_path).is_file():
        others = ", ".join(sorted(path.name for path in Path(config.ckpt_path).parent.glob("*.ckpt")))
        raise InputError(f"--ckpt_path: there is no checkpoint {config.ckpt_path}{others and f', only {others}'}")


def find_unfinished_run(runs: Path, config: dict[str, Any]) -> Path:
    """Returns the newest interrupted run of a config."""
    for folder in sorted(find_versions(runs), key=lambda path: -int(path.name.removeprefix("version_"))):
        saved = folder / "config.yaml"
        if saved.is_file() and not find_differences(folder, config) and not is_finished(folder):
            return folder
    raise InputError(
        f"--ckpt_path last: {runs} holds no unfinished run of this config; leave it out to start one, or give the "
        "folder of a run as --run_dir"
    )


def is_finished(folder: Path) -> bool:
    """Whether a run's metrics belong to its last checkpoint."""
    last, metrics = folder / "checkpoints" / "last.ckpt", folder / "metrics.json"
    if not (last.is_file() and metrics.is_file() and (folder / "hf").is_dir()):
        return False
    try:
        step = int(read_checkpoint(last)["global_step"])
    except InputError:  # damaged: not finished
        return False
    return bool(read_json(metrics).get("last/step") == step)


def find_last(folder: Path) -> tuple[Path | None, list[str]]:
    """Returns the checkpoint to resume from, or None, and what is wrong with damaged ones."""
    path, problems = find_checkpoint(folder / "checkpoints")
    if path is None and problems:
        raise InputError(f"--run_dir {folder} has no readable checkpoint: {'; '.join(problems)}")
    return path, problems
