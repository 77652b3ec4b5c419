"""Reads the options of commands and classes, and checks values against their types."""

import inspect
import re
from argparse import ArgumentError
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from enum import Enum
from functools import cache
from sys import stdlib_module_names
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, is_typeddict

from jsonargparse import ArgumentParser

from lit_mlm.cli.class_paths import list_subclasses
from lit_mlm.errors import InputError, suggest
from lit_mlm.options import check_option, explain_call
from lit_mlm.upstream import get_hint, list_actions

MAX_SHOWN = 80
"""How many characters of a value messages show."""

STEPS = ("training_step", "validation_step", "test_step", "predict_step")
"""The methods that Lightning calls with as many arguments as they take."""

RENAMED_VALUES = {("data.block_policy", "stream"): "concatenate"}
"""New names of values, by option and old name."""


class SavedClass(type):
    """Stands for a class that is not imported; `lit_mlm.cli.saved_options` has its name, bases and options."""

    saved_options: dict[str, "Option"]
    accepts_any_option: bool
    explanation: str


class UnsureError(Exception):
    """Something can't be decided without the classes that a `SavedClass` stands for."""


@dataclass(frozen=True)
class Option:
    """An option. The type of a section, such as the Trainer's, is the mapping of its options."""

    hint: Any
    is_required: bool = False
    default: Any = None
    help: str = ""


def list_options(parser: ArgumentParser) -> dict[str, Option]:
    """The options of a parser by name."""
    options: dict[str, Option] = {}
    for action in list_actions(parser):
        hint = get_hint(action)
        if hint is not None and not action.dest.endswith(".help"):
            *sections, name = action.dest.split(".")
            table = options
            for section in sections:
                table = table.setdefault(section, Option({})).hint
            list_type: Any = list  # mypy would read `list[hint]` as a type
            full = list_type[hint] if action.nargs == "+" else hint
            table[name] = Option(full, action.required, action.default, action.help or "")
    return options


@cache
def list_class_options(cls: type) -> dict[str, Option]:
    """The options of a class by name, those that it passes on as ``**kwargs`` included."""
    from torch.optim import Optimizer  # slow to import

    parser = ArgumentParser(exit_on_error=False)
    given = {"params"} if issubclass(cls, Optimizer) else None
    with suppress(ValueError, TypeError):  # a class without a Python signature
        parser.add_class_arguments(cls, skip=given, fail_untyped=False)
    return list_options(parser)


def accepts_any_option(cls: type) -> bool:
    """Whether a class accepts ``**kwargs`` that it does not pass on to a base with fixed options."""
    inits = [base.__dict__["__init__"] for base in cls.__mro__[:-1] if "__init__" in base.__dict__]
    try:
        kinds = [{parameter.kind for parameter in inspect.signature(init).parameters.values()} for init in inits]
    except ValueError:  # a class without a Python signature
        return False
    return bool(kinds) and all(inspect.Parameter.VAR_KEYWORD in found for found in kinds)


def split_union(hint: Any) -> tuple[Any, ...]:
    """The members of a union, or the type itself, without annotations."""
    if get_origin(hint) is Annotated:
        return split_union(get_args(hint)[0])
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else ()
    return tuple(member for part in parts for member in split_union(part)) or (hint,)


def list_entries(hint: Any, of_mappings: bool = False) -> list[Any]:
    """The entry types of the lists, or the value types of the mappings, in a type."""
    parts = [(get_origin(part), get_args(part)) for part in split_union(hint)]
    parts = [(origin, args) for origin, args in parts if isinstance(origin, type) and issubclass(origin, Iterable)]
    return [args[of_mappings] for origin, args in parts if issubclass(origin, Mapping) is of_mappings]


def find_classes(hint: Any) -> tuple[type, ...]:
    """The classes whose objects a type accepts, alone, in a list or made by a function."""
    parts = (*split_union(hint), *list_entries(hint), *(get_args(part)[1] for part in list_functions(hint)))
    return tuple(part for part in parts if is_class(part))


def list_functions(hint: Any) -> list[Any]:
    """The types of functions, with those of arguments and result, in a type."""
    return [part for part in split_union(hint) if get_origin(part) is Callable and get_args(part)]


def list_classes(hint: Any) -> list[type]:
    """The classes that a type accepts by short name."""
    return [cls for base in find_classes(hint) for cls in list_subclasses(base)]


def list_names(hint: Any) -> list[str]:
    """The short names of lit-mlm's classes and of those of the base's package, whatever else is imported."""
    packages = {"lit_mlm", *(base.__module__.partition(".")[0] for base in find_classes(hint))}
    modules = {cls: cls.__module__.split(".") for cls in list_classes(hint)}
    # Lightning's demonstrations are there only once something has imported them.
    return sorted({cls.__name__ for cls, path in modules.items() if path[0] in packages and "demos" not in path})


