"""The options that a command or a class has, and the values that their types take."""

import re
from argparse import ArgumentError
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from enum import Enum
from functools import cache
from sys import stdlib_module_names
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, is_typeddict

from jsonargparse import ArgumentParser

from lit_mlm.cli.suggestions import suggest_value

MAX_SHOWN = 80
"""So many characters of a value are shown."""


@dataclass(frozen=True)
class Option:
    """An option: its type (of a section, such as the Trainer's, its options), whether it must be given, its default."""

    hint: Any
    is_required: bool = False
    default: Any = None


def list_options(parser: ArgumentParser) -> dict[str, Option]:
    """The options of a parser by name."""
    options: dict[str, Option] = {}
    for action in parser._actions:  # argparse has no public list of them, jsonargparse no public place of their types
        hint = getattr(action, "_typehint", None)
        if hint is not None and not action.dest.endswith(".help"):
            *sections, name = action.dest.split(".")
            table = options
            for section in sections:
                table = table.setdefault(section, Option({})).hint
            several: Any = list  # mypy takes what is in brackets for a type
            table[name] = Option(several[hint] if action.nargs == "+" else hint, action.required, action.default)
    return options


@cache
def list_class_options(cls: type) -> dict[str, Option]:
    """The options of a class by name, with those that it hands on to others as ``**kwargs``."""
    parser = ArgumentParser(exit_on_error=False)
    with suppress(ValueError, TypeError):  # of a class whose signature Python doesn't know
        parser.add_class_arguments(cls, fail_untyped=False)
    return list_options(parser)


def split_union(hint: Any) -> tuple[Any, ...]:
    """The types of a union, or the one that there is; of an annotated one that itself."""
    if get_origin(hint) is Annotated:
        return split_union(get_args(hint)[0])
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else ()
    return tuple(part for union in parts for part in split_union(union)) or (hint,)


def list_entries(hint: Any, of_mappings: bool = False) -> list[Any]:
    """The types of the entries of the lists, or of the mappings, that a type takes."""
    parts = [(get_origin(part), get_args(part)) for part in split_union(hint)]
    parts = [(origin, args) for origin, args in parts if isinstance(origin, type) and issubclass(origin, Iterable)]
    return [args[of_mappings] for origin, args in parts if issubclass(origin, Mapping) is of_mappings]


def find_classes(hint: Any) -> tuple[type, ...]:
    """The classes whose objects a type takes, alone or in a list."""
    return tuple(part for part in (*split_union(hint), *list_entries(hint)) if is_class(part))


def is_class(hint: Any) -> bool:
    """Whether a type is a class whose objects are made of options: neither one of Python's own nor a form of data."""
    if not isinstance(hint, type) or hint.__module__.partition(".")[0] in stdlib_module_names:
        return False
    return not (is_typeddict(hint) or issubclass(hint, Enum | tuple) or getattr(hint, "_is_protocol", False))


def is_basic(hint: Any) -> bool:
    """Whether what a type takes has no parts."""
    return all(part in (bool, int, float, str, NoneType) or get_origin(part) is Literal for part in split_union(hint))


def takes_functions(hint: Any) -> bool:
    """Whether a type takes functions."""
    return any(Callable in (part, get_origin(part)) for part in split_union(hint))


def takes(hint: Any, value: Any) -> bool:
    """Whether a type takes a value, by the rules of jsonargparse."""
    if type(value) in split_union(hint):
        return True
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=hint)
    try:
        parser.parse_object({"value": deepcopy(value)})
    except ArgumentError:
        return False
    return True


def find_fault(name: str, hint: Any, value: Any) -> str:
    """What is wrong with the value of an option, or with an entry of its list; nothing if its type takes it."""
    if takes(hint, value):
        return ""
    entries = [(part, entry) for part in list_entries(hint) for entry in (value if isinstance(value, list) else [])]
    hint, found = next((pair for pair in entries if not takes(*pair)), (hint, value))
    text = str(found) if len(str(found)) <= MAX_SHOWN else f"{str(found)[:MAX_SHOWN]}..."
    choices = [str(choice) for part in split_union(hint) if get_origin(part) is Literal for choice in get_args(part)]
    types = [part for part in split_union(hint) if get_origin(part) is not Literal]
    names = [str(part) if get_origin(part) else getattr(part, "__name__", str(part)) for part in types]
    names = [re.sub(r"[^\W\d]\w*\.", "", name).replace("timedelta", "timedelta (h:m:s)") for name in names]
    *others, last = choices + [name.replace("NoneType", "null") for name in names]
    expected = f"{', '.join(others)} or {last}" if others else last
    return (
        f"{name} {'is' if found is value else 'has'} {text!r}, expected {expected}{suggest_value(name, text, choices)}"
    )
