"""Column files in the layout of the CoNLL shared tasks: one word per line, with its tags in columns."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from lit_mlm.data.reading.files import BadRecordError, Line, OnBad, decode_lines, read_bytes, refuse
from lit_mlm.data.tagged.sentences import TaggedSentence

DOCUMENT_BOUNDARY = "-DOCSTART-"
"""Stands for a word on a line that starts a document."""

Column = Literal["first", "second", "third", "last"]


def read_columns(
    path: Path, column: Column = "last", encoding: str = "utf-8", on_bad: OnBad = refuse
) -> Iterator[TaggedSentence]:
    """Yields the sentences of a file, as in `parse_columns`.

    Args:
        path: compressed or not.
        column: of the tags; ``first``, the words themselves, if there may be no tags.
        encoding: of the file.
        on_bad: takes the file, or the first bad line of a sentence, which is skipped as a whole.
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
    r"""Yields the sentences of the decompressed content of a file, which are separated by blank lines.

    Columns are separated by tabs if the first word's line has one, so that words may contain spaces, else by spaces.
    The first column is the word. All lines have as many columns as the first. `DOCUMENT_BOUNDARY` lines belong to no
    sentence; without them, `TaggedSentence.document` is None. The other arguments are those of `read_columns`.

    >>> [(s.words, s.tags) for s in parse_columns(Path("a.txt"), b"EU B-ORG\n. O\n\nOh O\n", "last", "utf-8")]
    [(['EU', '.'], ['B-ORG', 'O']), (['Oh'], ['O'])]
    """
    index = {"first": 0, "second": 1, "third": 2, "last": -1}[column]
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
            tags.append(fields[index])
        else:
            if bad is not None:
                on_bad(bad)
            elif words:
                yield TaggedSentence(words, tags, str(path), first, document)
            words, tags, bad = [], [], None
            if fields:
                document = 0 if document is None else document + 1


def append_column(content: bytes, tags: Iterable[str], encoding: str) -> Iterator[str]:
    """Yields the lines of a file for `parse_columns` with another column; `DOCUMENT_BOUNDARY` lines get ``O``."""
    lines = [line.text for line in decode_lines(Path(), content, encoding)]
    first = next((line for line in lines if line.strip() and not _is_boundary(line)), "")
    rest, separator = iter(tags), _find_separator(first)
    for line in lines if lines[-1] else lines[:-1]:
        if line.strip(" \t"):
            tag = "O" if _is_boundary(line) else next(rest)
            yield separator.join([*_split(line, separator), tag])
        else:
            yield ""


def _is_boundary(line: str) -> bool:
    return line.split(maxsplit=1)[:1] == [DOCUMENT_BOUNDARY]


def _find_separator(line: str) -> str:
    return "\t" if "\t" in line else " "


def _split(line: str, separator: str) -> list[str]:
    return line.split("\t") if separator == "\t" else [field for field in line.split(" ") if field]


def _split_lines(path: Path, lines: Iterable[Line], column: str) -> Iterator[tuple[int, list[str] | BadRecordError]]:
    """The columns of each line, none for a blank one; a blank line is added to end the last sentence."""
    number, separator = 0, ""
    num_columns = first = 0
    least = {"first": 1, "third": 3}.get(column, 2)
    for number, line, bad in lines:
        if bad or not line.strip(" \t"):
            yield number, bad or []
            continue
        if _is_boundary(line):
            yield number, [DOCUMENT_BOUNDARY]
            continue
        separator = separator or _find_separator(line)
        fields = _split(line, separator)
        if not num_columns and len(fields) >= least:
            num_columns, first = len(fields), number
        wrong = _find_problem(fields, num_columns or least, first, separator)
        yield number, BadRecordError(f"{path}, line {number}: {wrong}: {line!r:.60}") if wrong else fields
    yield number + 1, []


def _find_problem(fields: list[str], num_columns: int, first: int, separator: str) -> str | None:
    """The problem of a line; None if it is valid."""
    kind = "tabs" if separator == "\t" else "spaces"
    if len(fields) != num_columns:
        expected = f"{num_columns}, as line {first} has" if first else f"at least {num_columns}, a word and its tags"
        columns = "1 column" if len(fields) == 1 else f"{len(fields)} columns"
        return f"{columns} separated by {kind}, expected {expected}"
    empty = next((i for i, field in enumerate(fields) if not field or (i > 0 and not field.strip())), None)
    return None if empty is None else f"column {empty + 1} is empty, expected {'a tag' if empty else 'a word'}"
