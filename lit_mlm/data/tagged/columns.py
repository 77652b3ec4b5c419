"""Files with a word a line and its tags in columns, as CoNLL's shared tasks lay them out."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from lit_mlm.data.reading.files import BadRecordError, Line, OnBad, decode_lines, read_bytes, refuse
from lit_mlm.data.tagged.sentences import TaggedSentence

DOCUMENT_BOUNDARY = "-DOCSTART-"
"""What stands in place of a word on a line that opens a document."""

Column = Literal["first", "second", "third", "last"]


def read_columns(
    path: Path, column: Column = "last", encoding: str = "utf-8", on_bad: OnBad = refuse
) -> Iterator[TaggedSentence]:
    """The sentences of a file, as `parse_columns` finds them.

    Args:
        path: compressed or not.
        column: which one is the tag; the first one, the word itself, where there may be no tags.
        encoding: of the file.
        on_bad: gets the first line of a sentence that can't be read, which is left out as a whole; or the file.
    """
    try:
        content = read_bytes(path)
    except BadRecordError as error:
        on_bad(error)
        return
    yield from parse_columns(path, content, column, encoding, on_bad)


def parse_columns(
    path: Path, content: bytes, column: Column, encoding: str, on_bad: OnBad = refuse
) -> Iterator[TaggedSentence]:
    """The sentences of the content of a file, with a blank line between two of them.

    Columns are separated by tabs if the first word's line has one, else by spaces, one or more; only a tab lets a word
    hold spaces. The first column is the word. Each line has as many columns as the first one. Lines with
    `DOCUMENT_BOUNDARY` in place of the word are neither words nor part of a sentence; in a file that has none documents
    have no known boundaries.

    Args:
        path: for messages.
        content: of the file, decompressed.
        column: as in `read_columns`.
        encoding: of the content.
        on_bad: as in `read_columns`.
    """
    place = {"first": 0, "second": 1, "third": 2, "last": -1}[column]
    words: list[str] = []
    tags: list[str] = []
    first, bad = 0, None
    document = 0 if DOCUMENT_BOUNDARY.encode() in content else None
    for number, fields in _split_lines(path, decode_lines(path, content, encoding), column):
        if isinstance(fields, BadRecordError):
            bad = bad or fields
        elif fields and fields[0] != DOCUMENT_BOUNDARY:
            first = first if words else number
            words.append(fields[0])
            tags.append(fields[place])
        else:
            if bad is not None:
                on_bad(bad)
            elif words:
                yield TaggedSentence(words, tags, str(path), first, document)
            words, tags, bad = [], [], None
            if fields:
                document = 0 if document is None else document + 1


def append_column(content: bytes, tags: Iterable[str], encoding: str) -> Iterator[str]:
    """The lines of a file that `parse_columns` reads, with one more column.

    Args:
        content: of the file, decompressed.
        tags: of all its words; lines that open a document get ``O``.
        encoding: of the content.
    """
    lines = [line.text for line in decode_lines(Path(), content, encoding)]
    rest, is_boundary = iter(tags), [line.split(maxsplit=1)[:1] == [DOCUMENT_BOUNDARY] for line in lines]
    separator = next(
        (
            "\t" if "\t" in line else " "
            for line, boundary in zip(lines, is_boundary, strict=True)
            if line.strip() and not boundary
        ),
        " ",
    )
    for line, boundary in zip(lines if lines[-1] else lines[:-1], is_boundary, strict=False):
        if not line.strip(" \t"):
            yield ""
            continue
        fields = line.split("\t") if separator == "\t" else [field for field in line.split(" ") if field]
        yield separator.join([*fields, "O" if boundary else next(rest)])


def _split_lines(path: Path, lines: Iterable[Line], column: str) -> Iterator[tuple[int, list[str] | BadRecordError]]:
    """The columns of each line with its number, none of a blank line; a last blank line ends the last sentence."""
    number, separator = 0, ""
    num_columns = first = 0
    least = {"first": 1, "third": 3}.get(column, 2)
    for number, line, bad in lines:
        if bad or not line.strip(" \t"):
            yield number, bad or []
            continue
        if line.split(maxsplit=1)[:1] == [DOCUMENT_BOUNDARY]:
            yield number, [DOCUMENT_BOUNDARY]
            continue
        separator = separator or ("\t" if "\t" in line else " ")
        fields = line.split("\t") if separator == "\t" else [field for field in line.split(" ") if field]
        if not num_columns and len(fields) >= least:
            num_columns, first = len(fields), number
        wrong = _find_problem(fields, num_columns or least, first, separator)
        yield number, BadRecordError(f"{path}, line {number}: {wrong}: {line!r:.60}") if wrong else fields
    yield number + 1, []


def _find_problem(fields: list[str], num_columns: int, first: int, separator: str) -> str | None:
    """What is wrong with a line, None if nothing is."""
    kind = "tabs" if separator == "\t" else "spaces"
    if len(fields) != num_columns:
        expected = f"{num_columns}, as line {first} has" if first else f"at least {num_columns}, a word and its tags"
        columns = "1 column" if len(fields) == 1 else f"{len(fields)} columns"
        return f"{columns} separated by {kind}, expected {expected}"
    empty = next((i for i, field in enumerate(fields) if not field or (i > 0 and not field.strip())), None)
    return None if empty is None else f"column {empty + 1} is empty, expected {'a tag' if empty else 'a word'}"
