"""Typed options: ranges and choices, checked in Python as on the command line, and their values as plain data."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from functools import partial
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from lit_mlm.errors import InputError, suggest


@dataclass(frozen=True, repr=False)
class Range:
    """The valid range of a number, as metadata of its type.

    >>> 0.5 in Range(above=0, most=1)
    True
    >>> Range(above=0, most=1)
    above 0 and at most 1
    """

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
        """The range in words, for help and errors."""
        bounds = {"at least": self.least, "above": self.above, "at most": self.most, "below": self.below}
        words = [f"{words} {bound:.10g}" for words, bound in bounds.items() if bound is not None]
        return " and ".join("finite" if word == "below inf" else word for word in words)


Count = Annotated[int, Range(least=1)]
Size = Annotated[int, Range(least=0)]
Amount = Annotated[float, Range(least=0, below=math.inf)]
Rate = Annotated[float, Range(above=0, most=1)]
SEEDS = Range(least=0, most=2**32 - 1)
"""The seeds that numpy accepts."""
Seed = Annotated[int, SEEDS]
Share = Annotated[float, Range(least=0, most=1)]
Part = Annotated[float, Range(least=0, below=1)]


def check_options(section: str, cls: type, options: Mapping[str, Any]) -> None:
    """Checks values against the `Literal` and `Range` annotations of a class and its bases.

    Args:
        section: prefix of the option in messages, such as ``data``.
        cls: class whose `__init__` annotates the options; ``None`` is valid where the annotation allows it.
        options: values by name.
    """
    for base in cls.__mro__:
        for name, parameter in inspect.signature(base.__init__).parameters.items():  # type: ignore[misc]
            if name in options:
                check_option(f"{section}.{name}", parameter.annotation, options[name])


def check_option(name: str, hint: Any, value: Any) -> None:
    """Checks one value, or the entries of a collection, against the `Literal` and `Range` annotations of its type.

    >>> check_option("data.batch_size", Count, 0)
    Traceback (most recent call last):
    lit_mlm.errors.InputError: data.batch_size must be at least 1, got 0
    """
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if value is None and NoneType in parts:
        return
    valid = [choice for part in parts if get_origin(part) is Literal for choice in get_args(part)]
    is_closed = valid and all(part is NoneType or get_origin(part) is Literal for part in parts)
    if is_closed and value not in valid:
        raise InputError(
            f"{name} must be one of {', '.join(map(str, valid))}, got {value!r}{suggest(str(value), valid)}"
        )
    for part in parts:
        if get_origin(part) in (list, tuple, dict) and isinstance(value, list | tuple | dict):
            for entry in value.values() if isinstance(value, dict) else value:
                check_option(name, get_args(part)[-1], entry)
        for found in getattr(part, "__metadata__", ()):
            if isinstance(found, Range) and isinstance(value, int | float) and value not in found:
                raise InputError(f"{name} must be {found}, got {value}")


class DataOptions:
    """Base of frozen dataclasses of data options, whose values are checked against their types however they are set."""

    def __post_init__(self) -> None:
        check_options("data", type(self), vars(self))


def explain_call(function: Callable[..., Any], names: Sequence[str]) -> str:
    """The message for a function that can't be called with positional arguments of these names; empty if it can.

    >>> explain_call(lambda text, language: [], ["text"])
    '<lambda>(text, language) must take (text)'
    """
    try:
        signature = inspect.signature(function)
    except ValueError:  # a builtin without one can only be tried
        return ""
    try:
        signature.bind(*names)
    except TypeError:
        named = function if hasattr(function, "__qualname__") else type(function)
        return f"{named.__qualname__}{signature} must take ({', '.join(names)})"
    return ""


def refuse_without(owner: str, value: object, **dependents: object) -> None:
    """Rejects dependent options that are set while the option they depend on is None."""
    for name, dependent in dependents.items():
        if value is None and dependent is not None:
            raise InputError(f"data.{name} ({dependent}) has no effect without {owner}")


def name_class(path: str) -> str:
    """The name of a class path in a checkpoint: without the module for our own classes, so that they can be moved.

    >>> name_class("lit_mlm.text.masking.strategies.SpanMasking"), name_class("mine.Masking")
    ('SpanMasking', 'mine.Masking')
    """
    return path.rpartition(".")[2] if path.startswith("lit_mlm.") else path


def describe_option(value: Any) -> Any:
    """Represents a value as plain data, for a checkpoint.

    Returns:
        The result of an object's own ``describe()``; the path of a function or of a callable's class; a dataclass as a
        dictionary; a mapping with each value described; any other value unchanged.
    """
    if isinstance(value, Mapping):
        return {
            name: name_class(part) if name == "class_path" else describe_option(part) for name, part in value.items()
        }
    if not isinstance(value, type) and hasattr(value, "describe"):
        return value.describe()
    if isinstance(value, partial):
        cls = next(part for part in (value.func, *value.args) if isinstance(part, type))
        path = name_class(f"{cls.__module__}.{cls.__qualname__}")
        return {"class_path": path, "init_args": describe_option(value.keywords)}
    if not callable(value):
        return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"


def describe_options(options: Any) -> Any:
    """Represents the values of Lightning's `hparams` as plain data, as a checkpoint must not run code."""
    options.update({name: describe_option(value) for name, value in options.items()})
    return options
