"""Text and records from files: .txt, .jsonl, .json, .csv, .tsv and .parquet, compressed or not."""

import csv
import difflib
import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from lit_mlm.data.reading.files import COMPRESSIONS, Problem, decode_lines, get_kind, read_file
from lit_mlm.errors import InputError


@dataclass(frozen=True)
class Row:
    """A record.

    Attributes:
        place: the file and the line, row or record, for messages.
        fields: its values by column.
    """

    place: str
    fields: dict[str, Any]


class PlacedText(str):
    """A document that knows where it stands.

    Args:
        text: of the document.
        place: the file, and the line, row or record, for messages.
    """

    __slots__ = ("place",)
    place: str

    def __new__(cls, text: str, place: str = "") -> Self:  # noqa: D102 (as __init__)
        placed = super().__new__(cls, text)
        placed.place = place
        return placed


Line = tuple[int, str | Problem]
"""A line of a file with its number, from 1."""


def read_texts(
    path: Path, column: str = "text", encoding: str = "utf-8", by_line: bool = False
) -> Iterator[str | Problem]:
    """The documents of a file, as they are read: few are in memory at a time.

    Args:
        path: of one of `SUFFIXES`.
        column: the column that holds the text, in all but ``.txt``.
        encoding: of all but ``.parquet``.
        by_line: makes a document of each line of a ``.txt`` file, empty ones left out, in place of one of the whole,
            whose lines end in a line feed, however they ended in the file.

    Raises:
        InputError: if a file with columns has not this one.
    """
    if get_kind(path) == ".txt":
        read = _read_text_lines if by_line else _read_text
        yield from read_file(path, lambda file: read(path, decode_lines(path, file, encoding)))
        return
    for row in read_rows(path, encoding, column):
        yield row if isinstance(row, Problem) else get_text(row, column)


def get_text(row: Row, column: str) -> str | Problem:
    """The text in a column of a row, or what is there in its place."""
    if column not in row.fields:
        advice = "say which one with data.text_column"
        return Problem(f"{row.place}: no column {column!r}, only {_list(row.fields)}; {advice}")
    text = row.fields[column]
    if isinstance(text, str) and text.strip():
        if is_whole(text):
            return PlacedText(text, row.place)
        return Problem(f"{row.place}: half a character in the column {column!r}: {text!r:.60}", kind="undecodable")
    found = "no text" if text is None or text == "" else f"{type(text).__name__} {text!r}"
    is_empty = text is None or isinstance(text, str)
    return Problem(f"{row.place}: {found} in the column {column!r}", kind="empty" if is_empty else "damaged")


