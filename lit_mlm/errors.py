"""The error that stands for a mistake of the user, not of the program, and what its messages are made of."""

import difflib
import inspect
from collections.abc import Iterable, Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin


class InputError(ValueError):
    """A mistake in a config, on the command line or in the data.

    Its message says what was found, where, and what to do. The command line prints it alone and exits with 2, where
    any other error keeps its traceback and exits with 1.
    """


def suggest(name: str, valid: Iterable[str]) -> str:
    """The end of a message about a name that is not valid: the nearest one that is, or nothing where none is near."""
    near = difflib.get_close_matches(name, valid, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def check_choices(section: str, cls: type, options: Mapping[str, Any]) -> None:
    """Refuses a value that its option can't have, as the command line does.

    Args:
        section: of the options, for the message.
        cls: its `__init__` and those of its bases have the choices of an option as a `Literal`, maybe beside None.
        options: by name.

    Raises:
        InputError: naming the option, its choices and the nearest one.
    """
    for base in cls.__mro__:
        for name, parameter in inspect.signature(base.__init__).parameters.items():  # type: ignore[misc]
            hint = parameter.annotation
            parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
            valid = [choice for part in parts if get_origin(part) is Literal for choice in get_args(part)]
            is_closed = valid and all(part is NoneType or get_origin(part) is Literal for part in parts)
            found = options.get(name, valid[0] if valid else None)
            if is_closed and found not in valid and not (found is None and NoneType in parts):
                near = suggest(str(found), valid)
                raise InputError(f"{section}.{name} must be one of {', '.join(valid)}, got {found!r}{near}")


def name_class(path: str) -> str:
    """What a class path is kept as: of a class of lit-mlm the name alone, as its file may move."""
    return path.rpartition(".")[2] if path.startswith("lit_mlm.") else path


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
