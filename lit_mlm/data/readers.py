"""Text and records from files: .txt, .jsonl, .json, .csv, .tsv and .parquet, compressed or not."""

import csv
import difflib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from lit_mlm.data.files import Problem, decode_lines, get_kind, read_bytes
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
    """The documents of a file.

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
        yield from _read_text_file(path, encoding, by_line)
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
    content = read_bytes(path)
    kind = get_kind(path)
    if isinstance(content, Problem):
        yield content
    elif kind == ".parquet":
        yield from _read_parquet(path, content, column)
    else:
        lines = list(decode_lines(path, content, encoding))
        if kind in (".csv", ".tsv"):
            yield from _read_csv(path, lines, "\t" if kind == ".tsv" else ",", column)
        elif kind == ".json" and _is_array(lines):
            yield from _read_json_array(path, lines)
        else:
            yield from _read_json_lines(path, lines)


def _read_text_file(path: Path, encoding: str, by_line: bool) -> Iterator[str | Problem]:
    content = read_bytes(path)
    if isinstance(content, Problem):
        yield content
        return
    lines = list(decode_lines(path, content, encoding))
    if by_line:
        for number, line in lines:
            if isinstance(line, Problem):
                yield line
            elif line.strip():
                yield PlacedText(line, f"{path}, line {number}")
        return
    problems = [line for _, line in lines if isinstance(line, Problem)]
    yield problems[0] if problems else PlacedText("\n".join(str(line) for _, line in lines), str(path))


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


def _is_array(lines: Iterable[Line]) -> bool:
    first = next((line for _, line in lines if isinstance(line, Problem) or line.strip()), "")
    return isinstance(first, str) and first.lstrip().startswith("[")


def _read_json_array(path: Path, lines: Iterable[Line]) -> Iterator[Row | Problem]:
    problems = [line for _, line in lines if isinstance(line, Problem)]
    if problems:
        yield problems[0]
        return
    try:
        records = json.loads("\n".join(str(line) for _, line in lines))
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


def _read_csv(path: Path, lines: list[Line], delimiter: str, column: str | None) -> Iterator[Row | Problem]:
    csv.field_size_limit(sys.maxsize)  # a document is longer than the default allows
    texts = [line.text if isinstance(line, Problem) else line for _, line in lines]
    names: list[str] | None = None
    begin = first = 0  # of what the reader gets, and of the lines of a row
    while begin < len(lines):
        reader = csv.reader((f"{text}\n" for text in texts[begin:]), delimiter=delimiter, strict=True)
        try:
            for values in reader:
                place, rows = f"{path}, line {lines[first][0]}", lines[first : begin + reader.line_num]
                first = begin + reader.line_num
                problem = next((line for _, line in rows if isinstance(line, Problem)), None)
                if names is None and problem:
                    raise InputError(problem.message)
                if not values:
                    continue
                if names is None:
                    names = values
                    require_column(str(path), names, column)
                elif problem:
                    yield problem
                elif len(values) != len(names):
                    found = f"{len(values)} fields, but the header has {len(names)}"
                    yield Problem(f"{place}: {found}: {_shorten(str(values))}")
                else:
                    yield Row(place, dict(zip(names, values, strict=True)))
            return
        except csv.Error as error:
            message = f"{path}, line {lines[first][0]}: a row that begins here can't be read: {error}"
            if names is None:
                raise InputError(message) from error
            yield Problem(message)
            begin = first = first + 1


def _read_parquet(path: Path, content: bytes, column: str | None) -> Iterator[Row | Problem]:
    number = 0
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        require_column(str(path), file.schema_arrow.names, column)
        for batch in file.iter_batches(columns=None if column is None else [column]):
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
