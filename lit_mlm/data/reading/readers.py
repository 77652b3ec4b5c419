"""Readers of .txt, .jsonl, .json, .csv, .tsv and .parquet files, compressed or not."""

import csv
import difflib
import json
import sys
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from lit_mlm.data.reading.files import (
    COMPRESSIONS,
    BadRecordError,
    Line,
    OnBad,
    decode_lines,
    get_kind,
    map_records,
    read_file,
    refuse,
)
from lit_mlm.errors import InputError


@dataclass(frozen=True)
class Row:
    """A record: values by column, and its place (file and line, row or record) for messages."""

    place: str
    fields: dict[str, Any]


class PlacedText(str):
    """A document with its place (file and line, row or record) for messages."""

    __slots__ = ("place",)
    place: str

    def __new__(cls, text: str, place: str = "") -> Self:  # noqa: D102 (as __init__)
        placed = super().__new__(cls, text)
        placed.place = place
        return placed


def read_texts(
    path: Path, column: str = "text", encoding: str = "utf-8", by_line: bool = False, on_bad: OnBad = refuse
) -> Iterator[str]:
    """Yields the documents of a file, with few in memory at a time.

    Args:
        path: of one of `SUFFIXES`.
        column: text column, which files other than ``.txt`` must have.
        encoding: of all but ``.parquet``.
        by_line: makes a document of each non-blank line of a ``.txt`` file, instead of one of the whole file with line
            ends normalised to line feeds.
        on_bad: takes bad records.
    """
    if get_kind(path) == ".txt":
        read = _read_text_lines if by_line else _read_text
        return read_file(path, lambda file: read(path, decode_lines(path, file, encoding), on_bad), on_bad)
    return map_records(lambda row: get_text(row, column), read_rows(path, encoding, column, on_bad), on_bad)


def get_text(row: Row, column: str) -> str:
    """The text in a column of a row, or in a nested one; raises a `BadRecordError` if it is missing or not text.

    >>> get_text(Row("reviews.jsonl, line 1", {"review": {"text": "A fine film."}}), "review.text")
    'A fine film.'
    """
    fields, name = row.fields, column
    while name not in fields:
        head, _, name = name.partition(".")
        fields = fields[head] if isinstance(fields.get(head), dict) else {}
        if not fields:
            raise BadRecordError(f"{row.place}: {describe_missing(column, row.fields)}")
    text = fields[name]
    if isinstance(text, str) and text.strip():
        if is_whole(text):
            return PlacedText(text, row.place)
        raise BadRecordError(f"{row.place}: lone surrogate in the column {column!r}: {text!r:.60}", "undecodable")
    found = "no text" if text is None or text == "" else f"{type(text).__name__} {text!r}"
    is_empty = text is None or isinstance(text, str)
    raise BadRecordError(f"{row.place}: {found} in the column {column!r}", "empty" if is_empty else "damaged")


def is_whole(text: str) -> bool:
    """Whether a text has no lone surrogates, which JSON holds where a text was cut within a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_rows(path: Path, encoding: str = "utf-8", column: str | None = None, on_bad: OnBad = refuse) -> Iterator[Row]:
    """Yields the records of a file with columns.

    Args:
        path: of one of `SUFFIXES` but ``.txt``.
        encoding: of all but ``.parquet``.
        column: that must exist.
        on_bad: takes bad records.
    """
    kind = get_kind(path)

    def read(file: IO[bytes]) -> Iterator[Row]:
        if kind == ".parquet":
            return _read_parquet(path, file, column, on_bad)
        lines = decode_lines(path, file, encoding)
        if kind in (".csv", ".tsv"):
            return _read_csv(path, lines, "\t" if kind == ".tsv" else ",", column, on_bad)
        return (_read_json if kind == ".json" else _read_json_lines)(path, lines, on_bad)

    return read_file(path, read, on_bad)


def _read_text(path: Path, lines: Iterable[Line], on_bad: OnBad) -> Iterator[str]:
    texts = _join_lines(lines, on_bad)
    if texts is not None:
        yield PlacedText(texts, str(path))


def _join_lines(lines: Iterable[Line], on_bad: OnBad) -> str | None:
    """The text of a file; None if a line can't be decoded."""
    texts = []
    for line in lines:
        if line.bad:
            on_bad(line.bad)
            return None
        texts.append(line.text)
    return "\n".join(texts)


def _read_text_lines(path: Path, lines: Iterable[Line], on_bad: OnBad) -> Iterator[str]:
    for line in lines:
        if line.bad:
            on_bad(line.bad)
        elif line.text.strip():
            yield PlacedText(line.text, f"{path}, line {line.number}")


def _read_json_lines(path: Path, lines: Iterable[Line], on_bad: OnBad) -> Iterator[Row]:
    def parse(line: Line) -> Row:
        if line.bad:
            raise line.bad
        place = f"{path}, line {line.number}"
        try:
            return _make_row(place, json.loads(line.text))
        except json.JSONDecodeError as error:
            found = f"{error.msg.removesuffix(' at')} at column {error.pos + 1}"
            raise BadRecordError(f"{place}: not a JSON object: {found}: {_shorten(line.text)}") from error
        except (ValueError, RecursionError) as error:  # a number is too long, or an object nested too deeply
            if isinstance(error, BadRecordError):
                raise
            raise BadRecordError(f"{place}: not a JSON object: {error}: {_shorten(line.text)}") from error

    return map_records(parse, (line for line in lines if line.bad or line.text.strip()), on_bad)


