"""Files with a word a line and its tags in columns, as CoNLL's shared tasks lay them out."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from lit_mlm.data.reading.files import Problem, decode_lines, read_bytes
from lit_mlm.data.tagged.sentences import TaggedSentence

DOCUMENT_BOUNDARY = "-DOCSTART-"
"""What stands in place of a word on a line that opens a document."""

Line = tuple[int, list[str]]
"""The number of a line, from 1, and its columns; none of a line that ends a sentence."""

Column = Literal["first", "second", "third", "last"]


def read_columns(path: Path, column: Column = "last", encoding: str = "utf-8") -> Iterator[TaggedSentence | Problem]:
    """The sentences of a file, as `parse_columns` finds them.

    Args:
        path: compressed or not.
        column: which one is the tag; the first one, the word itself, where there may be no tags.
        encoding: of the file.

    Yields:
        The sentences; a problem for each line that can't be read, without the sentence that it belongs to.
    """
    content = read_bytes(path)
    if isinstance(content, Problem):
        yield content
    else:
        yield from parse_columns(path, content, column, encoding)


def parse_columns(path: Path, content: bytes, column: Column, encoding: str) -> Iterator[TaggedSentence | Problem]:
    """The sentences of the content of a file, which a blank line stands between.

    Columns are separated by tabs if the first word's line has one, else by spaces, one or more; only a tab lets a word
    hold spaces. The first column is the word. Each line has as many columns as the first one. Lines with
    `DOCUMENT_BOUNDARY` in place of the word are neither words nor part of a sentence; in a file that has none documents
    have no known boundaries.

    Args:
        path: for messages.
        content: of the file, decompressed.
        column: as of `read_columns`.
        encoding: of the content.

    Yields:
        As `read_columns`.
    """
    place = {"first": 0, "second": 1, "third": 2, "last": -1}[column]
    words: list[str] = []
    tags: list[str] = []
    first, problem = 0, None
    document = 0 if DOCUMENT_BOUNDARY.encode() in content else None
    for number, fields in _split_lines(path, decode_lines(path, content, encoding), column):
        if isinstance(fields, Problem):
            problem = problem or fields
        elif fields and fields[0] != DOCUMENT_BOUNDARY:
            first = first if words else number
            words.append(fields[0])
            tags.append(fields[place])
        else:
            if problem is not None:
                yield problem
            elif words:
                yield TaggedSentence(words, tags, str(path), first, document)
            words, tags, problem = [], [], None
            if fields:
                document = 0 if document is None else document + 1


def append_column(content: bytes, tags: Iterable[str], encoding: str) -> Iterator[str]:
    """The lines of a file that `parse_columns` reads without a problem, with one more column.

    Args:
        content: of the file, decompressed.
        tags: of all its words; lines that open a document get ``O``.
        encoding: of the content.
    """
    lines = [str(line) for _, line in decode_lines(Path(), content, encoding)]
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


def _split_lines(
    path: Path, lines: Iterable[tuple[int, str | Problem]], column: str
) -> Iterator[tuple[int, list[str] | Problem]]:
    """The columns of each line with its number, none of a blank line; one more of these stands at the end."""
    number, separator = 0, ""
    num_columns = first = 0
    least = {"first": 1, "third": 3}.get(column, 2)
    for number, line in lines:
        if isinstance(line, Problem) or not line.strip(" \t"):
            yield number, line if isinstance(line, Problem) else []
            continue
        if line.split(maxsplit=1)[:1] == [DOCUMENT_BOUNDARY]:
            yield number, [DOCUMENT_BOUNDARY]
            continue
        separator = separator or ("\t" if "\t" in line else " ")
        fields = line.split("\t") if separator == "\t" else [field for field in line.split(" ") if field]
        if not num_columns and len(fields) >= least:
            num_columns, first = len(fields), number
        problem = _find_problem(fields, num_columns or least, first, separator)
        yield number, fields if problem is None else Problem(f"{path}, line {number}: {problem}: {line!r:.60}")
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
