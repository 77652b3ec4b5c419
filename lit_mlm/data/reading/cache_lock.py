"""Cache entries written by one process while others wait, possibly on several machines.

An entry is written under a temporary name and renamed, so it appears whole or not at all.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from filelock import FileLock

from lit_mlm.errors import InputError

UNFINISHED = ".unfinished"
"""Suffix of the temporary names, which start with a dot."""


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Holds the lock of a cache entry, a file or folder, which exists afterwards or is for the caller to make.

    The lock file lies beside the entry and stays; a killed process releases its lock. The caller checks for the entry
    both before and within the lock, so that a complete cache may be read-only.
    """
    with explain_disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(path.parent / f".{path.name}.lock").acquire()
    with held:
        yield


@contextmanager
def take_up_file(folder: Path) -> Iterator[Path]:
    """A new temporary file in a folder, for the caller to write and rename; removed if not renamed.

    Also removes temporary files of killed processes, which no longer hold a lock on them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".{uuid4().hex}{UNFINISHED}"
    with FileLock(folder / ".lock"):
        for other in folder.glob(f".*{UNFINISHED}"):
            with suppress(OSError), other.open("r+b") as left:
                fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
                other.unlink()
        file = path.open("xb")
        with suppress(OSError):  # a file system without locks: nothing is removed there either
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        with file:
            yield path
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def explain_disk_errors(folder: Path) -> Iterator[None]:
    """Raises an `InputError` that names the cache folder in place of an `OSError`."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        advice = "free disk space, or choose another folder with data.cache_dir"
        raise InputError(f"can't write to the cache {folder}: {reason}; {advice}") from error