def is_whole(text: str) -> bool:
    """Whether a text has no lone surrogates, the halves of characters that JSON may hold where a text was cut."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_rows(path: Path, encoding: str = "utf-8", column: str | None = None) -> Iterator[Row | Problem]:
    """The records of a file with columns.

    Args:
        path: of one of `SUFFIXES` but ``.txt``.
        encoding: of all but ``.parquet``.
        column: one that it must have.

    Raises:
        InputError: if the file as a whole has not this column.
    """
    kind = get_kind(path)

    def read(file: IO[bytes]) -> Iterator[Row | Problem]:
        if kind == ".parquet":
            return _read_parquet(path, file, column)
        lines = decode_lines(path, file, encoding)
        if kind in (".csv", ".tsv"):
            return _read_csv(path, lines, "\t" if kind == ".tsv" else ",", column)
        return _read_json(path, lines) if kind == ".json" else _read_json_lines(path, lines)

    yield from read_file(path, read)


def _read_text(path: Path, lines: Iterable[Line]) -> Iterator[str | Problem]:
    texts = []
    for _, line in lines:
        if isinstance(line, Problem):
            yield line
            return
        texts.append(line)
    yield PlacedText("\n".join(texts), str(path))


def _read_text_lines(path: Path, lines: Iterable[Line]) -> Iterator[str | Problem]:
    for number, line in lines:
        if isinstance(line, Problem):
            yield line
        elif line.strip():
            yield PlacedText(line, f"{path}, line {number}")


def _read_json_lines(path: Path, lines: Iterable[Line]) -> Iterator[Row | Problem]:
    for number, line in lines:
        place = f"{path}, line {number}"
        if isinstance(line, Problem):
            yield line
        elif line.strip():
            try:
                yield _make_row(place, json.loads(line))
            except json.JSONDecodeError as error:
                found = f"{error.msg.removesuffix(' at')} at place {error.pos + 1}"
                yield Problem(f"{place}: no JSON object: {found}: {_shorten(line)}")
            except (ValueError, RecursionError) as error:  # a number too long, an object too deep
                yield Problem(f"{place}: no JSON object: {error}: {_shorten(line)}")


def _read_json(path: Path, lines: Iterator[Line]) -> Iterator[Row | Problem]:
    """The records of an array, which is read whole, or of lines."""
    first = next(((number, line) for number, line in lines if isinstance(line, Problem) or line.strip()), (1, ""))
    is_array = isinstance(first[1], str) and first[1].lstrip().startswith("[")
    yield from (_read_json_array if is_array else _read_json_lines)(path, chain([first], lines))


def _read_json_array(path: Path, lines: Iterator[Line]) -> Iterator[Row | Problem]:
    number, first = next(lines)
    texts = [""] * (number - 1)
    for _, line in chain([(number, first)], lines):
        if isinstance(line, Problem):
            yield line
            return
        texts.append(line)
    try:
        records = json.loads("\n".join(texts))
    except json.JSONDecodeError as error:
        yield Problem(
            f"{path}, line {error.lineno}: no JSON array: {error.msg.removesuffix(' at')} at place {error.colno}"
        )
    except (ValueError, RecursionError) as error:
        yield Problem(f"{path}: no JSON array: {error}")
    else:
        yield from (_make_row(f"{path}, record {number}", record) for number, record in enumerate(records, start=1))


def _make_row(place: str, record: Any) -> Row | Problem:
    if isinstance(record, dict):
        return Row(place, record)
    return Problem(f"{place}: {type(record).__name__} in place of an object with columns: {_shorten(str(record))}")


def _read_csv(path: Path, lines: Iterator[Line], delimiter: str, column: str | None) -> Iterator[Row | Problem]:
    csv.field_size_limit(sys.maxsize)  # a document is longer than the default allows
    names: list[str] | None = None
    row: list[Line] = []  # the lines that the reader took for the row that it is at
    again: deque[Line] = deque()  # those that it takes once more, as no row begins where it took one to

    def feed() -> Iterator[str]:
        while line := again.popleft() if again else next(lines, None):
            row.append(line)
            yield f"{line[1].text if isinstance(line[1], Problem) else line[1]}\n"

    is_done = False
    while not is_done:
        reader = csv.reader(feed(), delimiter=delimiter, strict=True)
        try:
            for values in reader:
                place, problem = f"{path}, line {row[0][0]}", next((p for _, p in row if isinstance(p, Problem)), None)
                row.clear()
                if names is None and problem:
                    raise InputError(problem.message)
                if problem:
                    yield problem
                elif not values:
                    continue
                elif names is None:
                    names = values
                    require_column(str(path), names, column)
                elif len(values) != len(names):
                    found = f"{len(values)} fields, but the header has {len(names)}"
                    yield Problem(f"{place}: {found}: {_shorten(str(values))}")
                else:
                    yield Row(place, dict(zip(names, values, strict=True)))
            is_done = True
        except csv.Error as error:
            message = f"{path}, line {row[0][0]}: a row that begins here can't be read: {error}"
            if names is None:
                raise InputError(message) from error
            yield Problem(message)
            again.extendleft(reversed(row[1:]))
            row.clear()


def _read_parquet(path: Path, source: IO[bytes], column: str | None) -> Iterator[Row | Problem]:
    number = 0
    if path.suffix.lower() in COMPRESSIONS:  # it is read from its end
        source = pa.BufferReader(source.read())
    try:
        file = pq.ParquetFile(source, buffer_size=2**20, pre_buffer=False)  # no group of rows as a whole
        require_column(str(path), file.schema_arrow.names, column)
        for batch in file.iter_batches(batch_size=100, columns=None if column is None else [column]):
            for fields in batch.to_pylist():
                number += 1
                yield Row(f"{path}, row {number}", fields)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        place = f"{path}, after row {number}" if number else str(path)
        yield Problem(f"{place}: this is no Parquet file, or a damaged one: {_shorten(str(error), 120)}")


def require_column(place: str, names: Sequence[str], column: str | None) -> None:
    """Refuses a file or data set that lacks a column.

    Raises:
        InputError: naming those that there are, and the nearest.
    """
    if column is None or column in names:
        return
    near = difflib.get_close_matches(column, names, n=1)
    advice = f"did you mean data.text_column {near[0]}?" if near else "say which one with data.text_column"
    if len(names) == 1 and set(";|\t") & set(names[0]):
        advice = "its fields are separated by something else than its name says: .csv by commas, .tsv by tabs"
    raise InputError(f"{place} has no column {column!r}, only {_list(names)}; {advice}")


def _list(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)


def _shorten(text: str, length: int = 60) -> str:
    return text if len(text) <= length else f"{text[:length]}..."
