"""Files of text: found by patterns, decompressed, decoded line by line.

What can't be read is a `Problem`; `collect` raises the first one, or leaves all of them out and counts them.
"""

import bz2
import codecs
import difflib
import glob
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from lit_mlm.errors import InputError

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
}
SUFFIXES = (".txt", ".jsonl", ".json", ".csv", ".tsv", ".parquet")

ADVICE = "say which encoding it is (data.encoding latin-1, for example), or convert the file"

ProblemKind = Literal["empty", "undecodable", "damaged"]

T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """A file, line or row that can't be read.

    Attributes:
        message: names the file, the place in it, and what was found there.
        text: a line that can't be decoded, with the bytes in question as lone surrogates.
        kind: what is wrong with it.
    """

    message: str
    text: str = ""
    kind: ProblemKind = "damaged"


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


def collect(rows: Iterable[T | Problem], skip: bool) -> tuple[list[T], list[Problem]]:
    """What could be read, and what could not.

    Args:
        rows: of any kind.
        skip: leaves problems out.

    Raises:
        InputError: at the first problem, unless they are skipped.
    """
    good: list[T] = []
    problems = []
    for row in rows:
        if not isinstance(row, Problem):
            good.append(row)
        elif skip:
            problems.append(row)
        else:
            raise InputError(f"{row.message}; data.skip_bad true leaves out what can't be read")
    return good, problems


def read_bytes(path: Path) -> bytes | Problem:
    """The content of a file, decompressed; a problem if it is empty or damaged."""
    try:
        content = path.read_bytes()
    except OSError as error:
        return Problem(f"{path} can't be read: {error.strerror or error}")
    if path.suffix.lower() in COMPRESSIONS:
        try:
            content = COMPRESSIONS[path.suffix.lower()](content)
        except (EOFError, OSError, ValueError, zlib.error, lzma.LZMAError) as error:
            return Problem(f"{path} is no whole {path.suffix} file: {error}")
    return content if content.removeprefix(codecs.BOM_UTF8).strip() else Problem(f"{path} is empty", kind="empty")


def decode_lines(path: Path, content: bytes, encoding: str) -> Iterator[tuple[int, str | Problem]]:
    """The lines of a file with their numbers, from 1; those that can't be decoded are problems."""
    is_utf8 = codecs.lookup(encoding).name == "utf-8"
    content = content.removeprefix(codecs.BOM_UTF8) if is_utf8 else content
    if "\n".encode(encoding) != b"\n":  # UTF-16 and its like: no line ends without the others
        try:
            lines = content.decode(encoding).split("\n")
        except UnicodeDecodeError as error:
            message = f"{path}, byte {error.start}: {error.reason}: not {encoding} text; {ADVICE}"
            yield 1, Problem(message, kind="undecodable")
            return
        yield from ((number, line.removesuffix("\r")) for number, line in enumerate(lines, start=1))
        return
    if b"\n" not in content:  # lines may end in a carriage return alone
        content = content.replace(b"\r", b"\n")
    for number, line in enumerate(content.split(b"\n"), start=1):
        try:
            yield number, line.decode(encoding).removesuffix("\r")
        except UnicodeDecodeError as error:
            byte = f"byte 0x{line[error.start]:02x} at place {error.start + 1}"
            message = f"{path}, line {number}: {byte} is not {encoding} text; {ADVICE}"
            text = line.decode(encoding, "surrogateescape").removesuffix("\r")
            yield number, Problem(message, text, kind="undecodable")
