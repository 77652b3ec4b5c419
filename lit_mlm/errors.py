"""The error for user mistakes, and helpers to build its messages."""

import difflib
import re
from collections.abc import Iterable, Iterator


class InputError(ValueError):
    """A user error in a config, on the command line or in the data.

    The message says what was found, where, and what to do. The command line prints it without a traceback and exits
    with 2; any other error keeps its traceback and exits with 1.
    """


def refuse_text(name: str, texts: object) -> None:
    """Rejects a text where a list of texts is expected, which would otherwise be read character by character.

    >>> refuse_text("texts", ["one text"])
    """
    if isinstance(texts, str | bytes):
        raise InputError(f"{name} must be a list, got the text {texts!r:.60}; put it in a list: [{texts!r:.60}]")


def escape_controls(text: str) -> str:
    r"""Escapes control characters, which a terminal obeys, except tabs and line feeds; what is JSON remains so.

    >>> print(escape_controls("a red \x1b[31mword"))
    a red \u001b[31mword
    """
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", lambda match: f"\\u{ord(match[0]):04x}", text)


def suggest(name: str, valid: Iterable[str]) -> str:
    """Returns ``; did you mean X?`` for the closest valid name, or an empty string.

    >>> suggest("lenght", ["length", "width"])
    '; did you mean length?'
    """
    near = difflib.get_close_matches(name, valid, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def shorten(error: BaseException) -> str:
    """The first line of an error's message, or its type if the message is empty."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".:") if lines else type(error).__name__


def follow_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an error and its chain of causes, outermost first."""
    while error is not None:
        yield error
        error = error.__cause__


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch ran out of memory: it has an error class for GPUs, but a plain RuntimeError for the CPU."""
    return type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator: " in str(error)
