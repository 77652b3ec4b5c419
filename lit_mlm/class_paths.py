"""Classes by their names, and what there is of a kind."""

import importlib
import inspect
from collections.abc import Iterator
from typing import Any, get_args


def locate(path: str) -> Any:
    """The class of a class path, if its file can be imported and has it."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name, None)


def try_import(path: str) -> str:
    """Why there is no such class, if there is none.

    Raises:
        Exception: what its file raises when it is imported, such as a `ModuleNotFoundError` for another.
    """
    module, _, name = path.rpartition(".")
    try:
        return "" if locate(path) is not None else f"{module} has no {name}"
    except ModuleNotFoundError as error:
        if error.name and f"{path}.".startswith(f"{error.name}."):
            return str(error)
        raise error from None
    except Exception as error:
        raise error from None


def find_types(hint: Any) -> Iterator[type]:
    """The classes in a type annotation, without Python's own."""
    for part in get_args(hint):
        yield from find_types(part)
    if isinstance(hint, type) and hint.__module__ != "builtins":
        yield hint


def find_subclasses(base: type) -> Iterator[type]:
    """The classes below a class that objects can be made of."""
    subclasses: list[type] = type.__subclasses__(base)
    for cls in subclasses:
        if not inspect.isabstract(cls) and not cls.__name__.startswith("_"):
            yield cls
        yield from find_subclasses(cls)
