"""Atomic writes of files and folders: a kill leaves the old one or the new one."""

import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lit_mlm.errors import InputError, shorten


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a JSON file atomically; infinities and NaN become null."""
    write_lines(path, [json.dumps(_make_finite(content), indent=2, allow_nan=False)])


def _make_finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _make_finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_make_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object that `write_json` wrote; empty if there is no file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if not isinstance(content, dict):
            raise ValueError(f"it has {content!r:.60} in place of an object")
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {shorten(error)}; remove it, and fit writes it again") from error
    return content


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Writes a UTF-8 text file atomically; lone surrogates become JSON escapes."""
    with atomic_file(path) as unfinished, unfinished.open("w", encoding="utf-8", errors="backslashreplace") as file:
        file.writelines(f"{line}\n" for line in lines)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yields the path of a new file that replaces `path` once the block succeeds; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = get_unfinished_path(path)
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        remove_quietly(unfinished)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yields a new folder that replaces `folder` once the block succeeds; a link to a folder stays a link.

    After a kill, `restore_folder` brings the old folder back if neither is in place.
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
    """Restores the old folder after a kill within `atomic_folder`, and removes what else it left."""
    unfinished, old = _name_leftovers(folder.resolve())
    if old.exists() and not folder.exists():
        old.rename(folder)
    for path in (unfinished, old):
        if path.is_symlink() or path.is_file():
            remove_quietly(path)
        shutil.rmtree(path, ignore_errors=True)


def check_replaceable(folder: Path) -> None:
    """Refuses a path that `atomic_folder` can't write to, before a training whose results would go there."""
    try:
        target = folder.resolve()
    except RuntimeError as error:
        raise InputError(f"{folder} is a link to itself: remove it") from error
    link = f", which is a link to {target}," if folder.is_symlink() else ""
    there = next(path for path in (target.parent, *target.parents) if path.exists())
    if target.exists() and not target.is_dir():
        raise InputError(f"{folder}{link} is a file, but the run writes a folder there: move it away")
    if os.path.ismount(target):
        raise InputError(f"{folder}{link} is a mount point and can't be replaced: link to a folder within it")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{folder}{link} can't be replaced, as {there} is not writable: change its permissions")


def _name_leftovers(folder: Path) -> tuple[Path, Path]:
    """Names the new and the old folder while they are exchanged; fixed names, so that kills leave one each."""
    return folder.with_name(f".{folder.name}.unfinished"), folder.with_name(f".{folder.name}.old")


def remove_unfinished(folder: Path) -> None:
    """Removes the partial files of a killed run."""
    for path in folder.glob(".*.unfinished"):
        path.unlink()


def get_unfinished_path(path: Path) -> Path:
    """Returns where a file is while it is written; a fixed name, so that kills leave at most one."""
    return path.with_name(f".{path.name}.unfinished")


def remove_quietly(unfinished: Path) -> None:
    """Removes a file, without an error that would replace the one being handled."""
    with suppress(OSError):
        unfinished.unlink(missing_ok=True)
