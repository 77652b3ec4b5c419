"""Decides what configs may import: a config may come from anybody, what is typed comes from the user."""

import importlib.util
import pkgutil
import re
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lit_mlm.cli.class_paths import import_object, list_aliases, list_family
from lit_mlm.cli.inputs import list_texts, parse_text, split_args
from lit_mlm.errors import InputError, suggest

LIBRARIES = ("lit_mlm", "lightning", "torch", "torchmetrics", "transformers")
"""The packages of which configs may name the subclasses of `list_bases` only."""

PURE = "lit_mlm.text"
"""The package whose functions configs may name: they compute, and load nothing."""

EXECUTABLES = {"trainer.logger": ("WandbLogger", "settings"), "trainer.strategy": ("DeepSpeedStrategy", "config")}
"""Options that make another library run something: `settings` names an executable, `config` names functions."""

DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
"""An import path: identifiers joined by dots."""

CLASS_OPTION = re.compile(
    r"((model|model\.optimizer|data|data\.(masking|segmenter)"
    r"|trainer\.(callbacks|logger|strategy|accelerator|plugins|profiler))(\.help|\.class_path)?"
    r"|\S+\.class_path)\+?"
)
"""The options whose values name classes."""


@dataclass(frozen=True)
class Trust:
    """What configs may name: everything in `packages`, and the classes and functions of `paths`."""

    packages: tuple[str, ...]
    paths: frozenset[str]

    def allows(self, path: str) -> bool:
        """Whether configs may name this import path."""
        return path in self.paths or is_within(path, self.packages)

    @property
    def attributes(self) -> list[str]:
        """The import paths of the attributes, such as methods, of the imported `paths`."""
        paths = [path for path in self.paths if path.rpartition(".")[0] in sys.modules]
        found = ((path, import_object(path)[0]) for path in paths)
        return [f"{path}.{name}" for path, value in found for name in {*dir(value), *dir(type(value))}]


def take_trust(args: Sequence[str]) -> tuple[list[str], Trust]:
    """Removes every ``--trust PACKAGE`` from a command line; returns the other arguments, and what is trusted.

    Trusted are the subclasses of `list_bases`, the functions of `PURE`, the packages of ``--trust``, and what is typed:
    the named object alone if it is of Python or of `LIBRARIES`, the whole module of a class of the user's own.
    """
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--trust", action="append", nargs="?", const="", default=[PURE])
    options, rest = parser.parse_known_args(args)
    packages: list[str] = options.trust
    for package in packages:
        if not all(part.isidentifier() for part in package.split(".")) or is_within(package, ["jsonargparse"]):
            raise InputError(f"--trust needs the name of a package, as in --trust my_package, got {package!r}")
        top = package.partition(".")[0]
        if top not in sys.modules and importlib.util.find_spec(top) is None:
            near = suggest(top, (module.name for module in pkgutil.iter_modules()))
            raise InputError(f"--trust {package}: there is no package {top} here{near}")
    paths = {path for path in list_library_classes() if not is_within(path, packages)}
    for path, is_class in list_typed_paths(rest):
        if is_within(path, (*LIBRARIES, *sys.stdlib_module_names)):
            paths |= list_aliases(path) if is_class or is_within(path, LIBRARIES) else {path}
        elif is_class:
            packages.append(path.rpartition(".")[0])
        elif not is_module(path):
            paths.add(path)
    return rest, Trust(tuple(dict.fromkeys(packages)), frozenset(paths))


def list_bases() -> tuple[type, ...]:
    """The types of options, which are slow to import: configs may name these classes and their subclasses."""
    import lightning.pytorch.plugins.environments  # noqa: F401 (its subclasses are imported nowhere else)
    import transformers.optimization  # noqa: F401 (likewise)
    from lightning.fabric.plugins import ClusterEnvironment
    from lightning.pytorch import Callback, LightningDataModule
    from lightning.pytorch.accelerators import Accelerator
    from lightning.pytorch.loggers import Logger
    from lightning.pytorch.plugins import CheckpointIO, LayerSync, Precision
    from lightning.pytorch.profilers import Profiler
    from lightning.pytorch.strategies import Strategy
    from torch.amp import GradScaler
    from torch.optim import Optimizer

    from lit_mlm.data.reading.sources import Source
    from lit_mlm.modules.base import TransformerModule
    from lit_mlm.nets.lora import Lora

    return (
        *(TransformerModule, LightningDataModule, Source, Lora),
        *(Optimizer, Callback, Logger, Profiler, Accelerator, Strategy),
        *(Precision, GradScaler, ClusterEnvironment, CheckpointIO, LayerSync),
    )


