"""One-dimensional arrays on disk, one raw file each: appended while written, then memory-mapped.

The system can evict mapped pages, so arrays may be larger than memory.
"""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[Any]]
"""One-dimensional arrays by file name."""


def write_arrays(folder: Path, parts: Iterable[Arrays], dtypes: Mapping[str, npt.DTypeLike]) -> None:
    """Writes arrays part by part into a folder.

    Args:
        folder: has none of the files yet.
        parts: the next part of each array.
        dtypes: of the arrays.
    """
    with ExitStack() as opened:
        files = {name: opened.enter_context((folder / name).open("xb", buffering=0)) for name in dtypes}
        for part in parts:
            for name, dtype in dtypes.items():
                rest = memoryview(part[name].astype(dtype, copy=False).tobytes())
                while rest:  # a nearly full disk accepts only a part
                    rest = rest[files[name].write(rest) :]


def map_arrays(folder: Path, dtypes: Mapping[str, npt.DTypeLike]) -> Arrays:
    """Maps the arrays of `write_arrays` read-only."""
    # As plain arrays, since indexing an np.memmap is slow.
    return {
        name: np.asarray(np.memmap(folder / name, dtype, "r")) if (folder / name).stat().st_size else np.empty(0, dtype)
        for name, dtype in dtypes.items()
    }
