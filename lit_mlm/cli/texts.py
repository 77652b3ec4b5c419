"""The texts of a command: its arguments, the lines of standard input, or files; in batches."""

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from lit_mlm.cli.plain import CommandParser
from lit_mlm.errors import InputError

if TYPE_CHECKING:
    from lit_mlm.data.reading.readers import Row

TEXTS_AT_A_TIME, CHARACTERS_AT_A_TIME = 256, 2**20
"""Results are printed once either is reached, not at the end of the input."""

Source = str | Sequence[str]
"""A text, which knows its place if it is a `PlacedText`, or the words of a sentence."""

S = TypeVar("S", bound=Source)


def add_text_options(parser: CommandParser, file_help: str, text_help: str = "texts") -> None:
    """Adds ``--file``, ``--encoding`` and the texts."""
    parser.add_argument("--file", nargs="+", metavar="FILE", help=file_help)
    parser.add_argument("--encoding", default="utf-8", help="of files and standard input; default utf-8")
    parser.add_argument("texts", nargs="*", help=f"{text_help}; default: the lines of standard input")


def read_text(row: "Row") -> str:
    """Returns the column ``text`` of a row, which may be empty or null."""
    from lit_mlm.data.reading.readers import PlacedText

    text = row.fields.get("text", "missing")
    return PlacedText(text or "", row.place) if text is None or not str(text).strip() else read_column(row, "text")


def read_column(row: "Row", column: str) -> str:
    """Returns the text in a column of a row; refuses a row without it."""
    from lit_mlm.data.reading.files import BadRecordError
    from lit_mlm.data.reading.readers import get_text

    try:
        return get_text(row, column)
    except BadRecordError as error:
        refuse(error)


def read_texts(options: Any, purpose: str, read: "Callable[[Row], S]") -> list[str | S]:
    """Reads the texts of a command; empty ones too, so that all keep their places.

    Args:
        options: of a command with `add_text_options`.
        purpose: of the texts, for the error if there are none.
        read: returns the text of a row of a file that is not ``.txt``, as `read_text`.
    """
    if options.file and options.texts:
        raise InputError(f"--file {options.file[0]} and texts are mutually exclusive, got {options.texts[0]!r}")
    for text in options.texts:
        if os.path.isfile(text):  # noqa: PTH113 (False for what is too long for a name)
            raise InputError(f"{text} is a file: give it by --file, to read its texts")
    texts = list(options.texts or _read_inputs(options.file, options.encoding, read))
    if not texts:
        raise InputError(f"no text to {purpose}: give texts as arguments, on standard input, or in --file")
    return texts


def read_lines(path: Path, encoding: str) -> Iterator[str]:
    """Yields the lines of a file, compressed or not."""
    from lit_mlm.data.reading.files import check_encoding, read_bytes

    check_encoding(encoding, "--encoding")
    yield from _decode_lines(path, read_bytes(path), encoding)


def batch_texts(texts: Sequence[S]) -> Iterator[Sequence[S]]:
    """Yields texts in batches."""
    sizes = [len(text) if isinstance(text, str) else sum(map(len, text)) for text in texts]
    first = size = 0
    for number, more in enumerate(sizes):
        if number > first and (number - first == TEXTS_AT_A_TIME or size + more > CHARACTERS_AT_A_TIME):
            yield texts[first:number]
            first, size = number, 0
        size += more
    if texts:
        yield texts[first:]


def refuse(record: InputError) -> NoReturn:
    """Raises a bad record, with the names of the options of a command."""
    raise InputError(name_options(record)) from record


def name_options(message: object) -> str:
    """Returns a message of the data readers with the names of the options of a command, which names no text column."""
    named = re.sub(r"data\.(encoding|word_column|tag_column)\b", r"--\1", str(message))
    return re.sub(r"; (set|did you mean) data\.text_column\b.*", "", named)


def _read_inputs(files: Sequence[str] | None, encoding: str, read: "Callable[[Row], S]") -> Iterator[str | S]:
    """Yields the texts of files, or the lines of standard input."""
    # Lazy, as below: a text that is an argument needs no data readers.
    from lit_mlm.data.reading.files import check_encoding, find_files, get_kind

    check_encoding(encoding, "--encoding")
    if files is None:
        lines = list(_decode_lines(Path("standard input"), sys.stdin.buffer.read(), encoding))
        yield from lines if any(line.strip() for line in lines) else ()
        return
    from lit_mlm.data.reading.readers import read_rows

    for file in find_files(files, "--file"):
        if get_kind(file) == ".txt":
            yield from read_lines(file, encoding)
        else:
            yield from map(read, read_rows(file, encoding, on_bad=refuse))


def _decode_lines(path: Path, content: bytes, encoding: str) -> Iterator[str]:
    """Yields the lines of a text, without the empty one after a last line feed."""
    from lit_mlm.data.reading.files import decode_lines
    from lit_mlm.data.reading.readers import PlacedText

    lines = list(decode_lines(path, content, encoding))
    for line in lines if lines[-1].text else lines[:-1]:
        if line.bad:
            refuse(line.bad)
        yield PlacedText(line.text, f"{path}, line {line.number}")
