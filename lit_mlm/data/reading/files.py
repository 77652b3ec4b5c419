"""Text files: found by patterns, decompressed, and decoded line by line.

A file, line or row that can't be read is a `BadRecordError`. Readers pass it to their `on_bad`, which raises it by
default, and continue with the next one.
"""

import bz2
import codecs
import glob
import gzip
import lzma
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BytesIO
from itertools import chain, count
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, TypeVar

from lit_mlm.errors import InputError, suggest

COMPRESSIONS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.GzipFile,
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}
SUFFIXES = (".txt", ".jsonl", ".json", ".csv", ".tsv", ".parquet")

WIDE_MARKS = {
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),  # begins with that of UTF-16
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}
"""Byte order marks of encodings of several bytes."""

ENCODING_ADVICE = "set its encoding, such as data.encoding latin-1, or convert the file"
SKIP_ADVICE = "set data.skip_bad true to skip bad records"

BadKind = Literal["empty", "undecodable", "damaged"]

In = TypeVar("In")
Out = TypeVar("Out")


class BadRecordError(InputError):
    """A file, line or row that can't be read; the message names the place and what was found there."""

    def __init__(self, message: str, kind: BadKind = "damaged") -> None:
        super().__init__(message)
        self.kind = kind


OnBad = Callable[[BadRecordError], object]
"""Handles a bad record."""


def refuse(record: BadRecordError) -> None:
    """Raises a bad record."""
    raise record


def map_records(function: Callable[[In], Out], records: Iterable[In], on_bad: OnBad) -> Iterator[Out]:
    """Yields the result of a function for each record; records for which it raises `BadRecordError` go to `on_bad`."""
    for record in records:
        try:
            found = function(record)
        except BadRecordError as error:
            on_bad(error)
            continue
        yield found


class Line(NamedTuple):
    """A line of a file.

    Attributes:
        number: from 1.
        text: without the line end; bytes that can't be decoded become lone surrogates.
        bad: why it can't be decoded; None if it can.
    """

    number: int
    text: str
    bad: BadRecordError | None = None


def find_files(
    patterns: Sequence[str], option: str, suffixes: Sequence[str] = SUFFIXES, is_strict: bool = True
) -> list[Path]:
    """The files that match patterns, each file once, sorted by name within each pattern.

    Args:
        patterns: files, folders (all supported files below them), or patterns with ``*``, ``?``, ``**``.
        option: that holds the patterns, for messages.
        suffixes: of the supported files.
        is_strict: rejects other files, also where they are named or match a pattern.
    """
    files: dict[Path, Path] = {}
    for pattern in patterns:
        path = Path(pattern).expanduser()
        names = [str(path)]
        if not path.is_file():
            whole = str(Path(glob.escape(str(path))) / "**" / "*") if path.is_dir() else str(path)
            names = glob.glob(whole, recursive=True)  # noqa: PTH207 (skips hidden files, unlike Path.glob)
        found = sorted(Path(name) for name in names if Path(name).is_file())
        if path.is_dir():
            found = [file for file in found if get_kind(file) in suffixes]
        if not found:
            if path.is_dir():
                raise InputError(f"{option}: the folder {pattern} has no {', '.join(suffixes)} file")
            raise InputError(f"{option}: no file matches {pattern}{_suggest_beside(path)}")
        for file in found:
            if is_strict and get_kind(file) not in suffixes:
                raise InputError(
                    f"{option}: {file} has an unsupported file type; supported are {', '.join(suffixes)}, also "
                    f"compressed ({', '.join(COMPRESSIONS)})"
                )
            files.setdefault(file.resolve(), file)
    return list(files.values())


def find_place(path: str, option: str) -> Path:
    """The path of an option, which must exist; the error suggests the closest name beside it."""
    place = Path(path).expanduser()
    if not place.exists():
        raise InputError(f"{option} {path} does not exist{_suggest_beside(place)}")
    return place


def _suggest_beside(path: Path) -> str:
    return suggest(str(path), map(str, path.parent.glob("*")))


def get_kind(path: Path) -> str:
    """The suffix of a file, without that of its compression.

    >>> get_kind(Path("reviews.jsonl.gz"))
    '.jsonl'
    """
    return (path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path).suffix.lower()


def check_encoding(encoding: str, option: str = "data.encoding") -> None:
    """Rejects an encoding that Python does not know; `option` is its name in the message."""
    try:
        "".encode(encoding)
    except LookupError as error:
        raise InputError(f"{option} {encoding} is not a text encoding; examples are latin-1 and cp1252") from error


