"""What several processes, also of several machines, want in a cache is made by one of them, while the others wait."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Waits until no other process makes a file or folder, which is then there or this one's to make.

    The lock is a file beside it, which stays; a process that is killed gives its lock back. What is there already
    takes no lock, so a cache that is full may be read-only.

    Args:
        path: of what is made, which appears whole or not at all.
    """
    if path.exists():
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):  # several processes made it, in files with names of their own
        yield
        return
    with FileLock(path.parent / f".{path.name}.lock"):
        yield
