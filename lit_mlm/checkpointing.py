"""What a checkpoint holds beside Lightning's own, what runs are called, and how files reach the disk whole."""

import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, is_zipfile

import torch

from lit_mlm.errors import InputError, shorten

RECORD = "lit_mlm"
"""The key of our record in a checkpoint: what it takes to restore the net with neither Hub nor first model."""

CHECKSUM = ".sha256"
"""What stands behind the name of a checkpoint in that of the file with its checksum."""


def read_checkpoint(path: str | Path, mmap: bool = True) -> dict[str, Any]:
    """Reads a checkpoint without running code from it.

    Args:
        path: of the file.
        mmap: leaves tensors on disk until they are used.

    Raises:
        InputError: if there is no such file, it is not what was written, or lit-mlm did not write it.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no checkpoint {path}")
    verify_checkpoint(path)
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:  # torch's reader raises whatever damaged bytes lead it to
        state = f"damaged ({shorten(error)[:120]})" if _is_whole_zip(path) else "cut off, or something else"
        raise InputError(f"{path} is not a checkpoint of lit-mlm: it is {state}") from error
    if not isinstance(checkpoint, dict) or RECORD not in checkpoint:
        found = f"the keys {', '.join(sorted(map(str, checkpoint)))}" if isinstance(checkpoint, dict) else "no keys"
        raise InputError(f"{path} is not a checkpoint of lit-mlm: it has {found[:200]}")
    _check_record(path, checkpoint[RECORD])
    return checkpoint


def verify_checkpoint(path: Path) -> None:
    """Compares a checkpoint with the checksum beside it; one without is taken as it is.

    Raises:
        InputError: if they differ.
    """
    checksum, state = _get_checksum_path(path), path.stat()
    if checksum.is_file():
        expected = _read_digests(path)
        found = _hash_file(path, state.st_mtime_ns, state.st_size)
        if found not in expected:
            raise InputError(
                f"{path} is damaged: its SHA-256 is {found[:12]}..., but {checksum.name} has "
                f"{', '.join(f'{digest[:12]}...' for digest in expected) or 'none'}; take another checkpoint"
            )


def write_checkpoint(content: dict[str, Any], path: Path) -> None:
    """Writes a checkpoint whole, and its checksum beside it, or leaves both as they were.

    Raises:
        InputError: if it can't be written; the message has the reason.
    """
    unfinished = _get_unfinished_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        with unfinished.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        _replace_both(unfinished, path, digest)
    except (OSError, RuntimeError) as error:  # torch's writer turns the system's errors into its own
        kept = "; the one that is there is intact" if path.exists() else ""
        raise InputError(
            f"the checkpoint {path} can't be written{kept}: {shorten(error)[:200]}; make room there, then give the "
            "same command with the same --run_dir"
        ) from error
    finally:
        _remove(unfinished)


def link_checkpoint(source: Path, path: Path) -> None:
    """Gives a checkpoint a second name, in place of what had it; the two stay apart when one is written anew.

    Raises:
        InputError: if it can't be written; the message has the reason.
    """
    if path.exists() and path.samefile(source):
        return
    unfinished = _get_unfinished_path(path)
    try:
        _remove(unfinished)
        _link_or_copy(source, unfinished)
        digests = _read_digests(source) if _get_checksum_path(source).is_file() else []
        found = _hash_file(source, source.stat().st_mtime_ns, source.stat().st_size)
        _replace_both(unfinished, path, digests[0] if len(digests) == 1 else found)
    except OSError as error:
        raise InputError(
            f"the checkpoint {path} can't be written: {shorten(error)[:200]}; make room there, then give the same "
            "command with the same --run_dir"
        ) from error
    finally:
        _remove(unfinished)


def remove_checkpoint(path: Path) -> None:
    """Removes a checkpoint and its checksum, if they are there."""
    for part in (path, _get_checksum_path(path)):
        part.unlink(missing_ok=True)


def find_checkpoint(folder: Path) -> tuple[Path | None, list[str]]:
    """The newest checkpoint of a run that can be read.

    Args:
        folder: holds the checkpoints of a run.

    Returns:
        Its path, None if there is none, and what is wrong with the ones that can't be read.
    """
    problems, found = [], []
    for path in sorted(folder.glob("*.ckpt")):
        try:
            found.append((int(read_checkpoint(path)["global_step"]), path.name == "last.ckpt", path))
        except InputError as error:
            problems.append(str(error))
    return max(found, default=(0, False, None))[2], problems


def remove_unfinished(folder: Path) -> None:
    """Removes what a run that was killed left half-written."""
    for path in folder.glob(".*.unfinished"):
        path.unlink()


def _check_record(path: str | Path, record: Any) -> None:
    """Refuses a record that lit-mlm did not write, before its values are taken for names and options."""
    kinds = {"auto_class": str, "config": dict, "options": dict, "tokenizer": dict, "results": dict}
    fields = record if isinstance(record, dict) else {}
    wrong = [name for name, kind in kinds.items() if not isinstance(fields.get(name), kind)]
    if not wrong and not re.fullmatch(r"AutoModel\w*", fields["auto_class"]):
        wrong = ["auto_class"]
    files = {} if wrong else fields["tokenizer"]
    if not all(isinstance(name, str) and isinstance(content, torch.Tensor) for name, content in files.items()):
        wrong = ["tokenizer"]
    if wrong:
        raise InputError(f"{path} is not a checkpoint of lit-mlm: its record has a wrong {', '.join(wrong)}")


def refuse_changes(section: str, options: dict[str, Any], saved: dict[str, Any]) -> None:
    """Compares options with those that a checkpoint was made with, and that loading it would silently put in place.

    Args:
        section: where the options stand in a config, for the message.
        options: the options that must not differ, by name.
        saved: the checkpoint's; those that it lacks are not compared.

    Raises:
        InputError: if one differs; the message has both values.
    """
    for name, value in options.items():
        # A YAML or a checkpoint may have made a list of a tuple.
        ours, theirs = (list(v) if isinstance(v, tuple) else v for v in (value, saved.get(name, value)))
        if ours != theirs:
            raise InputError(
                f"{section}.{name} is {ours!r}, but the checkpoint was made with {theirs!r}, which would take its "
                "place; give the checkpoint's value, or start from its hf folder instead"
            )


def name_run(config: Path) -> str:
    """What runs of a config are called: by its file, or, for the ``config.yaml`` of a run, as that run was."""
    if config.name != "config.yaml":
        return config.stem
    folder = config.resolve().parent
    return folder.parent.name if folder.name.startswith("version_") else folder.name


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a JSON file whole or not at all; infinities and NaN become null, which JSON can hold."""
    finite = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in content.items()
    }
    write_lines(path, [json.dumps(finite, indent=2, allow_nan=False)])


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Writes a UTF-8 text file whole or not at all; halves of characters, which UTF-8 lacks, become escapes of JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = _get_unfinished_path(path)
    try:
        with unfinished.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        _remove(unfinished)


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