def read_file(path: Path, read: Callable[[IO[bytes]], Iterator[Out]], on_bad: OnBad) -> Iterator[Out]:
    """Yields what a function reads from a decompressed file.

    Args:
        path: of the file.
        read: takes the content as a seekable stream.
        on_bad: takes a file that is empty, or can't be read to its end.
    """
    compression = path.suffix.lower()
    try:
        with COMPRESSIONS[compression](path) if compression in COMPRESSIONS else path.open("rb") as file:
            if _is_empty(file):
                on_bad(BadRecordError(f"{path} is empty", "empty"))
            else:
                yield from read(file)
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        # Unlike errors of the system, most errors of decompression have no errno.
        if compression in COMPRESSIONS and not (isinstance(error, OSError) and error.errno):
            on_bad(BadRecordError(f"{path} is not a complete {path.suffix} file: {error}"))
        else:
            on_bad(BadRecordError(f"{path} can't be read: {getattr(error, 'strerror', None) or error}"))


def _is_empty(file: IO[bytes]) -> bool:
    """Whether a file holds nothing but white space; rewinds it."""
    chunks = iter(lambda: file.read(2**16), b"")
    is_empty = not any(chunk.removeprefix(codecs.BOM_UTF8).strip() for chunk in chunks)
    file.seek(0)
    return is_empty


def read_bytes(path: Path) -> bytes:
    """The decompressed content of a file; raises a `BadRecordError` if it is empty or damaged."""
    (content,) = read_file(path, lambda file: iter([file.read()]), refuse)
    return content


def decode_lines(path: Path, content: bytes | IO[bytes], encoding: str) -> Iterator[Line]:
    """Yields the lines of a file.

    Args:
        path: for messages.
        content: decompressed; a stream is read line by line, unless its lines end in a bare carriage return.
        encoding: of the content; under UTF-8 a byte order mark of UTF-16 or UTF-32 decides.
    """
    file = BytesIO(content) if isinstance(content, bytes) else content
    if codecs.lookup(encoding).name == "utf-8":
        start = file.read(4)
        file.seek(0)
        encoding = next((name for name, marks in WIDE_MARKS.items() if start.startswith(marks)), encoding)
    if "\n".encode(encoding) != b"\n":  # UTF-16 and UTF-32 can't be cut at the bytes of line feeds
        yield from _decode_wide(path, file, encoding)
        return
    is_utf8 = codecs.lookup(encoding).name == "utf-8"
    for number, line in enumerate(_cut_lines(file, codecs.BOM_UTF8 if is_utf8 else b""), start=1):
        try:
            yield Line(number, line.decode(encoding).removesuffix("\r"))
        except UnicodeDecodeError as error:
            byte = f"byte 0x{line[error.start]:02x} at position {error.start + 1}"
            message = f"{path}, line {number}: {byte} is not valid {encoding}; {ENCODING_ADVICE}"
            bad = BadRecordError(message, "undecodable")
            yield Line(number, line.decode(encoding, "surrogateescape").removesuffix("\r"), bad)


def _cut_lines(file: IO[bytes], mark: bytes) -> Iterator[bytes]:
    """Yields the lines of a stream without byte order mark and line feeds; a last line feed starts an empty line."""
    line = first = file.readline().removeprefix(mark)
    if not first.endswith(b"\n"):  # the whole file: lines may end in a bare carriage return
        yield from first.replace(b"\r", b"\n").split(b"\n")
        return
    for line in chain([first], file):
        yield line.removesuffix(b"\n")
    if line.endswith(b"\n"):
        yield b""


def _decode_wide(path: Path, file: IO[bytes], encoding: str) -> Iterator[Line]:
    """Like `decode_lines`, for encodings of several bytes; stops at the first byte that can't be decoded."""
    name = codecs.lookup(encoding).name
    if name in WIDE_MARKS and not file.read(4).startswith(WIDE_MARKS[name]):
        # Without a byte order mark `bytes.decode` assumes the native order, but the incremental decoder fails.
        name += "-le" if sys.byteorder == "little" else "-be"
    file.seek(0)
    decoder, numbers, size, rest = codecs.getincrementaldecoder(name)(), count(1), 0, ""
    for chunk in chain(iter(lambda: file.read(2**20), b""), [b""]):
        size += len(chunk)
        try:
            *lines, rest = (rest + decoder.decode(chunk, final=not chunk)).split("\n")
        except UnicodeDecodeError as error:
            place = size - len(error.object) + error.start
            message = f"{path}, byte {place}: {error.reason}: not valid {encoding}; {ENCODING_ADVICE}"
            yield Line(next(numbers), "", BadRecordError(message, "undecodable"))
            return
        for line in lines:
            yield Line(next(numbers), line.removesuffix("\r"))
    yield Line(next(numbers), rest.removesuffix("\r"))
