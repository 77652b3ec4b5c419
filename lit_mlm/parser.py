"""The parser of the Trainer's commands: Lightning's, with errors of a few lines where it has a page.

A parser of its own reads the options of each class. What it finds reaches the parser of the command as the last of a
chain of errors, each the cause of the one before: their `Parser key` make the option's full name.
"""

import ast
import difflib
import inspect
import re
from argparse import ArgumentError
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, get_args, get_type_hints

import yaml
from lightning.pytorch.cli import LightningArgumentParser

from lit_mlm.cli import TRAINER_COMMANDS
from lit_mlm.errors import InputError, follow_causes, shorten, suggest

MAX_LISTED = 8
"""So many valid names are listed; of more, the nearest alone."""


class ClassOptionError(ArgumentError):
    """What the parser of one class raises: a union may still take another class.

    Args:
        message: what was found.
        options: the options of the class.
    """

    def __init__(self, message: str, options: list[str]) -> None:
        super().__init__(None, message)
        self.options = options


class TrainerParser(LightningArgumentParser):
    """Lightning's parser, which raises an `InputError` of a few lines."""

    configs: Sequence[str] = ()
    """The files that the command line names."""

    command: "TrainerParser | None" = None
    """The parser that knows the options of the command that was typed, where this is the one of all commands."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.sections: dict[str, Any] = {}
        super().__init__(*args, **kwargs)

    def add_lightning_class_args(self, lightning_class: Any, nested_key: str, *args: Any, **kwargs: Any) -> list[str]:
        """Adds a section, and keeps its class for the names that are valid there."""
        self.sections[nested_key] = lightning_class
        return super().add_lightning_class_args(lightning_class, nested_key, *args, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises what was found, where, what is valid there and the nearest of it.

        Raises:
            ClassOptionError: in the parser of a class.
            InputError: in the parser of a command.
        """
        if not self.exit_on_error:
            raise ClassOptionError(message, [action.dest for action in self._actions]) from ex
        raise InputError((self.command or self)._explain(message, ex)) from ex

    def _explain(self, message: str, ex: Exception | None) -> str:
        chain = list(follow_causes(ex))
        cause = str(chain[-1]) if chain else message
        keys = [match[1] for error in chain if (match := re.match(r'Parser key "(.+?)"', str(error)))]
        key = ".".join(dict.fromkeys(keys))
        if match := re.search(r"(?:Group '(.+?)' .*)?\b[Oo]ption '(.+?)'", cause):
            of_class = [error.options for error in chain if isinstance(error, ClassOptionError)]
            name = strip_command(".".join(filter(None, (key, match[1], match[2]))))
            return self._explain_unknown(name, [f"{key}.{option}" for option in of_class[-1]] if of_class else [])
        if match := re.match(r"unrecognized arguments: (.+)", cause):
            return self._explain_unrecognized(match[1].split())
        if match := re.search(r"the following arguments are required: (.+)", cause):
            missing = [strip_command(".".join(filter(None, (key, name)))) for name in match[1].split(", ")]
            return f"missing: {', '.join(f'--{name}' for name in missing)}; give a --config that has it, or type it"
        if match := re.match(r"argument (--\S+): expected one argument", cause):
            return f"{match[1]}, or an option below it, has no value"
        key = strip_command(key)
        return self._explain_class(key, cause, chain) or self._explain_value(key, cause, chain) or trim(key, message)

    def _explain_unknown(self, name: str, of_class: list[str]) -> str:
        """About an option in a config, or one that the class of its section doesn't have."""
        origin, section = find_origin(self.configs, name), name.partition(".")[0]
        if name == f"{section}.class_path" and section in self.sections:
            return f"{origin}{section}: an option stands beside class_path; those of the class go below init_args"
        name = re.split(r"\.(?:class_path|init_args)\b", name)[0]
        valid = self._list_options()
        if of_class and name in valid:
            return f"{origin}{name} is of another class; give --{section} CLASS before it{self._list_classes(section)}"
        near = suggest_option(name, of_class) or suggest_option(name, valid)
        if not near and of_class:
            near = f"; there are {', '.join(option.rpartition('.')[2] for option in of_class if '.help' not in option)}"
        return f"{origin}there is no option {name}{near or '; --help lists them'}"

    def _explain_unrecognized(self, args: list[str]) -> str:
        """About what stands on the command line beside its options."""
        names = [arg.partition("=")[0].removeprefix("--") for arg in args if arg.startswith("--")]
        if not names:
            return f"{args[0]!r} belongs to no option"
        near = suggest_option(names[0], self._list_options(), "--")
        return f"there is no option --{names[0]}{near or '; --help lists them'}"

    def _explain_class(self, key: str, cause: str, chain: list[BaseException]) -> str:
        """About a `class_path`: none, no such class, a class of another kind, or one that can't be imported."""
        if "Expected an instantiatable class" in cause:
            return f"{key} needs a class before its options: --{key} CLASS{self._list_classes(key)}"
        given = [match[1] for e in chain if (match := re.match(r"Problem with given class_path '(.+?)'", str(e)))]
        if given and isinstance(chain[-1], ImportError | AttributeError):
            return f"{find_origin(self.configs, key, given[-1])}{key}: can't import {given[-1]}: {cause}"
        if match := re.match(r"Import path (\S+) does not correspond to a subclass of (\w+)", cause):
            return f"{find_origin(self.configs, key, match[1])}{key} must be a {match[2]}, which {match[1]} is not"
        match = re.match(r"Expected a dot import path string: (.+)", cause)
        if not match:
            return ""
        near = suggest(match[1], self._find_classes(key)) or "; one of yours goes by its full name, my_file.MyClass"
        origin = find_origin(self.configs, key, match[1])
        return f"{origin}{key}: there is no class {match[1]}{self._list_classes(key)}{near}"

    def _explain_value(self, key: str, cause: str, chain: list[BaseException]) -> str:
        """About a value of another type than the option's, or none of its choices."""
        match = re.match(r"Expected an? (.+?)\. Got value: (.*)", cause, re.DOTALL)
        if not match:
            return ""
        union = str(chain[-2]) if len(chain) > 1 and "of the Union subtypes" in str(chain[-2]) else ""
        types = re.findall(r"^ +- Expected an? (.+)$", union, re.MULTILINE) or [match[1]]
        names, choices = read_types(types)
        found = match[2] if len(match[2]) <= 80 else f"{match[2][:80]}..."
        origin = find_origin(self.configs, key, match[2])
        *others, last = [*choices, *names]
        expected = f"{', '.join(others)} or {last}" if others else last
        return f"{origin}{key} is {found!r}, expected {expected}{suggest(found, choices)}"

    def _list_options(self) -> list[str]:
        """The options of the command, and those of the classes that may stand in its sections."""
        names = [option.lstrip("-") for action in self._actions for option in action.option_strings]
        for section, base in self.sections.items():
            for cls in find_subclasses(base):
                inits = [vars(part)["__init__"] for part in cls.__mro__[:-1] if "__init__" in vars(part)]
                names += [f"{section}.{name}" for init in inits for name in inspect.signature(init).parameters]
        return names

    def _find_classes(self, key: str) -> list[str]:
        """The names of the classes that may stand in a section, or in an option of the Trainer."""
        section, _, option = key.partition(".")
        hint = self.sections.get(section)
        if option:
            hint = get_type_hints(vars(hint)["__init__"]).get(option) if isinstance(hint, type) else None
        return sorted({cls.__name__ for base in find_types(hint) for cls in find_subclasses(base)})

    def _list_classes(self, key: str) -> str:
        names = self._find_classes(key)
        return f" ({', '.join(names)})" if 0 < len(names) <= MAX_LISTED else ""


