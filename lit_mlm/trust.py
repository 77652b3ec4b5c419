"""Whose code a command of the Trainer runs: a config may be anybody's, what is typed is the user's own word."""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import yaml

from lit_mlm.config_files import walk
from lit_mlm.errors import InputError

TRUSTED = ("lit_mlm", "lightning", "torch", "torchmetrics", "transformers")
"""The packages whose classes a config may name."""

DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
"""What can be imported: names joined by dots."""

CLASS_OPTION = re.compile(
    r"--((model|data|data\.(masking|segmenter)"
    r"|trainer\.(callbacks|logger|strategy|accelerator|plugins|profiler))(\.help|\.class_path)?"
    r"|\S+\.class_path)\+?"
)
"""The options whose values name classes."""


def take_trust(args: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Takes every ``--trust PACKAGE`` out of a command line.

    Args:
        args: the command line.

    Returns:
        The others, and what is trusted: `TRUSTED`, these packages, and the modules of the classes that are typed.

    Raises:
        InputError: if one is no package's name.
    """
    rest, packages = [], []
    iterator = iter(args)
    for arg in iterator:
        option, equals, value = arg.partition("=")
        if option != "--trust":
            rest.append(arg)
            continue
        package = value if equals else next(iterator, "")
        if not all(part.isidentifier() for part in package.split(".")):
            raise InputError(f"--trust needs the name of a package, as in --trust my_package, got {package!r}")
        packages.append(package)
    typed = [path.rpartition(".")[0] for path in find_typed_classes(rest)]
    return rest, tuple(dict.fromkeys((*TRUSTED, *packages, *typed)))


def find_typed_classes(args: Sequence[str]) -> Iterator[str]:
    """The dotted paths of classes that a command line names, those in typed lists and mappings too."""
    pairs = zip(args, [*args[1:], ""], strict=True)
    for option, value in (arg.split("=", 1) if "=" in arg else (arg, following) for arg, following in pairs):
        if not CLASS_OPTION.fullmatch(option) or Path(value).is_file():
            continue
        try:
            root = yaml.compose(value, yaml.SafeLoader)
        except yaml.YAMLError:  # the parser tells what is wrong with it
            continue
        nodes = [root, *(root.value if isinstance(root, yaml.SequenceNode) else [])]
        nodes += [node for name, _, node in (walk(root) if root else ()) if name[-1] == "class_path"]
        for node in nodes:
            if isinstance(node, yaml.ScalarNode) and DOTTED.fullmatch(node.value):
                yield node.value


def check_trust(config: str, trusted: Iterable[str]) -> None:
    """Refuses a config that would run code which was not asked for; it imports nothing.

    Args:
        config: the file.
        trusted: what `take_trust` found.

    Raises:
        InputError: names line and class, and what to type.
    """
    root = yaml.compose(Path(config).read_text(), yaml.SafeLoader)
    for name, key, value in walk(root) if root else ():
        place, text = f"{config}, line {key.start_mark.line + 1}", str(value.value)
        if name == ("trust",):
            raise InputError(f"{place}: a config can't trust: type --trust PACKAGE")
        is_class = isinstance(value, yaml.ScalarNode) and (name[-1] == "class_path" or name in (("model",), ("data",)))
        if is_class and not is_trusted(text, trusted) and DOTTED.fullmatch(text) and not Path(text).is_file():
            raise InputError(f"{place}: {refuse_class(text)}")


def is_trusted(path: str, trusted: Iterable[str]) -> bool:
    """Whether a dotted path lies in one of the packages or modules that are trusted."""
    return any(f"{path}.".startswith(f"{package}.") for package in trusted)


def refuse_class(path: str) -> str:
    """The message about a class that nobody trusts; Python's own modules are nothing to trust a config with."""
    *others, last = TRUSTED
    package = path.partition(".")[0]
    advice = (
        "" if package in sys.stdlib_module_names else f"; if you trust the code of {package}, add --trust {package}"
    )
    return f"a config may name what is in {', '.join(others)} and {last}, not {path}{advice}"