def list_library_classes() -> dict[str, type]:
    """The imported subclasses of `list_bases` in `LIBRARIES` by import path, those of packages' exports included."""
    classes = {cls for base in list_bases() for cls in list_family(base)}
    paths = {}
    for name, module in list(sys.modules.items()):
        if is_within(name, LIBRARIES):
            is_package = "__path__" in getattr(module, "__dict__", {})
            for cls in classes:
                if (is_package or name == cls.__module__) and getattr(module, cls.__name__, None) is cls:
                    paths[f"{name}.{cls.__name__}"] = cls
    return paths


def list_typed_paths(args: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """The import paths on a command line, also in lists and mappings, and whether a class is expected there."""
    for option, values in split_args(args):
        for names, _, text in list_texts([parse_text(value) for value in values] if option else []):
            if DOTTED.fullmatch(text) and not is_within(text, ["jsonargparse"]) and not Path(text).is_file():
                is_class = names[-1:] == ("class_path",) or not names
                yield text, is_class and bool(CLASS_OPTION.fullmatch(option))


def is_module(path: str) -> bool:
    """Whether an import path is that of a module's file or folder, not of a class or function."""
    files = [Path(folder, *path.split(".")) for folder in sys.path]
    return any(file.is_dir() or any(file.parent.glob(f"{file.name}.*")) for file in files)


def is_within(path: str, packages: Iterable[str]) -> bool:
    """Whether an import path is one of these packages or in one."""
    return any(f"{path}.".startswith(f"{package}.") for package in packages)


def check_trust(config: str, content: Any, trust: Trust) -> None:
    """Refuses untrusted class paths, and other untrusted objects of `LIBRARIES`, in a config; imports nothing."""
    for names, line, text in list_texts(content):
        is_named = names[-1:] == ("class_path",) or is_within(text, LIBRARIES)
        if is_named and DOTTED.fullmatch(text) and not trust.allows(text):
            raise InputError(f"{config}, line {line}: {explain_distrust(text)}")


def check_executables(config: Any, args: Sequence[str], trust: Trust) -> None:
    """Refuses parsed options that make other code run, `EXECUTABLES` and a model's own code, unless they are typed."""
    for key, (name, option) in EXECUTABLES.items():
        values = config[key] if isinstance(config[key], list) else [config[key]]
        is_typed = any(arg.startswith(f"--{key}") and arg.partition("=")[0].endswith(f".{option}") for arg in args)
        for value in () if is_typed or "lightning" in trust.packages else values:
            parts = [value.get(part) or {} for part in ("init_args", "dict_kwargs")] if hasattr(value, "get") else []
            if parts and value.class_path.endswith(f".{name}") and any(part.get(option) is not None for part in parts):
                raise InputError(
                    f"{key}: a config can't give {option} of {name}, which says what is run; type "
                    f"--{key}.{option}, or add --trust lightning"
                )
    is_typed = any(arg.partition("=")[0] == "--model.trust_remote_code" for arg in args)
    if config.get("model.init_args.trust_remote_code") and not is_typed:
        raise InputError("a config can't trust a model's code: type --model.trust_remote_code true")


def explain_distrust(path: str) -> str:
    """The message for an untrusted import path; Python's own modules can't be trusted."""
    package = path.partition(".")[0]
    advice = f"; if you trust the code of {package}, add --trust {package}"
    return (
        "a config may name the classes of lit_mlm, lightning and torch that options take, and functions of "
        f"{PURE}, not {path}{'' if package in sys.stdlib_module_names else advice}"
    )