def suggest_option(name: str, valid: Iterable[str], prefix: str = "") -> str:
    """`suggest` for the full name of an option: of its own section, else of any.

    Args:
        name: what was found.
        valid: the full names of options.
        prefix: what stands before them where they are typed.
    """
    section, _, last = name.rpartition(".")
    by_last = {full.rpartition(".")[2]: full for full in sorted(valid, key=len, reverse=True)}
    siblings = {full.rpartition(".")[2]: full for full in valid if full.rpartition(".")[0] == section}
    # Compared in full, two names of one section are near for their section alone.
    first = (last, siblings) if section and siblings else (name, {full: full for full in valid})
    for part, table in (first, (last, by_last)):
        if near := difflib.get_close_matches(part, table, n=1):
            return f"; did you mean {prefix}{table[near[0]]}?"
    return ""


def strip_command(key: str) -> str:
    """An option's name without the command that it belongs to, as it is typed."""
    first, _, rest = key.partition(".")
    return rest if rest and first in TRAINER_COMMANDS else key


def trim(key: str, message: str) -> str:
    """The lines of an error that none of the others explains, without those that list what was tried."""
    lines = [re.sub(r'^(- )?(Parser key ".+?":)?', "", line.strip()).strip() for line in message.splitlines()]
    told = [line for line in lines if line and not re.match(r"Does not validate|Subtypes|Errors|Given", line)]
    return ": ".join(filter(None, (key, "\n  ".join(list(dict.fromkeys(told))[:3]))))


def read_types(types: Iterable[str]) -> tuple[list[str], list[str]]:
    """The names of types, and the choices of those that are a `Literal`, from how Python prints them."""
    names, choices = [], []
    for text in types:
        if literal := re.fullmatch(r"typing\.Literal(\[.+\])", text):
            choices += [str(choice) for choice in ast.literal_eval(literal[1])]
        else:
            name = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", text).replace("typing.", "")
            names.append("null" if name == "NoneType" else name)
    return list(dict.fromkeys(names)), list(dict.fromkeys(choices))


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


def check_yaml(path: str) -> None:
    """Refuses a config that is no YAML or has no options.

    Raises:
        InputError: with the line and what stands there.
    """
    try:
        content = yaml.safe_load(Path(path).read_text())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InputError(f"{path}{place}: this is no YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: this is no YAML: {shorten(error)}") from error
    if not isinstance(content, dict | None):
        raise InputError(f"{path}: a config has options, as in 'trainer: ...'; this one is {str(content)[:40]!r}")


def find_origin(configs: Sequence[str], key: str, found: str | None = None) -> str:
    """The config that an option stands in, as the beginning of a message; nothing if it was typed.

    Args:
        configs: the files, in the order in which they are laid over each other.
        key: the option's full name.
        found: its value, if that is what is wrong.
    """
    for path in reversed(configs):
        nodes = [yaml.safe_load(Path(path).read_text())]
        for part in key.split("."):
            nodes = [entry for node in nodes for entry in (node if isinstance(node, list) else [node])]
            nodes = [{**node, **(node.get("init_args") or {})} for node in nodes if isinstance(node, dict)]
            nodes = [node[part] for node in nodes if part in node]
        nodes += [entry for node in nodes if isinstance(node, list) for entry in node]
        nodes += [node.get("class_path") for node in nodes if isinstance(node, dict)]
        if nodes and (found is None or found in map(str, nodes)):
            return f"{path}: "
    return ""
