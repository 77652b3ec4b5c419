"""One-dimensional arrays on disk, one raw file each: appended while written, then memory-mapped.

The system can evict mapped pages, so arrays may be larger than memory.
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
"""One-dimensional arrays by file name."""

ABANDONED_AFTER = 24 * 60 * 60  # seconds; a live process writes more often


def write_arrays(folder: Path, parts: Iterable[Arrays], dtypes: Mapping[str, npt.DTypeLike]) -> None:
    """Writes arrays part by part into a folder that appears once they are complete.

    The caller holds the folder's `lock`, so unfinished output of killed processes for this folder is removed, as are
    unfinished folders beside it that are more than a day old.

    Args:
        folder: does not exist yet.
        parts: the next part of each array.
        dtypes: of the arrays.
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
                    while rest:  # a nearly full disk accepts only a part
                        rest = rest[files[name].write(rest) :]
            for file in files.values():
                os.fsync(file.fileno())
            unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _remove_abandoned(cache: Path) -> None:
    for left in cache.glob(f".*{UNFINISHED}"):
        with suppress(OSError):  # another process may have removed it
            written = max(path.stat().st_mtime for path in (left, *left.iterdir()))
            if written < time.time() - ABANDONED_AFTER:
                shutil.rmtree(left)


def map_arrays(folder: Path, dtypes: Mapping[str, npt.DTypeLike]) -> Arrays | None:
    """Maps the arrays of `write_arrays` read-only; None if one is missing or truncated within a number."""
    try:
        # As plain arrays, since indexing an np.memmap is slow.
        return {
            name: np.asarray(np.memmap(folder / name, dtype, "r"))
            if (folder / name).stat().st_size
            else np.empty(0, dtype)
            for name, dtype in dtypes.items()
        }
    except (OSError, ValueError):
        return None
