"""Whose code a command of the Trainer runs: a config may be anybody's, what is typed is the user's own word."""

import re
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lit_mlm.cli.class_paths import find_names, locate
from lit_mlm.cli.given import list_texts, parse_text, split_args
from lit_mlm.errors import InputError

LIBRARIES = ("lit_mlm", "lightning", "torch", "torchmetrics", "transformers")
"""The packages of which a config may name nothing but the classes that options take."""

PLAIN = "lit_mlm.text"
"""The package whose functions a config may name: they compute, and load nothing."""

DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
"""What can be imported: names joined by dots."""

CLASS_OPTION = re.compile(
    r"((model|data|data\.(masking|segmenter)"
    r"|trainer\.(callbacks|logger|strategy|accelerator|plugins|profiler))(\.help|\.class_path)?"
    r"|\S+\.class_path)\+?"
)
"""The options whose values name classes."""


@dataclass(frozen=True)
class Trust:
    """What a config may name: packages with all that is in them, and paths of single classes and functions."""

    packages: tuple[str, ...]
    paths: frozenset[str]

    def admits(self, path: str) -> bool:
        """Whether a config may name what has this dotted path."""
        return path in self.paths or is_within(path, self.packages)

    @property
    def attributes(self) -> list[str]:
        """The dotted paths of what is in the classes and functions, such as methods, as far as they are imported."""
        paths = [path for path in self.paths if path.rpartition(".")[0] in sys.modules]
        found = ((path, locate(path)[0]) for path in paths)
        return [f"{path}.{name}" for path, value in found for name in {*dir(value), *dir(type(value))}]


def take_trust(args: Sequence[str], classes: Iterable[str]) -> tuple[list[str], Trust]:
    """Takes every ``--trust PACKAGE`` out of a command line; returns the rest, and what is trusted.

    That is `PLAIN`, these packages, the classes that any config may name (by their dotted paths), and what is typed: of
    a module that comes with Python or a library that alone, of the user's own the whole module of a class.
    """
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--trust", action="append", nargs="?", const="", default=[PLAIN])
    options, rest = parser.parse_known_args(args)
    packages: list[str] = options.trust
    for package in packages:
        if not all(part.isidentifier() for part in package.split(".")) or is_within(package, ["jsonargparse"]):
            raise InputError(f"--trust needs the name of a package, as in --trust my_package, got {package!r}")
    paths = {path for path in classes if not is_within(path, packages)}
    for path, is_class in find_typed(rest):
        if is_within(path, (*LIBRARIES, *sys.stdlib_module_names)):
            paths |= find_names(path) if is_class or is_within(path, LIBRARIES) else {path}
        elif is_class:
            packages.append(path.rpartition(".")[0])
        elif not is_module(path):
            paths.add(path)
    return rest, Trust(tuple(dict.fromkeys(packages)), frozenset(paths))


def find_typed(args: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """The dotted words of a command line, those in lists and mappings too, and whether a class is meant."""
    for option, values in split_args(args):
        for names, _, text in list_texts([parse_text(value) for value in values] if option else []):
            if DOTTED.fullmatch(text) and not is_within(text, ["jsonargparse"]) and not Path(text).is_file():
                is_class = names[-1:] == ("class_path",) or not names
                yield text, is_class and bool(CLASS_OPTION.fullmatch(option))


def is_module(path: str) -> bool:
    """Whether there is a file or folder of a module with this dotted path, which is then no class or function."""
    places = [Path(folder, *path.split(".")) for folder in sys.path]
    return any(place.is_dir() or any(place.parent.glob(f"{place.name}.*")) for place in places)


def check_trust(path: str, content: Any, trust: Trust) -> None:
    """Refuses a config that names what nobody asked for, in a class path or of a library; it imports nothing."""
    for names, line, text in list_texts(content):
        is_named = names[-1:] == ("class_path",) or is_within(text, LIBRARIES)
        if is_named and DOTTED.fullmatch(text) and not trust.admits(text):
            raise InputError(f"{path}, line {line}: {refuse(text)}")


def is_within(path: str, packages: Iterable[str]) -> bool:
    """Whether a dotted path is that of a package or module, or of something in it."""
    return any(f"{path}.".startswith(f"{package}.") for package in packages)


def refuse(path: str) -> str:
    """The message about what nobody trusts; Python's own modules are nothing to trust a config with."""
    package = path.partition(".")[0]
    advice = (
        "" if package in sys.stdlib_module_names else f"; if you trust the code of {package}, add --trust {package}"
    )
    return (
        "a config may name the classes of lit_mlm, lightning and torch that options take, and functions of "
        f"{PLAIN}, not {path}{advice}"
    )
