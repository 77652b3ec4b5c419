"""Arrays on disk that grow as they are written, and are mapped into memory: the bare numbers, in a file each.

The system gives back the memory of a mapped file when it is short of it, so such arrays may be larger than memory.
"""

import os
import shutil
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lit_mlm.data.reading.cache_lock import UNFINISHED, explain_disk_errors

Arrays = dict[str, npt.NDArray[Any]]
"""Arrays of one dimension by the names of their files."""

ABANDONED_AFTER = 24 * 60 * 60
"""Seconds in which a process that is alive writes more."""


def write_arrays(folder: Path, parts: Iterable[Arrays], dtypes: Mapping[str, npt.DTypeLike]) -> None:
    """Writes arrays part after part, into files of a folder that appears once they are whole.

    The caller holds the folder's `lock`: what another process left unfinished of it is removed, and so is what has been
    left of folders beside it for a day, which perhaps nobody asks for again.

    Args:
        folder: is not there yet.
        parts: what comes next in each array.
        dtypes: the types of the arrays.

    Raises:
        InputError: if the disk is full, or may not be written to.
    """
    unfinished = folder.with_name(f".{folder.name}{UNFINISHED}")
    shutil.rmtree(unfinished, ignore_errors=True)
    _remove_abandoned(folder.parent)
    try:
        with explain_disk_errors(folder), ExitStack() as opened:
            unfinished.mkdir(parents=True)
            files = {name: opened.enter_context((unfinished / name).open("xb", buffering=0)) for name in dtypes}
            for part in parts:
                for name, dtype in dtypes.items():
                    rest = memoryview(part[name].astype(dtype, copy=False).tobytes())
                    while rest:  # a disk that becomes full takes a part
                        rest = rest[files[name].write(rest) :]
            for file in files.values():
                os.fsync(file.fileno())
            unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _remove_abandoned(cache: Path) -> None:
    for left in cache.glob(f".*{UNFINISHED}"):
        with suppress(OSError):  # another process may remove it, too
            written = max(path.stat().st_mtime for path in (left, *left.iterdir()))
            if written < time.time() - ABANDONED_AFTER:
                shutil.rmtree(left)


def map_arrays(folder: Path, dtypes: Mapping[str, npt.DTypeLike]) -> Arrays | None:
    """The arrays of a folder, which can only be read; None if one is missing or was cut short within a number.

    Args:
        folder: as of `write_arrays`.
        dtypes: the types of the arrays that are wanted.
    """
    try:
        # As plain arrays: numpy is slow to index its own kind of mapped ones.
        return {
            name: np.asarray(np.memmap(folder / name, dtype, "r"))
            if (folder / name).stat().st_size
            else np.empty(0, dtype)
            for name, dtype in dtypes.items()
        }
    except (OSError, ValueError):
        return None
