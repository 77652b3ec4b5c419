"""Cache folders: written once, each under the digest of what made it, and checked whenever they are opened."""

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import tokenizers
import xxhash

from lit_mlm.data.reading.cache_lock import UNFINISHED, explain_disk_errors, lock

log = logging.getLogger(__name__)

FORMAT = 1
"""Version of what lit-mlm writes; raise it when the same text and options give other tokens or tokenizers."""

DIGESTS = "digests.json"
"""The file with the digest of each other file of a folder."""

ABANDONED_AFTER = 24 * 60 * 60  # seconds; a live process writes more often


def hash_json(content: Any) -> str:
    """Returns the SHA-256 (hex) of plain data, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def name_folder(parent: Path, *key: Any) -> Path:
    """Returns the folder in `parent` for what a key gives with these versions of lit-mlm's format and `tokenizers`.

    Args:
        parent: folder of all entries of a kind.
        key: plain data that determines the content.
    """
    parts = [FORMAT, tokenizers.__version__, *key]
    return parent / hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def make_folder(folder: Path, write: Callable[[Path], object]) -> bool:
    """Fills a cache folder, which appears whole or not at all, unless an earlier call did and it is unchanged.

    Reads all of an existing folder to check its digests; a damaged one is reported and replaced.

    Args:
        folder: from `name_folder`.
        write: writes files into the empty folder that it is given.

    Returns:
        Whether the folder was written.
    """
    if _is_intact(folder):
        return False
    with lock(folder):
        if _is_intact(folder):  # another process may have been faster
            return False
        if folder.exists():
            log.warning("the cache %s is damaged: its files are not those that were written; making it anew", folder)
        _write(folder, write)
    return True


def _is_intact(folder: Path) -> bool:
    try:
        known: object = json.loads((folder / DIGESTS).read_text(encoding="utf-8"))
        return known == _digest_files(folder)
    except (OSError, ValueError):
        return False


def _digest_files(folder: Path) -> dict[str, str]:
    """The digest of each file, at 14 GB/s; it finds damage, not forgery."""
    digests = {}
    for path in sorted(folder.iterdir()):
        if path.name != DIGESTS and not path.name.startswith("."):
            with path.open("rb") as file:
                digests[path.name] = hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()
    return digests


def _write(folder: Path, write: Callable[[Path], object]) -> None:
    """Writes a folder under another name; the caller holds its lock, so unfinished output for it is abandoned."""
    unfinished = folder.with_name(f".{folder.name}{UNFINISHED}")
    shutil.rmtree(unfinished, ignore_errors=True)
    _remove_abandoned(folder.parent)
    try:
        with explain_disk_errors(folder):
            unfinished.mkdir(parents=True)
            write(unfinished)
            (unfinished / DIGESTS).write_text(json.dumps(_digest_files(unfinished)), encoding="utf-8")
            for path in unfinished.iterdir():
                _sync(path)
            if folder.exists():
                shutil.rmtree(folder)
            unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _sync(path: Path) -> None:
    """Waits until a file is on the disk, so that no loss of power leaves a folder of empty files."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _remove_abandoned(cache: Path) -> None:
    """Removes unfinished folders that nothing was written into for a day."""
    for left in cache.glob(f".*{UNFINISHED}"):
        with suppress(OSError):  # another process may have removed it
            written = max(path.stat().st_mtime for path in (left, *left.iterdir()))
            if written < time.time() - ABANDONED_AFTER:
                shutil.rmtree(left)
