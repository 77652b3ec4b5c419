"""Files of text: found by patterns, decompressed, and decoded line by line as they are read.

A file, line or row that can't be read is a `BadRecordError`. Readers give it to their `on_bad`, which by default raises
it, and continue with the next one.
"""

import bz2
import codecs
import difflib
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

from lit_mlm.errors import InputError

COMPRESSIONS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.GzipFile,
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}
SUFFIXES = (".txt", ".jsonl", ".json", ".csv", ".tsv", ".parquet")

ADVICE = "say which encoding it is (data.encoding latin-1, for example), or convert the file"

BadKind = Literal["empty", "undecodable", "damaged"]

In = TypeVar("In")
Out = TypeVar("Out")


class BadRecordError(InputError):
    """A file, line or row that can't be read.

    Args:
        message: names the file, the place in it, and what was found there.
        kind: what is wrong with it.
    """

    def __init__(self, message: str, kind: BadKind = "damaged") -> None:
        super().__init__(message)
        self.kind = kind


OnBad = Callable[[BadRecordError], object]
"""What is done with a bad record."""


def refuse(record: BadRecordError) -> None:
    """Raises a bad record."""
    raise record


def map_records(function: Callable[[In], Out], records: Iterable[In], on_bad: OnBad) -> Iterator[Out]:
    """What a function makes of records; those that it raises as bad are left to `on_bad`."""
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
        text: without its end; bytes that can't be decoded are lone surrogates.
        bad: why it can't be decoded; None if it can.
    """

    number: int
    text: str
    bad: BadRecordError | None = None


def find_files(patterns: Sequence[str], option: str) -> list[Path]:
    """The files that patterns name, each once, each pattern's in the order of their names.

    Args:
        patterns: files, folders, which stand for all readable files below them, or patterns with ``*``, ``?``, ``**``.
        option: where the patterns stand, for messages.

    Raises:
        InputError: if a pattern names no file, or one of a kind that can't be read.
    """
    files: dict[Path, Path] = {}
    for pattern in patterns:
        path = Path(pattern).expanduser()
        names = [str(path)]
        if not path.is_file():
            whole = str(Path(glob.escape(str(path))) / "**" / "*") if path.is_dir() else str(path)
            names = glob.glob(whole, recursive=True)  # noqa: PTH207 (unlike that of Path it leaves hidden files out)
        found = sorted(Path(name) for name in names if Path(name).is_file())
        if path.is_dir():
            found = [file for file in found if get_kind(file) in SUFFIXES]
        if not found:
            if path.is_dir():
                raise InputError(f"{option}: the folder {pattern} has no file that can be read: {', '.join(SUFFIXES)}")
            raise InputError(f"{option}: no file is called {pattern}{_suggest_beside(path)}")
        for file in found:
            if get_kind(file) not in SUFFIXES:
                raise InputError(
                    f"{option}: {file} is of no kind that can be read: {', '.join(SUFFIXES)}, "
                    f"as they are or with {', '.join(COMPRESSIONS)}"
                )
            files.setdefault(file.resolve(), file)
    return list(files.values())


def find_place(path: str, option: str) -> Path:
    """A folder or file that an option names.

    Raises:
        InputError: if it is not there; the message has the nearest name beside it.
    """
    place = Path(path).expanduser()
    if not place.exists():
        raise InputError(f"{option} {path} is not there{_suggest_beside(place)}")
    return place


def _suggest_beside(path: Path) -> str:
    beside = [str(file) for file in path.parent.glob("*")] if path.parent.is_dir() else []
    near = difflib.get_close_matches(str(path), beside, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def get_kind(path: Path) -> str:
    """The suffix of a file without that of its compression."""
    return (path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path).suffix.lower()


def check_encoding(encoding: str, option: str = "data.encoding") -> None:
    """Refuses an encoding that Python does not know.

    Args:
        encoding: its name.
        option: where it stands, for messages.

    Raises:
        InputError: naming it.
    """
    try:
        "".encode(encoding)
    except LookupError as error:
        raise InputError(f"{option} {encoding} is no encoding of text; latin-1 and cp1252 are") from error


def read_file(path: Path, read: Callable[[IO[bytes]], Iterator[Out]], on_bad: OnBad) -> Iterator[Out]:
    """What a function reads from a file, decompressed.

    Args:
        path: of the file.
        read: gets its content as a stream, which it may seek in.
        on_bad: gets the file if it can't be read, or not to its end, or is empty.
    """
    compression = path.suffix.lower()
    try:
        with COMPRESSIONS[compression](path) if compression in COMPRESSIONS else path.open("rb") as file:
            if _is_empty(file):
                on_bad(BadRecordError(f"{path} is empty", "empty"))
            else:
                yield from read(file)
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        # Most of what decompression raises has no number, unlike what the system does.
        if compression in COMPRESSIONS and not (isinstance(error, OSError) and error.errno):
            on_bad(BadRecordError(f"{path} is no whole {path.suffix} file: {error}"))
        else:
            on_bad(BadRecordError(f"{path} can't be read: {getattr(error, 'strerror', None) or error}"))


def _is_empty(file: IO[bytes]) -> bool:
    """Whether there is nothing but white space in a file, whose beginning is where it was."""
    chunks = iter(lambda: file.read(2**16), b"")
    is_empty = not any(chunk.removeprefix(codecs.BOM_UTF8).strip() for chunk in chunks)
    file.seek(0)
    return is_empty


def read_bytes(path: Path) -> bytes:
    """The content of a file, decompressed; raises a `BadRecordError` if it is empty or damaged."""
    (content,) = read_file(path, lambda file: iter([file.read()]), refuse)
    return content


def decode_lines(path: Path, content: bytes | IO[bytes], encoding: str) -> Iterator[Line]:
    """The lines of a file.

    Args:
        path: for messages.
        content: of the file, decompressed; of a stream no more than a line is held in memory, unless lines end in a
            carriage return alone.
        encoding: of the content.
    """
    file = BytesIO(content) if isinstance(content, bytes) else content
    if "\n".encode(encoding) != b"\n":  # UTF-16 and its like: no line ends without the others
        yield from _decode_wide(path, file, encoding)
        return
    is_utf8 = codecs.lookup(encoding).name == "utf-8"
    for number, line in enumerate(_cut_lines(file, codecs.BOM_UTF8 if is_utf8 else b""), start=1):
        try:
            yield Line(number, line.decode(encoding).removesuffix("\r"))
        except UnicodeDecodeError as error:
            byte = f"byte 0x{line[error.start]:02x} at place {error.start + 1}"
            bad = BadRecordError(f"{path}, line {number}: {byte} is not {encoding} text; {ADVICE}", "undecodable")
            yield Line(number, line.decode(encoding, "surrogateescape").removesuffix("\r"), bad)


def _cut_lines(file: IO[bytes], mark: bytes) -> Iterator[bytes]:
    """The lines of a stream without their line feeds and the mark of its beginning; behind the last feed is a line."""
    line = first = file.readline().removeprefix(mark)
    if not first.endswith(b"\n"):  # the whole: lines may end in a carriage return alone
        yield from first.replace(b"\r", b"\n").split(b"\n")
        return
    for line in chain([first], file):
        yield line.removesuffix(b"\n")
    if line.endswith(b"\n"):
        yield b""


def _decode_wide(path: Path, file: IO[bytes], encoding: str) -> Iterator[Line]:
    """As `decode_lines`, up to the first byte that can't be decoded."""
    name = codecs.lookup(encoding).name
    marks = {"utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE), "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)}
    if name in marks and not file.read(4).startswith(marks[name]):
        name += "-le" if sys.byteorder == "little" else "-be"  # which whole texts are decoded by, but not streams
    file.seek(0)
    decoder, numbers, size, rest = codecs.getincrementaldecoder(name)(), count(1), 0, ""
    for chunk in chain(iter(lambda: file.read(2**20), b""), [b""]):
        size += len(chunk)
        try:
            *lines, rest = (rest + decoder.decode(chunk, final=not chunk)).split("\n")
        except UnicodeDecodeError as error:
            place = size - len(error.object) + error.start
            message = f"{path}, byte {place}: {error.reason}: not {encoding} text; {ADVICE}"
            yield Line(next(numbers), "", BadRecordError(message, "undecodable"))
            return
        for line in lines:
            yield Line(next(numbers), line.removesuffix("\r"))
    yield Line(next(numbers), rest.removesuffix("\r"))
