"""Finds user errors before torch is imported, by the options that an earlier process has left on disk.

The first command with a Trainer writes them: the options of the command, and names, bases and options of all classes
that may be given. They hold while neither Python nor any file that defines such a class, nor the installed packages,
have changed. `OptionChecker` walks over them as over the imported classes, so its messages are the same; whatever can't
be decided without an import is left to the check that follows.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from operator import or_
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from lit_mlm import __version__
from lit_mlm.cli.option_checker import OptionChecker
from lit_mlm.cli.signatures import (
    Option,
    SavedClass,
    UnsureError,
    accepts_functions,
    has_saved_class,
    list_entries,
)
from lit_mlm.cli.trust import LIBRARIES, PURE, Trust, is_within, list_typed_paths
from lit_mlm.errors import InputError
from lit_mlm.options import Range

UNKNOWN = object()
"""The type of an option whose type can't be saved."""

PACKAGE = Path(__file__).parents[1]


@dataclass
class SavedOptions:
    """The options of a command and the classes for them.

    Attributes:
        options: of the command.
        flags: names of the arguments that are no options.
        paths: the classes of `list_library_classes` by import path.
        names: the valid names by option of the Trainer.
        classes: all of them, in the order of their numbers.
    """

    options: dict[str, Option]
    flags: set[str]
    paths: dict[str, type]
    names: dict[str, list[str]]
    classes: list[Any]


class SavedChecker(OptionChecker):
    """Checks by `SavedOptions`; raises `UnsureError` where it would import."""

    def __init__(self, saved: SavedOptions, trust: Trust) -> None:
        self.saved, self.trust = saved, trust
        self.begin(saved.options, saved.flags)

    def list_class_options(self, cls: Any) -> dict[str, Option]:
        """The saved options of a class."""
        return cls.saved_options if isinstance(cls, SavedClass) else super().list_class_options(cls)

    def accepts_any_option(self, cls: Any) -> bool:
        """As saved."""
        return cls.accepts_any_option if isinstance(cls, SavedClass) else super().accepts_any_option(cls)

    def import_object(self, path: str) -> tuple[Any, str]:
        """The class of an import path."""
        if path not in self.saved.paths:
            raise UnsureError
        return self.saved.paths[path], ""

    def list_aliases(self, path: str) -> set[str]:
        """Unknown."""
        raise UnsureError

    def explain_class(self, cls: Any) -> str:
        """As saved."""
        return str(cls.explanation)

    def list_trainer_names(self) -> dict[str, list[str]]:
        """As saved."""
        return self.saved.names

    def check_option(self, name: str, hint: Any, value: Any) -> None:
        """Leaves options of an unknown type."""
        if hint is UNKNOWN:
            raise UnsureError
        super().check_option(name, hint, value)

    def check_value(self, name: str, hint: Any, value: Any) -> None:
        """Leaves functions, and names in lists, which would be imported."""
        names_classes = isinstance(value, list) and any(map(has_saved_class, list_entries(hint)))
        if names_classes or (accepts_functions(hint) and value is not None):
            raise UnsureError
        super().check_value(name, hint, value)


def check_early(args: Sequence[str]) -> bool:
    """Raises the first user error in a command line if that is certain without an import of torch.

    Args:
        args: the command line, the command first, with the paths of its configs.

    Returns:
        Whether the options are saved, or torch is imported anyway.
    """
    if "torch" in sys.modules:
        return True
    saved = read_options(args[0])
    if saved is not None:
        try:
            check_saved(args, saved)
        except InputError:
            raise
        except Exception:  # `UnsureError`, or a file of the user's that can't be read: the check after it decides
            return True
    return saved is not None


def check_saved(args: Sequence[str], saved: SavedOptions) -> None:
    """Raises the first user error in a command line by saved options.

    Raises:
        UnsureError: if something before it can't be decided, such as a class of the user's own.
    """
    typed, theirs = [*list_typed_paths(args[1:])], (*LIBRARIES, *sys.stdlib_module_names)
    unknown = [path for path, is_class in typed if path not in saved.paths and (is_class or is_within(path, theirs))]
    if unknown or any(arg.partition("=")[0] == "--trust" for arg in args):
        raise UnsureError
    trust = Trust((PURE,), frozenset({*saved.paths, *(path for path, is_class in typed if not is_class)}))
    SavedChecker(saved, trust).check(args[1:])


