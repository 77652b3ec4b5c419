"""How files and folders reach the disk whole: a kill leaves the old one or the new one."""

import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a JSON file whole or not at all; infinities and NaN become null, which JSON can hold."""
    finite = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in content.items()
    }
    write_lines(path, [json.dumps(finite, indent=2, allow_nan=False)])


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Writes a UTF-8 text file whole or not at all; halves of characters, which UTF-8 lacks, become escapes of JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = get_unfinished_path(path)
    try:
        with unfinished.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        remove_quietly(unfinished)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Gives a folder to fill, which takes the place of another once it is whole; a link to a folder stays one.

    A kill leaves the old one or the new one, if need be after `restore_folder`.

    Args:
        folder: to be replaced, if it is there.
    """
    folder = folder.resolve()
    restore_folder(folder)
    unfinished, old = _name_leftovers(folder)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        if folder.exists():
            folder.rename(old)
        unfinished.rename(folder)
    finally:
        restore_folder(folder)


def restore_folder(folder: Path) -> None:
    """Puts the old folder back where a kill within `atomic_folder` left none, and removes what else it left."""
    unfinished, old = _name_leftovers(folder.resolve())
    if old.exists() and not folder.exists():
        old.rename(folder)
    for path in (unfinished, old):
        shutil.rmtree(path, ignore_errors=True)


def _name_leftovers(folder: Path) -> tuple[Path, Path]:
    """The names of a new folder that is not whole and of an old one: one each, so that kills leave at most these."""
    return folder.with_name(f".{folder.name}.unfinished"), folder.with_name(f".{folder.name}.old")


def remove_unfinished(folder: Path) -> None:
    """Removes what a run that was killed left half-written."""
    for path in folder.glob(".*.unfinished"):
        path.unlink()


def get_unfinished_path(path: Path) -> Path:
    """Where a file lies while it is written: always the same place, so that at most one is left by a kill."""
    return path.with_name(f".{path.name}.unfinished")


def remove_quietly(unfinished: Path) -> None:
    """Removes a file; the error of a folder that can't be changed is not to stand in the place of the first one."""
    with suppress(OSError):
        unfinished.unlink(missing_ok=True)
