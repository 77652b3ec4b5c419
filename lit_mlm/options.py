"""Options: ranges and choices as their types, checked in Python as on the command line, and values as plain data."""

import inspect
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from lit_mlm.errors import InputError, suggest


@dataclass(frozen=True, repr=False)
class Range:
    """The numbers that an option may have, beside its type: ``Annotated[float, Range(above=0, most=1)]``."""

    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None

    def __contains__(self, value: float) -> bool:
        return (
            (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
        )

    def __repr__(self) -> str:
        """The range in words, as help and errors have it."""
        bounds = {"at least": self.least, "above": self.above, "at most": self.most, "below": self.below}
        return " and ".join(f"{words} {bound:g}" for words, bound in bounds.items() if bound is not None)


Count = Annotated[int, Range(least=1)]
Size = Annotated[int, Range(least=0)]
Rate = Annotated[float, Range(above=0, most=1)]
Share = Annotated[float, Range(least=0, most=1)]
Part = Annotated[float, Range(least=0, below=1)]


def check_options(section: str, cls: type, options: Mapping[str, Any]) -> None:
    """Refuses a value that its option can't have.

    Args:
        section: of the options, for the message.
        cls: its `__init__` and those of its bases annotate an option with a `Literal` or a `Range`, maybe beside None.
        options: by name.

    Raises:
        InputError: naming the option, what it may be and what was found.
    """
    for base in cls.__mro__:
        for name, parameter in inspect.signature(base.__init__).parameters.items():  # type: ignore[misc]
            hint = parameter.annotation
            parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
            value = options.get(name)
            if name in options and not (value is None and NoneType in parts):
                _check_option(f"{section}.{name}", parts, value)


def _check_option(name: str, parts: tuple[Any, ...], value: Any) -> None:
    valid = [choice for part in parts if get_origin(part) is Literal for choice in get_args(part)]
    is_closed = valid and all(part is NoneType or get_origin(part) is Literal for part in parts)
    if is_closed and value not in valid:
        raise InputError(f"{name} must be one of {', '.join(valid)}, got {value!r}{suggest(str(value), valid)}")
    for part in parts:
        for found in getattr(part, "__metadata__", ()):
            if isinstance(found, Range) and isinstance(value, int | float) and value not in found:
                raise InputError(f"{name} must be {found}, got {value}")


def refuse_without(owner: str, value: object, **dependents: object) -> None:
    """Refuses options that have no effect because the one that they belong to is not given.

    Raises:
        InputError: naming both.
    """
    for name, dependent in dependents.items():
        if value is None and dependent is not None:
            raise InputError(f"data.{name} ({dependent}) has no effect without {owner}")


def name_class(path: str) -> str:
    """What a class path is kept as: of a class of lit-mlm the name alone, as its file may move."""
    return path.rpartition(".")[2] if path.startswith("lit_mlm.") else path


def describe_option(value: Any) -> Any:
    """What represents a value in a checkpoint, which holds plain data alone.

    Returns:
        What an object's own ``describe()`` gives; the path of a function, or of another callable's class; the fields of
        a dataclass; of a mapping each value so; anything else as it is.
    """
    if isinstance(value, Mapping):
        return {
            name: name_class(part) if name == "class_path" else describe_option(part) for name, part in value.items()
        }
    if not isinstance(value, type) and hasattr(value, "describe"):
        return value.describe()
    if not callable(value):
        return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"