def find_file(command: str) -> Path:
    """The file of a command's options, in the user's cache, for this installation."""
    place = "\n".join([sys.prefix, sys.version, str(PACKAGE), __version__, os.environ.get("PYTHONPATH", "")])
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return cache / "lit_mlm" / f"{command}-{hashlib.sha256(place.encode()).hexdigest()[:16]}.json"


def describe_files(paths: Iterable[str]) -> list[list[Any]]:
    """Path, time of the last change in ns and size of files and folders; zeros for those that are gone."""
    found = []
    for path in paths:
        try:
            status = os.stat(path)  # noqa: PTH116 (hundreds of them)
        except OSError:
            found.append([path, 0, 0])
        else:
            found.append([path, status.st_mtime_ns, status.st_size])
    return found


def read_options(command: str) -> SavedOptions | None:
    """Reads the options of a command; None if there are none, or if what they were made from has changed."""
    try:
        content = json.loads(find_file(command).read_text(encoding="utf-8"))
        if describe_files(path for path, *_ in content["sources"]) != content["sources"]:
            return None
        return read_content(content)
    except Exception:  # there is no home, or the file is of another version or damaged
        return None


def _decode_range(encoded: dict[str, str | None]) -> Range:
    return Range(**{name: None if bound is None else float(bound) for name, bound in encoded.items()})


def import_type(path: str) -> Any:
    """The type of the standard library at an import path; None for anything else."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name, None) if module.partition(".")[0] in sys.stdlib_module_names else None


def read_content(content: dict[str, Any]) -> SavedOptions:
    """Makes a `SavedClass` of each class, and options with them."""
    classes: dict[int, Any] = {}

    def make(number: int) -> Any:
        if number not in classes:
            found = content["classes"][number]
            bases = tuple(make(base) for base in found["bases"])
            names = {"__module__": found["module"], "__qualname__": found["name"]}
            fields: dict[str, Any] = {"__dataclass_fields__": {}} if found["is_dataclass"] else {}
            classes[number] = SavedClass(found["name"].rpartition(".")[2], bases, names | fields)
            classes[number].__abstractmethods__ = frozenset(found["abstract"])
        return classes[number]

    def decode(encoded: Any) -> Any:
        if encoded is None:
            return UNKNOWN
        if "section" in encoded:
            return decode_options(encoded["section"])
        if "name" in encoded:
            module, name = encoded["name"]
            return SavedClass(name, (), {"__module__": module, "__qualname__": name})
        if "list" in encoded:
            return [decode(part) for part in encoded["list"]]
        if "annotated" in encoded:
            return Annotated[(decode(encoded["annotated"]), *(_decode_range(part) for part in encoded["ranges"]))]
        if "literal" in encoded:
            return Literal[tuple(encoded["literal"])]
        if "union" in encoded:
            return Union[tuple(decode(part) for part in encoded["union"])]  # noqa: UP007 (of any number)
        if "bar" in encoded:
            return reduce(or_, map(decode, encoded["bar"]))
        if "origin" in encoded:
            args = tuple(decode(part) for part in encoded["args"])
            return decode(encoded["origin"])[args] if args else decode(encoded["origin"])
        return make(encoded["class"]) if "class" in encoded else import_type(encoded["path"])

    def decode_options(encoded: dict[str, Any]) -> dict[str, Option]:
        return {name: Option(decode(hint), *rest) for name, (hint, *rest) in encoded.items()}

    for number, found in enumerate(content["classes"]):
        cls = make(number)
        cls.saved_options = decode_options(found["options"])
        cls.accepts_any_option, cls.explanation = found["accepts_any_option"], found["explanation"]
    paths = {path: make(number) for path, number in content["paths"].items()}
    options, made = decode_options(content["options"]), [make(number) for number in range(len(content["classes"]))]
    return SavedOptions(options, set(content["flags"]), paths, content["names"], made)
