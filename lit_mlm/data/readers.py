"""Text and records from files: .txt, .jsonl, .json, .csv, .tsv and .parquet, compressed or not."""

import csv
import difflib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
            whose lines end in a line feed alone, however they ended in the file.

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
        return Problem(f"{row.place}: no column {column!r}, only {_list(row.fields)}")
    text = row.fields[column]
    if isinstance(text, str) and text.strip():
        return text
    found = "no text" if text is None or text == "" else f"{type(text).__name__} {text!r}"
    return Problem(f"{row.place}: {found} in the column {column!r}")


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
        yield from (line for _, line in lines if isinstance(line, Problem) or line.strip())
        return
    problems = [line for _, line in lines if isinstance(line, Problem)]
    yield problems[0] if problems else "\n".join(str(line) for _, line in lines)


def _read_json_lines(path: Path, lines: Iterable[Line]) -> Iterator[Row | Problem]:
    for number, line in lines:
        place = f"{path}, line {number}"
        if isinstance(line, Problem):
            yield line
        elif line.strip():
            try:
                yield _make_row(place, json.loads(line))
            except json.JSONDecodeError as error:
                yield Problem(f"{place}: no JSON object: {error.msg} at place {error.pos + 1}: {_shorten(line)}")


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
        yield Problem(f"{path}, line {error.lineno}: no JSON array: {error.msg} at place {error.colno}")
    else:
        yield from (_make_row(f"{path}, record {number}", record) for number, record in enumerate(records, start=1))


def _make_row(place: str, record: Any) -> Row | Problem:
    if isinstance(record, dict):
        return Row(place, record)
    return Problem(f"{place}: {type(record).__name__} in place of an object with columns: {_shorten(str(record))}")


def _read_csv(path: Path, lines: Iterable[Line], delimiter: str, column: str | None) -> Iterator[Row | Problem]:
    yield from (line for _, line in lines if isinstance(line, Problem))
    good = [(number, line) for number, line in lines if not isinstance(line, Problem)]
    csv.field_size_limit(sys.maxsize)  # a document is longer than the default allows
    reader = csv.reader((f"{line}\n" for _, line in good), delimiter=delimiter, strict=True)
    names: list[str] | None = None
    first = 0  # of the lines of a row
    try:
        for values in reader:
            place, first = f"{path}, line {good[first][0]}", reader.line_num
            if names is None:
                names = values
                _require_column(path, names, column)
            elif values and len(values) != len(names):
                yield Problem(
                    f"{place}: {len(values)} fields, but the header has {len(names)}: {_shorten(str(values))}"
                )
            elif values:
                yield Row(place, dict(zip(names, values, strict=True)))
    except csv.Error as error:
        yield Problem(f"{path}, line {good[first][0]}: a row that begins here can't be read: {error}")


def _read_parquet(path: Path, content: bytes, column: str | None) -> Iterator[Row | Problem]:
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
    except pa.ArrowInvalid as error:
        yield Problem(f"{path} is no Parquet file: {error}")
        return
    _require_column(path, file.schema_arrow.names, column)
    number = 0
    for batch in file.iter_batches(columns=None if column is None else [column]):
        for fields in batch.to_pylist():
            number += 1
            yield Row(f"{path}, row {number}", fields)


def _require_column(path: Path, names: Sequence[str], column: str | None) -> None:
    if column is not None and column not in names:
        near = difflib.get_close_matches(column, names, n=1)
        advice = f"did you mean data.text_column {near[0]}?" if near else "say which one with data.text_column"
        raise InputError(f"{path} has no column {column!r}, only {_list(names)}; {advice}")


def _list(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)


def _shorten(text: str, length: int = 60) -> str:
    return text if len(text) <= length else f"{text[:length]}..."
