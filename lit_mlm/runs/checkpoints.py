"""What a checkpoint holds beside Lightning's own, and what runs are called."""

import hashlib
import os
import re
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, is_zipfile

import torch

from lit_mlm.errors import InputError, shorten
from lit_mlm.runs.atomic import get_unfinished_path, remove_quietly, write_lines

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
    unfinished = get_unfinished_path(path)
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
        remove_quietly(unfinished)


def link_checkpoint(source: Path, path: Path) -> None:
    """Gives a checkpoint a second name, in place of what had it; the two stay apart when one is written anew.

    Raises:
        InputError: if it can't be written; the message has the reason.
    """
    if path.exists() and path.samefile(source):
        return
    unfinished = get_unfinished_path(path)
    try:
        remove_quietly(unfinished)
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
        remove_quietly(unfinished)


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


def name_run(config: Path) -> str:
    """What runs of a config are called: by its file, or, for the ``config.yaml`` of a run, as that run was."""
    if config.name != "config.yaml":
        return config.stem
    folder = config.resolve().parent
    return folder.parent.name if folder.name.startswith("version_") else folder.name


def _is_whole_zip(path: Path) -> bool:
    """Whether a file has a zip's end, which is missing where it was cut off."""
    try:
        return is_zipfile(path)
    except BadZipFile:  # an end that says what can't be
        return True


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
