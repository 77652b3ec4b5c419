"""What commands that start several runs share: their folder, its settings, and processes with logs."""

import errno
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lit_mlm.cli.plain import print_error
from lit_mlm.errors import InputError
from lit_mlm.runs.atomic import read_json, write_json
from lit_mlm.runs.changes import compare
from lit_mlm.runs.folder import hold_folder, release_folders

COMMAND = (sys.executable, "-m", "lit_mlm")

SETTINGS = "settings.json"
"""The file in the folder of a series with what its runs depend on."""

LOG_FILE = "log.txt"
"""The file with what runs print."""

MAX_LINES = 20
"""Lines of a log that are printed."""


@contextmanager
def holding_series(
    folder: Path, command: str, own: str, settings: dict[str, Any], free: Sequence[str] = ()
) -> Iterator[None]:
    """Holds the folder of a series in a block that SIGTERM ends like Ctrl-C.

    Args:
        folder: of the series.
        command: that makes it.
        own: regular expression of the names that the command and killed ones leave in the folder.
        settings: what the runs depend on; those of an earlier call must be the same.
        free: names of settings that may differ.

    Raises:
        InputError: if the folder has other settings or something else in it.
    """
    former = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        _begin(folder, command, rf"\.lock|\.?{SETTINGS}(\.unfinished)?|{own}", settings, free)
        yield
    except (KeyboardInterrupt, SystemExit):
        print_error(f"stopped; the same command with --run_dir {folder} resumes")
        raise
    finally:
        signal.signal(signal.SIGTERM, former)
        release_folders()


def _begin(folder: Path, command: str, own: str, settings: dict[str, Any], free: Sequence[str]) -> None:
    hold_folder(folder)
    others = [path.name for path in folder.glob("*") if not re.fullmatch(own, path.name)]
    if others:
        raise InputError(f"--run_dir {folder} holds {min(others)}, which {command} didn't write; give another folder")
    differences = compare(read_json(folder / SETTINGS) or settings, settings, free)
    if differences:
        (name, old, new), article = differences[0], "an" if command[0] in "aeiou" else "a"
        found = f"{article} {command} with {name.removeprefix('fit.')} {old!r}"
        raise InputError(f"--run_dir {folder} holds {found}, not {new!r}; give its own value, or another folder")
    write_json(folder / SETTINGS, settings)


def start_process(args: Sequence[str], log: Path, gpus: str | None = None) -> subprocess.Popen[bytes]:
    """Starts a command of lit-mlm.

    Args:
        args: the command and its options.
        log: gets what it prints.
        gpus: CUDA_VISIBLE_DEVICES of the process; None leaves it as it is.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    env = dict(os.environ) if gpus is None else os.environ | {"CUDA_VISIBLE_DEVICES": gpus}
    with log.open("ab") as file:
        # A session of its own: Ctrl-C reaches the series alone, which stops its runs.
        return subprocess.Popen([*COMMAND, *args], stdout=file, stderr=file, env=env, start_new_session=True)


def stop_process(process: subprocess.Popen[bytes]) -> None:
    """Stops a run at the end of a step, with a checkpoint, and waits for it."""
    process.send_signal(signal.SIGTERM)
    process.wait()


def read_failure(log: Path, name: str) -> str:
    """Returns the last lines of a run that has failed.

    Raises:
        InputError: if the disk is full, so that the next run would fail as well.
    """
    last = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-MAX_LINES:])
    if any(os.strerror(number) in last for number in (errno.ENOSPC, errno.EDQUOT)):
        raise InputError(f"{name}: no space left for {log.parent}: free some, and run it again")
    return last
