"""Classes by their names, and what there is of a kind."""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from itertools import accumulate
from typing import Any


def import_all(*packages: Any) -> None:
    """Imports every file of a package, so that the classes in it have short names on the command line."""
    for package in packages:
        for file in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(file.name)


def locate(path: str) -> tuple[Any, str]:
    """Imports the class or function of a dotted path; None, and the reason, where there is none.

    Raises:
        Exception: what its file raises when it is imported, such as a `ModuleNotFoundError` for another.
    """
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if not error.name or not f"{path}.".startswith(f"{error.name}."):
            raise
        return None, str(error)
    return found, "" if found is not None else f"{module} has no {name}"


def find_names(path: str) -> set[str]:
    """The dotted paths of what has this one, which is imported: where it was written, and the packages around there."""
    try:
        value, _ = locate(path)
        written = f"{value.__module__}.{value.__qualname__}"
    except (ImportError, RuntimeError, AttributeError):  # of a library that is not whole; no class or function
        return {path}
    around = accumulate(value.__module__.split("."), "{}.{}".format)
    exports = (package for package in around if getattr(sys.modules.get(package), value.__name__, None) is value)
    return {path, written, *(f"{package}.{value.__name__}" for package in exports)}


def find_subclasses(base: type) -> Iterator[type]:
    """The classes below a class that objects can be made of."""
    for cls in find_family(base):
        if cls is not base and not inspect.isabstract(cls) and not cls.__name__.startswith("_"):
            yield cls


def find_family(base: type) -> Iterator[type]:
    """A class and all below it."""
    yield base
    subclasses: list[type] = type.__subclasses__(base)
    for cls in subclasses:
        yield from find_family(cls)