def is_class(hint: Any) -> bool:
    """Whether a type is a class that is built from options: not of the standard library, and no plain data."""
    if not isinstance(hint, type) or hint.__module__.partition(".")[0] in stdlib_module_names:
        return False
    is_protocol = any(base.__name__ == "Protocol" for base in hint.__bases__)
    return not (is_typeddict(hint) or issubclass(hint, Enum | tuple) or is_protocol)


def is_basic(hint: Any) -> bool:
    """Whether a type accepts scalars only."""
    return all(part in (bool, int, float, str, NoneType) or get_origin(part) is Literal for part in split_union(hint))


def accepts_functions(hint: Any) -> bool:
    """Whether a type accepts functions, other than those that make an object of a class."""
    makers = [part for part in list_functions(hint) if is_class(get_args(part)[1])]
    return any(Callable in (part, get_origin(part)) and part not in makers for part in split_union(hint))


def parse_value(hint: Any, value: Any) -> Any:
    """Parses a value of a type by the rules of jsonargparse, which would accept null everywhere.

    Raises:
        ArgumentError: if the type doesn't accept it.
        UnsureError: if a `SavedClass` in the type may accept it.
    """
    if value is None and not any(part in (NoneType, Any, object) for part in split_union(hint)):
        raise ArgumentError(None, "null")
    if type(value) in split_union(hint):
        return value
    parts = [part for part in split_union(hint) if not has_saved_class(part)]
    if len(parts) < len(split_union(hint)):  # no class accepts a scalar other than the names of classes
        is_null = str(value).lower() in ("", "~", "none", "null")
        if is_null or isinstance(value, dict | list) or str(value).startswith(("[", "{")):
            raise UnsureError
        hint = Union[tuple(parts) or (NoneType,)]  # noqa: UP007 (of any number)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=hint)
    return parser.parse_object({"value": deepcopy(value)}).value


def has_saved_class(hint: Any) -> bool:
    """Whether a `SavedClass` is in a type."""
    parts = hint if isinstance(hint, list) else get_args(hint)
    return isinstance(hint, SavedClass) or any(has_saved_class(part) for part in parts if get_origin(hint) != Literal)


def accepts(hint: Any, value: Any) -> bool:
    """Whether a type accepts a value."""
    try:
        parse_value(hint, value)
    except ArgumentError:
        return False
    return True


def explain_value(name: str, hint: Any, value: Any) -> str:
    """The message for a value, or an entry of a list, that an option doesn't accept; empty if it does."""
    if accepts(hint, value):
        try:
            check_option(name, hint, parse_value(hint, value))
        except InputError as error:  # out of range
            return str(error)
        return ""
    entries = [(part, entry) for part in list_entries(hint) for entry in (value if isinstance(value, list) else [])]
    hint, found = next((pair for pair in entries if not accepts(*pair)), (hint, value))
    text = "null" if found is None else str(found)
    shown = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
    choices = [str(choice) for part in split_union(hint) if get_origin(part) is Literal for choice in get_args(part)]
    new = RENAMED_VALUES.get((name, text))
    advice = f"; it is {new} now" if new else suggest(text, choices)
    if str in split_union(hint) and isinstance(found, int | float):
        advice = "; put it in quotes"
    verb = "is" if found is value else "has"
    return f"{name} {verb} {shown!r}, expected {describe_type(hint, choices)}{advice}"


def explain_methods(cls: type, libraries: Collection[str]) -> str:
    """The message for a method that can't be called as the one of a library that it overrides; empty if all can.

    Args:
        cls: class of a user.
        libraries: packages that call their methods by position.
    """

    def is_theirs(base: type) -> bool:
        return base.__module__.partition(".")[0] in libraries

    for name, method in inspect.getmembers(cls, inspect.isfunction):
        owner, *others = (base for base in cls.__mro__ if name in vars(base))
        overridden = next((vars(base)[name] for base in others if is_theirs(base)), None)
        if is_theirs(owner) or not inspect.isfunction(overridden) or name.startswith("__") or name in STEPS:
            continue
        _, *parameters = inspect.signature(overridden).parameters.values()
        required = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty]
        if wrong := explain_call(method, ["self", *required]):
            return f"{wrong}, like {overridden.__qualname__}"
    return ""


def describe_type(hint: Any, choices: list[str]) -> str:
    """The types and choices that a type accepts, in words."""
    types = [part for part in split_union(hint) if get_origin(part) is not Literal]
    names = [str(part) if get_origin(part) else getattr(part, "__name__", str(part)) for part in types]
    names = [re.sub(r"[^\W\d]\w*\.", "", name).replace("timedelta", "timedelta (h:m:s)") for name in names]
    *others, last = choices + [name.replace("NoneType", "null") for name in names]
    return f"{', '.join(others)} or {last}" if others else last
