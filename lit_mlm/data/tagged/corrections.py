"""CleanCoNLL: corrected entities of CoNLL-2003, published without the words.

By Rücker and Akbik (2023, "CleanCoNLL: A nearly noise-free named entity recognition dataset", EMNLP), in the layout of
https://github.com/flairNLP/CleanCoNLL: patches of the words, one per line, in the normal format of ``diff``, and files
of five columns in which each word is ``[TOKEN]``, with the entities last.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lit_mlm.data.reading.files import decode_lines, read_bytes
from lit_mlm.errors import InputError

NAMES = {"train": "train", "val": "dev", "test": "test"}
"""The names of the splits in those of the files."""

BOUNDARY_TAG = "-X-"
"""The part of speech of a line that starts a document."""

_HUNK = re.compile(r"(\d+)(?:,(\d+))?([acd])(\d+)(?:,(\d+))?")


def merge_corrections(path: Path, folder: Path, split: str, encoding: str) -> tuple[Path, bytes]:
    """Puts the words of a file of CoNLL-2003 into the annotations of CleanCoNLL.

    Args:
        path: the file, with words in its first column.
        folder: of the repository, or its folder ``data``.
        split: train, val or test.
        encoding: of `path`.

    Returns:
        The file of the annotations, and its content with words, for `parse_columns`; their lines are the same.
    """
    root = folder / "data" if (folder / "data").is_dir() else folder
    patch = root / "patch_files" / f"{NAMES[split]}_tokens.patch"
    annotations = root / "cleanconll_annotations" / f"cleanconll_annotations.{NAMES[split]}"
    for file in (patch, annotations):
        if not file.is_file():
            raise InputError(f"data.corrections {folder}: there is no {file}; give a clone of flairNLP/CleanCoNLL")
    words = [line.text.split(maxsplit=1)[0] if line.text.strip() else "" for line in _read(path, encoding)]
    words = apply_patch(words, patch, path)
    lines = []
    for number, line in enumerate(_read(annotations, "utf-8")):
        word, fields = words[number] if number < len(words) else "", line.text.split("\t")
        is_boundary = len(fields) > 1 and fields[1] == BOUNDARY_TAG
        if (word == "") != (line.text == "") or is_boundary != word.startswith("-DOCSTART-"):
            raise InputError(
                f"{annotations}, line {number + 1}: {line.text!r:.60} can't be of the word {word!r:.60} of {path}; "
                "give the files and the corrections of the same corpus"
            )
        lines.append("\t".join([word, *fields[1:]]))
    if len(lines) < len(words):
        raise InputError(f"{annotations} has {len(lines):,} lines, but {path} has {len(words):,} with its patch")
    return annotations, "\n".join([*lines, ""]).encode()


def apply_patch(words: list[str], patch: Path, path: Path) -> list[str]:
    """Applies a patch in the normal format of ``diff``.

    Args:
        words: the lines to patch, without those that are empty at the end; the file may have one or none.
        patch: its file.
        path: of the words, for messages.
    """
    patched: list[str] = []
    done, old = 0, [*words, ""]
    for start, end, removed, added in _read_hunks(patch):
        if old[start:end] != removed:
            line = next((i for i in range(start, end) if old[i : i + 1] != removed[i - start : i - start + 1]), start)
            found = repr(old[line]) if line < len(old) else "the end"
            raise InputError(
                f"{path}, line {line + 1}: {found} where {patch} expects {removed[line - start]!r}: the file is not "
                "the English CoNLL-2003 that CleanCoNLL corrects"
            )
        patched += [*old[done:start], *added]
        done = end
    patched += old[done:]
    while patched and not patched[-1]:
        patched.pop()
    return patched


def _read_hunks(patch: Path) -> Iterator[tuple[int, int, list[str], list[str]]]:
    """Yields where each hunk starts and ends in the old lines, from 0, what it removes and what it adds."""
    start = end = 0
    sides: dict[str, list[str]] = {}
    for line in _read(patch, "utf-8"):
        match = _HUNK.fullmatch(line.text)
        if match:
            if sides:
                yield start, end, sides["<"], sides[">"]
            first, last = int(match[1]), int(match[2] or match[1])
            start, end = (first, first) if match[3] == "a" else (first - 1, last)
            sides = {"<": [], ">": []}
        elif sides and line.text[:2] in ("< ", "> "):
            sides[line.text[0]].append(line.text[2:])
        elif line.text != "---":
            raise InputError(f"{patch}, line {line.number}: {line.text!r:.60} is no line of a patch in diff's format")
    if sides:
        yield start, end, sides["<"], sides[">"]


def _read(path: Path, encoding: str) -> list[Any]:
    """The lines of a file, without empty ones at the end."""
    lines = list(decode_lines(path, read_bytes(path), encoding))
    for line in lines:
        if line.bad:
            raise line.bad
    while lines and not lines[-1].text.strip():
        lines.pop()
    return lines
