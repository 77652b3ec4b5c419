"""Finds classes by their import paths and by their bases."""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from itertools import accumulate
from typing import Any


def import_all(*packages: Any) -> None:
    """Imports every module of packages, so that their classes have short names on the command line."""
    for package in packages:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)


def import_object(path: str) -> tuple[Any, str]:
    """Imports the class or function of an import path; returns None and the reason if there is none.

    Raises:
        Exception: raised by the imported module itself, such as a `ModuleNotFoundError` for another module.
    """
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if not error.name or not f"{path}.".startswith(f"{error.name}."):
            raise
        return None, str(error)
    return found, "" if found is not None else f"{module} has no {name}"


def list_aliases(path: str) -> set[str]:
    """All import paths of an object, which is imported: the given one, its definition, and exports of its packages."""
    try:
        value, _ = import_object(path)
        definition = f"{value.__module__}.{value.__qualname__}"
    except (ImportError, RuntimeError, AttributeError):  # an incomplete installation; neither class nor function
        return {path}
    packages = accumulate(value.__module__.split("."), "{}.{}".format)
    exports = (package for package in packages if getattr(sys.modules.get(package), value.__name__, None) is value)
    return {path, definition, *(f"{package}.{value.__name__}" for package in exports)}


def list_subclasses(base: type) -> Iterator[type]:
    """The concrete public subclasses of a class, direct and indirect."""
    for cls in list_family(base):
        if cls is not base and not inspect.isabstract(cls) and not cls.__name__.startswith("_"):
            yield cls


def list_family(base: type) -> Iterator[type]:
    """A class and all its subclasses, direct and indirect."""
    yield base
    subclasses: list[type] = type.__subclasses__(base)
    for cls in subclasses:
        yield from list_family(cls)
