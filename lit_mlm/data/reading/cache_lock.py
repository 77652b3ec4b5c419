"""What several processes, also of several machines, want in a cache is made by one of them, while the others wait.

It is made beside its place and renamed, so it appears whole or not at all.
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
"""At the end of the names of what is being made; a dot stands before them."""


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Waits until no other process makes a file or folder, which is then there or this one's to make.

    The lock is a file beside it, which stays; a process that is killed gives its lock back. The caller looks before it
    and within it whether there is anything to make, so that a cache that is full may be read-only.

    Args:
        path: of what is made, which appears whole or not at all.

    Raises:
        InputError: if the folder that it is made in can't be written.
    """
    with explain_disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(path.parent / f".{path.name}.lock").acquire()
    with held:
        yield


@contextmanager
def take_up_file(folder: Path) -> Iterator[Path]:
    """A new file in a folder, for the caller to write and rename; it is removed if that does not come about.

    What processes that were killed have left of this kind is removed too: none of them holds the lock on its file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".{uuid4().hex}{UNFINISHED}"
    with FileLock(folder / ".lock"):
        for other in folder.glob(f".*{UNFINISHED}"):
            with suppress(OSError), other.open("r+b") as left:
                fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
                other.unlink()
        file = path.open("xb")
        with suppress(OSError):  # where the file system has no locks nothing is removed either
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        with file:
            yield path
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def explain_disk_errors(folder: Path) -> Iterator[None]:
    """Says of a cache that can't be written where it is and what to do.

    Raises:
        InputError: in place of an error of the system.
    """
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise InputError(
            f"the cache can't be written: {folder}: {reason}; make room, or name another folder with data.cache_dir"
        ) from error
