"""The error that stands for a mistake of the user, not of the program, and what its messages are made of."""

import difflib
from collections.abc import Iterable, Iterator


class InputError(ValueError):
    """A mistake in a config, on the command line or in the data.

    Its message says what was found, where, and what to do. The command line prints it alone and exits with 2, where
    any other error keeps its traceback and exits with 1.
    """


def suggest(name: str, valid: Iterable[str]) -> str:
    """The end of a message about a name that is not valid: the nearest one that is, or nothing where none is near."""
    near = difflib.get_close_matches(name, valid, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def shorten(error: BaseException) -> str:
    """The first line of an error's message, or its kind where it has none."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".:") if lines else type(error).__name__


def follow_causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it was raised from, outermost first."""
    while error is not None:
        yield error
        error = error.__cause__


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch could not get memory on the device: it has an error of its own for GPUs, and none for the CPU."""
    return type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator: " in str(error)
