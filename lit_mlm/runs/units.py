"""Files with the sums of each unit of an evaluation, its documents or sentences, beside its metrics."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from lit_mlm.errors import InputError, shorten
from lit_mlm.runs.atomic import atomic_file

ABOUT = "about"
"""The array with JSON: what the sums are of."""


def get_units_path(metrics: Path, split: str) -> Path:
    """Returns the path for a split beside a file of metrics: ``units-val.npz`` for ``metrics.json``."""
    return metrics.with_name(f"units-{split}{metrics.stem.removeprefix('metrics')}.npz")


def write_units(path: Path, about: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Writes arrays by name, and plain data about them, atomically."""
    with atomic_file(path) as unfinished, unfinished.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **{ABOUT: np.array(json.dumps(about))}, **arrays)
        file.flush()
        os.fsync(file.fileno())


def read_units(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads what `write_units` wrote: the data about the arrays, and the arrays; runs no code."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(str(arrays.pop(ABOUT)))
        if not isinstance(about, dict) or "unit" not in arrays or len({len(array) for array in arrays.values()}) > 1:
            raise ValueError("it has no units")
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is damaged: {shorten(error)}; remove it, and the run is evaluated again") from error
    return about, arrays