def _read_json(path: Path, lines: Iterator[Line], on_bad: OnBad) -> Iterator[Row]:
    """The records of an array, which is read as a whole, or of lines."""
    first = next((line for line in lines if line.bad or line.text.strip()), Line(1, ""))
    read = _read_json_array if first.text.lstrip().startswith("[") and not first.bad else _read_json_lines
    return read(path, chain([first], lines), on_bad)


def _read_json_array(path: Path, lines: Iterator[Line], on_bad: OnBad) -> Iterator[Row]:
    first = next(lines)
    text = _join_lines(chain([first], lines), on_bad)
    if text is None:
        return
    try:
        records = json.loads("\n" * (first.number - 1) + text)
    except json.JSONDecodeError as error:
        found = f"{error.msg.removesuffix(' at')} at column {error.colno}"
        on_bad(BadRecordError(f"{path}, line {error.lineno}: not a JSON array: {found}"))
    except (ValueError, RecursionError) as error:
        on_bad(BadRecordError(f"{path}: not a JSON array: {error}"))
    else:
        numbered = enumerate(records, start=1)
        yield from map_records(lambda record: _make_row(f"{path}, record {record[0]}", record[1]), numbered, on_bad)


def _make_row(place: str, record: Any) -> Row:
    if isinstance(record, dict):
        return Row(place, record)
    found = f"{type(record).__name__}: {_shorten(str(record))}"
    raise BadRecordError(f"{place}: expected an object with columns, got {found}")


def _read_csv(path: Path, lines: Iterator[Line], delimiter: str, column: str | None, on_bad: OnBad) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)  # documents exceed the default
    names: list[str] | None = None
    row: list[Line] = []  # lines that the reader consumed for the current row
    again: deque[Line] = deque()  # lines to parse again after a bad row

    def feed() -> Iterator[str]:
        while line := again.popleft() if again else next(lines, None):
            row.append(line)
            yield f"{line.text}\n"

    is_done = False
    while not is_done:
        reader = csv.reader(feed(), delimiter=delimiter, strict=True)
        try:
            for values in reader:
                place, bad = f"{path}, line {row[0].number}", next((line.bad for line in row if line.bad), None)
                row.clear()
                if bad:
                    (refuse if names is None else on_bad)(bad)
                elif not values:
                    continue
                elif names is None:
                    names = values
                    require_column(str(path), names, column)
                elif len(values) != len(names):
                    found = f"{len(values)} fields, but the header has {len(names)}"
                    on_bad(BadRecordError(f"{place}: {found}: {_shorten(str(values))}"))
                else:
                    yield Row(place, dict(zip(names, values, strict=True)))
            is_done = True
        except csv.Error as error:
            bad = BadRecordError(f"{path}, line {row[0].number}: can't parse the row that starts here: {error}")
            (refuse if names is None else on_bad)(bad)
            again.extendleft(reversed(row[1:]))
            row.clear()


def _read_parquet(path: Path, source: IO[bytes], column: str | None, on_bad: OnBad) -> Iterator[Row]:
    number = 0
    if path.suffix.lower() in COMPRESSIONS:  # Parquet is read from its end
        source = pa.BufferReader(source.read())
    try:
        file = pq.ParquetFile(source, buffer_size=2**20, pre_buffer=False)  # does not load whole row groups
        require_column(str(path), file.schema_arrow.names, column)
        for batch in file.iter_batches(batch_size=100, columns=None if column is None else [column]):
            for fields in batch.to_pylist():
                number += 1
                yield Row(f"{path}, row {number}", fields)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        place = f"{path}, after row {number}" if number else str(path)
        on_bad(BadRecordError(f"{place}: not a Parquet file, or a damaged one: {_shorten(str(error), 120)}"))


def require_column(place: str, names: Sequence[str], column: str | None) -> None:
    """Rejects a file or data set without a column."""
    if column is None or column in names:
        return
    missing = describe_missing(column, names)
    if len(names) == 1 and set(";|\t") & set(names[0]):
        advice = "its separator does not fit its name: .csv is separated by commas, .tsv by tabs"
        missing = f"no column {column!r}, only {names[0]!r}; {advice}"
    raise InputError(f"{place} has {missing}")


def describe_missing(column: str, names: Collection[str], option: str = "text_column") -> str:
    """Describes a missing column, the known ones, and the option to set.

    >>> describe_missing("txt", ["id", "text"])
    "no column 'txt', only 'id', 'text'; did you mean data.text_column text?"
    """
    near = difflib.get_close_matches(column, names, n=1)
    advice = f"did you mean data.{option} {near[0]}?" if near else f"set data.{option}"
    return f"no column {column!r}, only {', '.join(map(repr, names))}; {advice}"


def _shorten(text: str, length: int = 60) -> str:
    return text if len(text) <= length else f"{text[:length]}..."
