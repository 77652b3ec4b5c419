"""The parser of the Trainer's commands: Lightning's, with errors of a few lines where it has a page.

A parser of its own reads the options of each class. What it finds reaches the parser of the command as the last of a
chain of errors, each the cause of the one before: their `Parser key` make the option's full name.
"""

import ast
import inspect
import re
import traceback
from argparse import ArgumentError
from collections.abc import Iterable, Iterator, Sequence
from contextlib import chdir
from itertools import pairwise
from typing import Any, NoReturn, get_type_hints

from lightning.pytorch.cli import LightningArgumentParser

from lit_mlm.cli.class_paths import find_subclasses, find_types, locate, try_import
from lit_mlm.cli.config_files import find_line, find_origin, list_class_paths
from lit_mlm.cli.suggestions import suggest_option, suggest_value
from lit_mlm.cli.table import TRAINER_COMMANDS
from lit_mlm.cli.trust import Trust, refuse
from lit_mlm.errors import InputError, suggest

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

    folder = "."
    """Where they are named from: jsonargparse enters the folder of a config that it parses."""

    typed: Sequence[str] = ()
    """The command line."""

    trust: Trust
    """What may be imported."""

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
            Exception: what a file of the user's own raises when it is imported.
        """
        if not self.exit_on_error:
            raise ClassOptionError(message, [action.dest for action in self._actions]) from ex
        command = self.command or self
        with chdir(command.folder):
            explained = command._explain(message, ex)
        raise InputError(explained) from ex

    def _explain(self, message: str, ex: Exception | None) -> str:
        chain = list(follow_branches(ex))
        cause = str(chain[-1]) if chain else message
        key = ".".join(dict.fromkeys(find_keys(chain)))
        if match := re.search(r"(?:Group '(.+?)' .*)?\b[Oo]ption '(.+?)'", cause):
            of_class = [error.options for error in chain if isinstance(error, ClassOptionError)]
            name = strip_command(".".join(filter(None, (key, match[1], match[2]))))
            options = [f"{strip_command(key)}.{option}" for option in of_class[-1]] if of_class else []
            return self._explain_unknown(name, options, find_class_name(chain))
        if match := re.match(r"unrecognized arguments: (.+)", cause):
            return self._explain_unrecognized(match[1].split())
        if match := re.search(r"the following arguments are required: (.+)", cause):
            missing = [strip_command(".".join(filter(None, (key, name)))) for name in match[1].split(", ")]
            return f"missing: {', '.join(f'--{name}' for name in missing)}; give a --config that has it, or type it"
        if match := re.match(r"argument (--\S+): expected (?:at least )?one argument", cause):
            return f"{match[1]}, or an option below it, has no value"
        key = strip_command(key) or next((o[2:-5] for o, _ in pairwise(self.typed) if o.endswith(".help")), "")
        explained = explain_source(key, cause) or self._explain_class(key, cause, chain)
        return explained or self._explain_value(key, cause, chain) or trim(key, message)

    def _explain_unknown(self, name: str, of_class: list[str], used: str) -> str:
        """About an option in a config, or one that the class of its section, which is in use, doesn't have."""
        origin, section = find_origin(self.configs, name), name.partition(".")[0]
        if name == f"{section}.class_path" and section in self.sections:
            return f"{origin}{section}: an option stands beside class_path; those of the class go below init_args"
        name = re.split(r"\.(?:class_path|init_args)\b", name)[0]
        if any(arg.partition("=")[0] == f"--{name}" for arg in self.typed):
            origin = ""
        valid = self._list_options()
        if section in self.sections and used == self.sections[section].__name__:
            used = ""  # the base, as no class is given
        if of_class and name in valid:
            others = [cls for cls in self._find_classes(section) if cls != used and name in self._list_options(cls)]
            of = f"no option of {used}" if used else "of another class"
            return f"{origin}{name} is {of}; give --{section} CLASS before it{format_names(others)}"
        options = [option for option in of_class if not option.endswith(".help")]
        if of_class and not options:
            key = name.rpartition(".")[0]
            return f"{origin}{name} needs a class before it: --{key}+ CLASS{format_names(self._find_classes(key))}"
        near = suggest_option(name, options) or suggest_option(name, valid)
        if not near and options:
            near = f"; there are {', '.join(option.rpartition('.')[2] for option in options)}"
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
        if denied := re.match(r"Importing '(\S+)' is not allowed", cause):
            return f"{find_line(self.configs, denied[1])}{key}: {refuse(denied[1])}"
        classes = format_names(self._find_classes(key))
        paths = self._find_paths(key)
        for path in paths:
            if self.trust.admits(path) and (reason := try_import(path)):
                return f"{find_origin(self.configs, key, path)}{key}: can't import {path}: {reason}"
        if match := re.match(r"Expected an instantiatable class, but (\S+) is abstract", cause):
            if match[1] not in paths:
                return f"{key} needs a class before its options: --{key} CLASS{classes}"
            lacks = sorted(getattr(locate(match[1]), "__abstractmethods__", ()))
            return f"{key}: {match[1]} is abstract: it lacks {', '.join(lacks)}{classes and f'; take another{classes}'}"
        if match := re.match(r"Import path (\S+) does not correspond to a subclass of (\w+)", cause):
            return f"{find_origin(self.configs, key, match[1])}{key} must be a {match[2]}, which {match[1]} is not"
        match = re.match(r"(?:Expected a dot import path string|Unexpected import path format): ?(.*)", cause)
        if not match:
            return ""
        near = suggest(match[1], self._find_classes(key)) or "; one of yours goes by its full name, my_file.MyClass"
        origin = find_origin(self.configs, key, match[1])
        return f"{origin}{key}: there is no class {match[1] or repr('')}{classes}{near}"

    def _find_paths(self, key: str) -> list[str]:
        """The class paths that were typed for an option or stand in a config."""
        options = (f"--{key}", f"--{key}+")
        typed = [value for option, value in pairwise(self.typed) if option in options]
        typed += [arg.partition("=")[2] for arg in self.typed if arg.partition("=")[0] in options]
        paths = [*typed, *list_class_paths(self.configs)]
        return [path for path in dict.fromkeys(paths) if re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", path)]

    def _explain_value(self, key: str, cause: str, chain: list[BaseException]) -> str:
        """About a value of another type than the option's, or none of its choices."""
        match = re.match(r"Expected an? (.+?)\. Got value: (.*)", cause, re.DOTALL)
        if not match:
            return ""
        union = str(chain[-2]) if len(chain) > 1 and "of the Union subtypes" in str(chain[-2]) else ""
        # It cuts the value out of these lines, for the value 'a' the article too.
        types = re.findall(r"^ +- Expected (?:an? )?(.+?)(?:\. Got value.*)?$", union, re.MULTILINE) or [match[1]]
        names, choices = read_types(types)
        found = match[2] if len(match[2]) <= 80 else f"{match[2][:80]}..."
        origin = find_origin(self.configs, key, match[2])
        *others, last = [*choices, *names]
        expected = f"{', '.join(others)} or {last}" if others else last
        return f"{origin}{key} is {found!r}, expected {expected}{suggest_value(key, found, choices)}"

    def _list_options(self, of: str = "") -> list[str]:
        """The options of the command, and those of the classes that may stand in its sections, or of one alone."""
        names = [option.lstrip("-") for action in self._actions for option in action.option_strings]
        for section, base in self.sections.items():
            for cls in find_subclasses(base):
                inits = [vars(part)["__init__"] for part in cls.__mro__[:-1] if "__init__" in vars(part)]
                found = [f"{section}.{name}" for init in inits for name in inspect.signature(init).parameters]
                names = found if cls.__name__ == of else names if of else names + found
        return names

    def _find_classes(self, key: str) -> list[str]:
        """The names of ours and Lightning's classes that may stand in a section, or in an option of the Trainer."""
        section, _, option = key.partition(".")
        hint = self.sections.get(section)
        if option:
            hint = (
                get_type_hints(inspect.getattr_static(hint, "__init__")).get(option) if isinstance(hint, type) else None
            )
        classes = {cls for base in find_types(hint) for cls in find_subclasses(base)}
        return sorted({cls.__name__ for cls in classes if cls.__module__.startswith(("lit_mlm.", "lightning."))})


def explain_source(key: str, cause: str) -> str:
    """About what stands in place of a source's options; of one that no config has, too, if a part alone is typed."""
    match = re.match(r"(?:.*import path (?:string|format)|Not a valid subclass of Source\. Got value): ?(.*)", cause)
    if not key.startswith("data.sources.") or not match:
        return ""
    example = "--data.sources '{reviews: {files: reviews/*.txt, weight: 3}}'"
    return f"{key} is {match[1]!r}: a source is given with all its options, in a config or as in {example}"


def format_names(names: Sequence[str]) -> str:
    """Names in brackets, unless there are none, or too many to read."""
    return f" ({', '.join(names)})" if 0 < len(names) <= MAX_LISTED else ""


def follow_branches(error: BaseException | None) -> Iterator[BaseException]:
    """`follow_causes`, and where none of several types took a value into the one that came closest to it.

    jsonargparse names the first alone as the cause; the others are in the frame that raised.
    """
    while error is not None:
        yield error
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        unions = [frame for frame in frames if frame.f_code.co_name == "raise_union_unexpected_value"]
        branches = [e for e in unions[-1].f_locals["exceptions"] if isinstance(e, Exception)] if unions else []
        error = max(branches, key=rate_branch) if branches else error.__cause__


def rate_branch(error: Exception) -> tuple[bool, int]:
    """How much an error of one of several types tells: more than that the value is of another, and how deep."""
    chain = list(follow_branches(error))
    return not re.match(r"Expected an? (?!dot import)|Not a valid subclass", str(chain[-1])), len(chain)


def find_keys(chain: Iterable[BaseException]) -> Iterator[str]:
    """The parts of the name of the option that a chain of errors is about.

    jsonargparse names no key of a dict; it is in a frame of the error below it.
    """
    for error in chain:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            found = frame.f_locals
            if frame.f_code.co_name == "adapt_typehints" and found.get("typehint_origin") is dict and "k" in found:
                yield str(found["k"])
        if match := re.match(r'Parser key "(.+?)"', str(error)):
            yield match[1]


def find_class_name(chain: Iterable[BaseException]) -> str:
    """The class that the last of a chain of errors is about."""
    found = [match[1] for e in chain if (match := re.match(r"Problem with given class_path '(.+?)'", str(e)))]
    return found[-1].rpartition(".")[2] if found else ""


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
