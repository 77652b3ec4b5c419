"""Whose code a command of the Trainer runs: a config may be anybody's, what is typed is the user's own word."""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import yaml

from lit_mlm.cli.class_paths import find_names, locate
from lit_mlm.cli.config_files import list_scalars, walk
from lit_mlm.errors import InputError

LIBRARIES = ("lit_mlm", "lightning", "torch", "torchmetrics", "transformers")
"""The packages of which a config may name nothing but the classes that options take."""

PLAIN = "lit_mlm.text"
"""The package whose functions a config may name: they compute, and load nothing."""

DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
"""What can be imported: names joined by dots."""

CLASS_OPTION = re.compile(
    r"--((model|data|data\.(masking|segmenter)"
    r"|trainer\.(callbacks|logger|strategy|accelerator|plugins|profiler))(\.help|\.class_path)?"
    r"|\S+\.class_path)\+?"
)
"""The options whose values name classes."""


@dataclass(frozen=True)
class Trust:
    """What a config may name.

    Attributes:
        packages: packages and modules, with all that is in them.
        paths: classes and functions, without what is in them.
    """

    packages: tuple[str, ...]
    paths: frozenset[str]

    def admits(self, path: str) -> bool:
        """Whether a config may name what has this dotted path."""
        return path in self.paths or is_within(path, self.packages)

    @property
    def attributes(self) -> list[str]:
        """The dotted paths of what is in the classes and functions, such as methods, as far as they are imported."""
        found = ((path, locate(path)) for path in self.paths if path.rpartition(".")[0] in sys.modules)
        return [f"{path}.{name}" for path, value in found for name in {*dir(value), *dir(type(value))}]


def take_trust(args: Sequence[str], classes: Iterable[str]) -> tuple[list[str], Trust]:
    """Takes every ``--trust PACKAGE`` out of a command line.

    Args:
        args: the command line.
        classes: the dotted paths of the classes that any config may name.

    Returns:
        The others, and what is trusted: `PLAIN`, these packages, the classes, and what is typed: of a module that comes
        with Python or a library that alone, of the user's own the whole module of a class.

    Raises:
        InputError: if one is no package's name.
    """
    rest, packages = [], [PLAIN]
    iterator = iter(args)
    for arg in iterator:
        option, equals, value = arg.partition("=")
        if option != "--trust":
            rest.append(arg)
            continue
        package = value if equals else next(iterator, "")
        if not all(part.isidentifier() for part in package.split(".")) or is_within(package, ["jsonargparse"]):
            raise InputError(f"--trust needs the name of a package, as in --trust my_package, got {package!r}")
        packages.append(package)
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
    """The dotted words of a command line, those in lists and mappings too, and whether a class stands there."""
    pairs = zip(args, [*args[1:], ""], strict=True)
    for option, value in (arg.split("=", 1) if "=" in arg else (arg, following) for arg, following in pairs):
        if not option.startswith("--") or Path(value).is_file():
            continue
        with suppress(yaml.YAMLError):  # the parser tells what is wrong with it
            root = yaml.compose(value, yaml.SafeLoader)
            for name, node in list_scalars(root) if root else ():
                if DOTTED.fullmatch(node.value) and not is_within(node.value, ["jsonargparse"]):
                    is_class = name[-1:] == ("class_path",) or not name
                    yield node.value, is_class and bool(CLASS_OPTION.fullmatch(option))


def is_module(path: str) -> bool:
    """Whether there is a file or folder of a module with this dotted path, which is then no class or function."""
    places = [Path(folder, *path.split(".")) for folder in sys.path]
    return any(place.is_dir() or any(place.parent.glob(f"{place.name}.*")) for place in places)


def check_trust(config: str, trust: Trust) -> None:
    """Refuses a config that would run code which was not asked for; it imports nothing.

    Args:
        config: the file.
        trust: what `take_trust` found.

    Raises:
        InputError: names line and class or function, and what to type.
    """
    root = yaml.compose(Path(config).read_text(), yaml.SafeLoader)
    for name, key, _ in walk(root) if root else ():
        if name == ("trust",):
            raise InputError(f"{config}, line {key.start_mark.line + 1}: a config can't trust: type --trust PACKAGE")
    for name, node in list_scalars(root) if root else ():
        path = node.value
        is_named = name[-1] == "class_path" or name in (("model",), ("data",)) or is_within(path, LIBRARIES)
        if is_named and DOTTED.fullmatch(path) and not trust.admits(path) and not Path(path).is_file():
            raise InputError(f"{config}, line {node.start_mark.line + 1}: {refuse(path)}")


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
