"""Options that several commands have, checked before anything runs."""

import os
from pathlib import Path

from lit_mlm.errors import InputError

MAX_SEED = 2**32 - 1
"""The largest seed that numpy takes."""


def check_seed(name: str, seed: int | bool | None) -> None:
    """Refuses a seed that numpy doesn't take."""
    if not 0 <= int(seed or 0) <= MAX_SEED:
        raise InputError(f"{name} must be between 0 and {MAX_SEED}, got {seed}")


def check_folder(name: str, folder: str) -> None:
    """Refuses a folder that can't be made or written to; it makes none."""
    if not folder:
        raise InputError(f"{name} is empty; give the path of a folder, or leave it out")
    path = Path(folder).expanduser().absolute()
    there = next(parent for parent in (path, *path.parents) if parent.exists() or parent.is_symlink())
    if not there.is_dir():
        raise InputError(f"{name} {folder}: {there} is a file, not a folder; give another path")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{name} {folder}: {there} is not writable; give another path")