def _is_whole_zip(path: Path) -> bool:
    """Whether a file has a zip's end, which is missing where it was cut off."""
    try:
        return is_zipfile(path)
    except BadZipFile:  # an end that says what can't be
        return True


def _get_unfinished_path(path: Path) -> Path:
    """Where a file lies while it is written: always the same place, so that at most one is left by a kill."""
    return path.with_name(f".{path.name}.unfinished")


def _remove(unfinished: Path) -> None:
    """Removes a file; the error of a folder that can't be changed is not to stand in the place of the first one."""
    with suppress(OSError):
        unfinished.unlink(missing_ok=True)


def _link_or_copy(source: Path, path: Path) -> None:
    try:
        os.link(source, path)
    except OSError:  # a file system without links
        with source.open("rb") as original, path.open("wb") as file:
            shutil.copyfileobj(original, file)
            file.flush()
            os.fsync(file.fileno())


def _read_digests(path: Path) -> list[str]:
    """The checksums that a checkpoint may have, the newest last; a file that is damaged has none that fit."""
    return _get_checksum_path(path).read_text(encoding="ascii", errors="replace").split()


def _get_checksum_path(path: Path) -> Path:
    return path.with_name(path.name + CHECKSUM)


def _replace_both(unfinished: Path, path: Path, digest: str) -> None:
    """Puts a checkpoint in its place; until it is there the checksum's file has both the old one's and its own."""
    checksum = _get_checksum_path(path)
    # All that are there: a run that was killed here may have left that of a file which never came.
    old = _read_digests(path) if checksum.is_file() and path.exists() else []
    if path.exists() and not old:  # without a checksum: it would not be taken for damaged
        old = [_hash_file(path, path.stat().st_mtime_ns, path.stat().st_size)]
    write_lines(checksum, [*old, digest])
    unfinished.replace(path)
    write_lines(checksum, [digest])
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@lru_cache(maxsize=16)
def _hash_file(path: Path, changed_ns: int, size: int) -> str:
    """SHA-256 (hex) of a file as it was at a time; each is read once."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
