"""Saves the options of a command, by which `lit_mlm.cli.saved_options` finds user errors before torch is imported."""

import json
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from lit_mlm.cli.class_paths import list_family
from lit_mlm.cli.option_checker import OptionChecker
from lit_mlm.cli.saved_options import PACKAGE, UNKNOWN, describe_files, find_file, import_type, read_content
from lit_mlm.cli.signatures import Option, describe_type, is_class
from lit_mlm.cli.trust import LIBRARIES, is_within, list_bases, list_library_classes
from lit_mlm.options import Range
from lit_mlm.runs.atomic import write_json

IGNORED = ("accelerate",)
"""Packages that transformers imports where they are installed, and whose classes are no options."""


def list_sources(classes: Iterable[type]) -> list[str]:
    """The files that define classes and their bases, all of lit-mlm, and the folders of installed packages."""
    modules = {base.__module__ for cls in classes for base in cls.__mro__}
    files = {getattr(sys.modules[name], "__file__", None) for name in modules}
    installed = {path for path in sys.path if path.endswith("-packages") and Path(path).is_dir()}
    return sorted({*map(str, PACKAGE.rglob("*.py")), *installed, *(file for file in files if file)})


def save_options(command: str, checker: OptionChecker) -> None:
    """Writes the options of a command, unless classes of the user's own are imported or the cache can't be written."""
    writer, paths = _Writer(checker), list_library_classes()
    content: dict[str, Any] = {
        "options": writer.encode_options(checker.options),
        "paths": {path: writer.add(cls) for path, cls in paths.items()},
        "classes": writer.encode_classes(),
        "flags": sorted(checker.flags),
        "names": checker.list_trainer_names(),
    }
    if all(is_within(cls.__module__, LIBRARIES) for cls in writer.classes):
        saved = read_content(content)
        _drop_unlike(content["options"], checker.options, saved.options)
        for cls, number in writer.classes.items():
            options = checker.list_class_options(cls)
            _drop_unlike(content["classes"][number]["options"], options, saved.classes[number].saved_options)
        content["sources"] = describe_files(list_sources(writer.classes))
        with suppress(OSError, RuntimeError):  # there may be no home
            write_json(find_file(command), content)


def _drop_unlike(encoded: dict[str, Any], options: dict[str, Option], saved: dict[str, Option]) -> None:
    """Removes types that messages would describe in other words, such as `typing.List`."""
    for name, option in options.items():
        if isinstance(option.hint, dict):
            _drop_unlike(encoded[name][0]["section"], option.hint, saved[name].hint)
        elif saved[name].hint is not UNKNOWN and _describe(option.hint) != _describe(saved[name].hint):
            encoded[name][0] = None


def _describe(hint: Any) -> str:
    return describe_type(hint, [""])


class _Writer:
    """Encodes types and options as JSON, and collects the classes in them: those of lit-mlm and of `list_bases`."""

    def __init__(self, checker: OptionChecker) -> None:
        self.checker = checker
        self.bases = list_bases()
        self.classes: dict[type, int] = {}

    def add(self, cls: type) -> int:
        """The number of a class."""
        return self.classes.setdefault(cls, len(self.classes))

    def encode_classes(self) -> list[dict[str, Any]]:
        """Encodes the classes that were added, their subclasses, and the classes of their options."""
        options: list[dict[str, Any]] = []
        while len(options) < len(self.classes):
            cls = [*self.classes][len(options)]
            for found in list_family(cls):
                if not is_within(found.__module__, IGNORED):
                    self.add(found)
            options.append(self.encode_options(self.checker.list_class_options(cls)))
        return [self.encode_class(cls, found) for cls, found in zip([*self.classes], options, strict=False)]

    def encode_class(self, cls: type, options: dict[str, Any]) -> dict[str, Any]:
        """Encodes a class with its next bases among the classes."""
        bases = [base for base in cls.__mro__[1:] if base in self.classes]
        return {
            "module": cls.__module__,
            "name": cls.__qualname__,
            "bases": [self.add(base) for base in bases if not any(base in other.__mro__[1:] for other in bases)],
            "abstract": sorted(getattr(cls, "__abstractmethods__", ())),
            "is_dataclass": is_dataclass(cls),
            "options": options,
            "accepts_any_option": self.checker.accepts_any_option(cls),
            "explanation": self.checker.explain_class(cls),
        }

    def encode_options(self, options: dict[str, Option]) -> dict[str, Any]:
        """Encodes options by name."""
        return {name: self.encode_option(option) for name, option in options.items()}

    def encode_option(self, option: Option) -> list[Any]:
        """Encodes the type, whether it is required, and the default."""
        if isinstance(option.hint, dict):
            return [{"section": self.encode_options(option.hint)}, option.is_required, None]
        default = option.default
        try:
            default = json.loads(json.dumps(default, allow_nan=False))
        except (TypeError, ValueError):
            default = str(default)
        try:
            return [self.encode(option.hint), option.is_required, default]
        except ValueError:
            return [None, option.is_required, default]

    def encode(self, hint: Any, is_argument: bool = False) -> Any:
        """Encodes a type; of classes in the arguments of a function the names alone.

        Raises:
            ValueError: if its parts have no encoding.
        """
        origin, args = get_origin(hint), get_args(hint)
        if isinstance(hint, list):  # the arguments of a function
            return {"list": [self.encode(part, is_argument=True) for part in hint]}
        if origin is Annotated and all(isinstance(part, Range) for part in args[1:]):
            return {
                "annotated": self.encode(args[0], is_argument),
                "ranges": [_encode_range(part) for part in args[1:]],
            }
        if origin is Literal and all(type(part) in (str, int, bool, NoneType) for part in args):
            return {"literal": list(args)}
        if origin in (Union, UnionType):
            return {"union" if origin is Union else "bar": [self.encode(part, is_argument) for part in args]}
        if isinstance(origin, type):
            return {"origin": self.encode(origin), "args": [self.encode(part, is_argument) for part in args]}
        if is_class(hint) and (issubclass(hint, self.bases) or is_within(hint.__module__, ["lit_mlm"])):
            return {"class": self.add(hint)}
        if is_class(hint) and is_argument:
            return {"name": [hint.__module__, hint.__qualname__]}
        if path := _name_type(hint):
            return {"path": path}
        raise ValueError(hint)


def _encode_range(bounds: Range) -> dict[str, str | None]:
    """Encodes a range; its bounds as text, as JSON has no infinity."""
    return {name: None if bound is None else repr(bound) for name, bound in vars(bounds).items()}


def _name_type(hint: Any) -> str | None:
    """The import path of a type of the standard library; None for others."""
    special = {NoneType: "types.NoneType", Ellipsis: "builtins.Ellipsis", Any: "typing.Any"}
    if hint in special:
        return special[hint]
    path = f"{getattr(hint, '__module__', '')}.{getattr(hint, '__qualname__', '')}"
    return path if isinstance(hint, type) and import_type(path) is hint else None
