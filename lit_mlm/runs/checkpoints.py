"""Checkpoint files: written atomically with a checksum, verified, and read without running code."""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, is_zipfile

import torch

from lit_mlm.errors import InputError, shorten
from lit_mlm.runs.atomic import get_unfinished_path, remove_quietly, write_lines

RECORD = "lit_mlm"
"""The key of lit-mlm's record in a checkpoint, which restores the net without Hub or first model."""

CHECKSUM = ".sha256"
"""The suffix of the file with a checkpoint's checksum."""


def read_checkpoint(path: str | Path, mmap: bool = True) -> dict[str, Any]:
    """Reads a checkpoint without running code from it; `mmap` leaves tensors on disk until they are used."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no checkpoint {path}")
    verify_checkpoint(path)
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:  # damaged bytes may raise anything
        state = f"damaged ({shorten(error)[:120]})" if _is_whole_zip(path) else "truncated or of another format"
        raise InputError(f"{path} is not a checkpoint of lit-mlm: it is {state}") from error
    if not isinstance(checkpoint, dict) or RECORD not in checkpoint:
        found = f"the keys {', '.join(sorted(map(str, checkpoint)))}" if isinstance(checkpoint, dict) else "no keys"
        raise InputError(f"{path} is not a checkpoint of lit-mlm: it has {found[:200]}")
    _check_record(path, checkpoint[RECORD])
    return checkpoint


def verify_checkpoint(path: Path) -> None:
    """Compares a checkpoint with the checksum file beside it, if there is one."""
    checksum = _get_checksum_path(path)
    if checksum.is_file():
        expected = _read_digests(path)
        found = hash_checkpoint(path)
        if found not in expected:
            raise InputError(
                f"{path} is damaged: its SHA-256 is {found[:12]}..., but {checksum.name} has "
                f"{', '.join(f'{digest[:12]}...' for digest in expected) or 'none'}; use another checkpoint"
            )


def hash_checkpoint(path: Path) -> str:
    """Returns the SHA-256 (hex) of a checkpoint."""
    state = path.stat()
    return _hash_file(path, state.st_mtime_ns, state.st_size)


def write_checkpoint(content: dict[str, Any], path: Path) -> None:
    """Writes a checkpoint and its checksum atomically."""
    with _writing(path) as unfinished:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        with unfinished.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        _replace_both(unfinished, path, digest)


def link_checkpoint(source: Path, path: Path) -> None:
    """Hard-links a checkpoint as `path`, replacing what was there; a later write to one does not change the other."""
    if path.exists() and path.samefile(source):
        return
    with _writing(path) as unfinished:
        remove_quietly(unfinished)
        link_or_copy(source, unfinished)
        digests = _read_digests(source) if _get_checksum_path(source).is_file() else []
        _replace_both(unfinished, path, digests[0] if len(digests) == 1 else hash_checkpoint(source))


def remove_checkpoint(path: Path) -> None:
    """Removes a checkpoint and its checksum, if they exist."""
    for part in (path, _get_checksum_path(path)):
        part.unlink(missing_ok=True)


def find_checkpoint(folder: Path) -> tuple[Path | None, list[str]]:
    """Returns the newest readable checkpoint in a folder, or None, and what is wrong with unreadable ones."""
    problems, found = [], []
    for path in sorted(folder.glob("*.ckpt")):
        try:
            found.append((int(read_checkpoint(path)["global_step"]), path.name == "last.ckpt", path))
        except InputError as error:
            problems.append(str(error))
    return max(found, default=(0, False, None))[2], problems


def _check_record(path: str | Path, record: Any) -> None:
    """Refuses a record that lit-mlm did not write, before its values are used."""
    kinds = {"auto_class": str, "config": dict, "options": dict, "tokenizer": dict, "results": dict}
    fields = record if isinstance(record, dict) else {}
    wrong = [name for name, kind in kinds.items() if not isinstance(fields.get(name), kind)]
    if not wrong and not re.fullmatch(r"AutoModel\w*", fields["auto_class"]):
        wrong = ["auto_class"]
    files = {} if wrong else fields["tokenizer"]
    if not all(isinstance(name, str) and isinstance(content, torch.Tensor) for name, content in files.items()):
        wrong = ["tokenizer"]
    if wrong:
        raise InputError(f"{path} is not a checkpoint of lit-mlm: its record has an invalid {', '.join(wrong)}")


def name_run(config: Path) -> str:
    """Returns the name of a config's runs: the stem of its file, or, for a run's ``config.yaml``, that run's name."""
    if config.name != "config.yaml":
        return config.stem
    folder = config.resolve().parent
    return folder.parent.name if folder.name.startswith("version_") else folder.name


@contextmanager
def _writing(path: Path) -> Iterator[Path]:
    """Yields a temporary path for a checkpoint, removes it afterwards, and explains a failure."""
    unfinished = get_unfinished_path(path)
    try:
        yield unfinished
    except (OSError, RuntimeError) as error:  # torch wraps errors of the system in RuntimeError
        kept = "; the existing one is intact" if path.exists() else ""
        raise InputError(
            f"the checkpoint {path} can't be written{kept}: {shorten(error)[:200]}; make room there, then repeat the "
            "command with the same --run_dir"
        ) from error
    finally:
        remove_quietly(unfinished)


def _is_whole_zip(path: Path) -> bool:
    """Whether a file has the end of a zip, which a truncated one lacks."""
    try:
        return is_zipfile(path)
    except BadZipFile:  # an inconsistent end
        return True


def link_or_copy(source: Path, path: Path) -> None:
    """Hard-links a file, or copies it where the file system has no links."""
    try:
        os.link(source, path)
    except OSError:
        with source.open("rb") as original, path.open("wb") as file:
            shutil.copyfileobj(original, file)
            file.flush()
            os.fsync(file.fileno())


def _read_digests(path: Path) -> list[str]:
    """Returns the valid checksums of a checkpoint, the newest last."""
    return _get_checksum_path(path).read_text(encoding="ascii", errors="replace").split()


def _get_checksum_path(path: Path) -> Path:
    return path.with_name(path.name + CHECKSUM)


def _replace_both(unfinished: Path, path: Path, digest: str) -> None:
    """Moves a checkpoint into place; meanwhile the checksum file holds the old and the new digest."""
    checksum = _get_checksum_path(path)
    # Keeps all: a run killed here leaves the digest of a file that was never moved.
    old = _read_digests(path) if checksum.is_file() and path.exists() else []
    if path.exists() and not old:  # else a kill would make it look damaged
        old = [hash_checkpoint(path)]
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
    """Returns the SHA-256 (hex) of a file, cached by modification time and size."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
