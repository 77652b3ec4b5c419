"""Checks configs and typed options before jsonargparse parses them, so that messages name file, line and option."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import ArgumentParser

from lit_mlm.cli.class_paths import import_object, list_aliases, list_family
from lit_mlm.cli.configs import list_experiments
from lit_mlm.cli.inputs import list_texts, nest, parse_text, read_config, split_args
from lit_mlm.cli.option_names import SHARED, suggest_option
from lit_mlm.cli.signatures import (
    Option,
    accepts,
    accepts_any_option,
    accepts_functions,
    explain_methods,
    explain_value,
    find_classes,
    is_basic,
    list_class_options,
    list_classes,
    list_entries,
    list_functions,
    list_names,
    list_options,
    split_union,
)
from lit_mlm.cli.table import TRAINER_COMMANDS
from lit_mlm.cli.trainer_values import explain_trainer_value
from lit_mlm.cli.trust import DOTTED, LIBRARIES, Trust, check_trust, explain_distrust
from lit_mlm.errors import InputError, suggest
from lit_mlm.upstream import list_actions

CLASS_KEYS = ("class_path", "init_args", "dict_kwargs")
"""The keys of a mapping that describes an object."""

MAX_LISTED = 8
"""How many classes a message lists."""

MAX_LENGTH = 400
"""How many characters of options a message lists."""


class OptionChecker:
    """Walks over configs and then typed options, each overriding the ones before, along the options that exist.

    Args:
        parser: parser of the command.
        trust: what may be imported.
    """

    def __init__(self, parser: ArgumentParser, trust: Trust) -> None:
        self.trust = trust
        options = list_options(parser)
        names = {name.removeprefix("--") for action in list_actions(parser) for name in action.option_strings}
        self.begin(options, {"", *(name for name in names if name.partition(".")[0] not in options)})

    def begin(self, options: dict[str, Option], flags: set[str]) -> None:
        """Takes the options of the command, and the names of the arguments that are no options."""
        self.options, self.flags = options, flags
        self.given: set[str] = set()
        self.classes: dict[str, type] = {}  # class of each option's current object; dict for a mapping of objects
        self.files: list[str] = []  # the config being checked, last, after the ones that name it
        self.line, self.typed = 1, ""

    # `lit_mlm.cli.saved_options` overrides these, to import nothing.

    def list_class_options(self, cls: type) -> dict[str, Option]:
        """The options of a class by name."""
        return list_class_options(cls)

    def accepts_any_option(self, cls: type) -> bool:
        """Whether a class takes other options, too."""
        return accepts_any_option(cls)

    def import_object(self, path: str) -> tuple[Any, str]:
        """Imports a class or function; returns None and the reason if there is none."""
        return import_object(path)

    def list_aliases(self, path: str) -> set[str]:
        """The import paths of a class."""
        return list_aliases(path)

    def explain_class(self, cls: type) -> str:
        """What follows the path of a class that can't be used; empty for another."""
        from lit_mlm.cli.trainer_options import explain_trainer_class  # slow to import

        reason, wrong = explain_trainer_class(cls), explain_methods(cls, LIBRARIES)
        return f" {reason}" if reason else f": {wrong}" if wrong else ""

    def list_trainer_names(self) -> dict[str, list[str]]:
        """The valid names by option of the Trainer."""
        from lit_mlm.cli.trainer_options import list_trainer_names  # slow to import

        return list_trainer_names()

    def check(self, args: Sequence[str]) -> None:
        """Raises the first user error in the arguments of a command."""
        typed = split_args(args)
        for path in (path for option, values in typed if option == "config" for path in values[:1]):
            self.check_file(path, lambda content: self.check_options("", self.options, content))
        for option, values in typed:
            self.check_typed(option, values)
        required = [name for name, option in self.options.items() if find_classes(option.hint)]
        for name, cls in self.classes.items():
            required += [f"{name}.{key}" for key, option in self.list_class_options(cls).items() if option.is_required]
        missing = [f"--{name}" for name in required if name not in self.given]
        if missing and {"-h", "help", "print_config"}.isdisjoint(option.rpartition(".")[2] for option, _ in typed):
            advice = "a --config that has it, or type it"
            if not any(option == "config" for option, _ in typed):
                advice = f"--config with one of {', '.join(list_experiments())} or of your own, or type it"
            self.refuse(f"missing: {', '.join(missing)}; give {advice}")

    def check_typed(self, option: str, values: list[str]) -> None:
        """Checks a typed option like one in a config."""
        self.typed = option.removesuffix(".help")
        is_list = option in self.options and bool(list_entries(self.options[option].hint))
        extra = values if option == "" else [] if is_list else values[1:]
        if extra:
            self.refuse(f"{extra[0]!r} belongs to no option")
        if option not in self.flags and (values or not option.endswith(".help")):
            if not values:
                self.refuse(f"--{option} has no value")
            parsed = [parse_text(value) for value in values]
            self.check_options("", self.options, nest(self.typed, parsed if is_list else parsed[0]))

    def refuse(self, message: str) -> NoReturn:
        """Raises a message with file and line."""
        raise InputError(f"{self.files[-1]}, line {self.line}: {message}" if self.files else message)

    def check_file(self, path: str, check: Callable[[Any], None]) -> None:
        """Checks a config, first for what it may import."""
        if path in self.files:
            self.refuse(f"{path} names itself")
        content = read_config(path)
        check_trust(path, content, self.trust)
        self.files.append(path)
        self.line = 1
        check(content)
        self.files.pop()

    def check_mapping(self, name: str, example: str, value: Any) -> None:
        """Refuses anything but a mapping of options."""
        if value is None:
            self.refuse(f"{name} is empty; give it options, or leave it out")
        if not isinstance(value, dict):
            found = "a list (remove the '-')" if isinstance(value, list) else repr(value)
            self.refuse(f"{name} must have options such as '{example}', not {found}")

    def check_options(self, owner: str, options: dict[str, Option], values: Any) -> None:
        """Checks options of the command, of a section or of an object."""
        self.check_mapping(owner or "the config", "max_epochs: 3" if owner else "trainer: ...", values)
        for key, value in values.items():
            self.line = getattr(values, "lines", {}).get(key, self.line)
            if not isinstance(key, str):
                self.refuse(f"the name of an option must be text, which {key!r} is not")
            head, _, rest = key.partition(".")
            name = head.removesuffix("+")
            if name not in options:
                self.refuse_option(owner, name, options)
            full = f"{owner}.{name}" if owner else name
            self.given.add(full)
            made_by = options[name].default if list_functions(options[name].hint) else None
            if isinstance(made_by, dict):  # the class of the default, which the signature has imported
                self.classes.setdefault(full, self.import_object(made_by["class_path"])[0])
            self.check_option(full, options[name].hint, nest(rest, value) if rest else value)

    def check_option(self, name: str, hint: Any, value: Any) -> None:
        """Checks an option, whatever its type."""
        classes, is_section = find_classes(hint), isinstance(hint, dict)
        table = next((cls for part in list_entries(hint, of_mappings=True) for cls in find_classes(part)), None)
        if (classes or is_section) and (path := self.find_nested_config(value)):
            self.check_file(path, lambda content: self.check_option(name, hint, content))
        elif is_section:
            self.check_options(name, hint, value)
        elif table and isinstance(value, dict):
            self.check_table(name, table, value)
        elif isinstance(value, list) and any(map(find_classes, list_entries(hint))):
            for part in value:
                self.check_option(name, hint, part)
        elif isinstance(hint, type) and is_dataclass(hint) and not isinstance(value, dict):
            self.refuse_partial(name, value, hint)
        elif classes and isinstance(value, dict):
            self.check_object(name, hint, value)
        elif classes and isinstance(value, str) and (cls := self.find_class(name, hint, value)):
            self.classes[name] = cls
        elif classes and "." not in name and not isinstance(value, str):
            self.check_mapping(name, "class_path: ...", value)
        else:
            self.classes.pop(name, None)
            self.given -= {name} if str(value) in ("None", "null") else set()
            self.check_value(name, hint, value)

    def find_nested_config(self, value: Any) -> str:
        """The path of the config that a value names, relative to the current config; empty if it names none."""
        if not isinstance(value, str) or "." not in value or len(value) > 255:  # the limit of file names
            return ""
        path = Path(self.files[-1] if self.files else "").parent / value
        return str(path) if path.is_file() else ""

    def check_table(self, name: str, cls: type, values: dict[Any, Any]) -> None:
        """Checks a mapping of objects by names that the user chooses."""
        below = self.typed.removeprefix(f"{name}.")
        if name not in self.classes and below != self.typed and "." in below:
            self.refuse_partial(self.typed, next((text for *_, text in list_texts(values)), ""), cls)
        self.classes[name] = dict
        for key, value in values.items():
            self.check_option(f"{name}.{key}", cls, value)

    def check_object(self, name: str, hint: Any, values: dict[Any, Any]) -> None:
        """Checks the class of an object, by default its current one, and its options."""
        for key in [key for key in values if key not in CLASS_KEYS]:
            if near := get_close_matches(str(key), CLASS_KEYS[:2], 1, 0.8):
                self.refuse(f"there is no {name}.{key}; did you mean {near[0]}?")
            if "class_path" in values:
                self.refuse(f"{name}: options of the class belong below init_args, not beside class_path")
        options = (values.get("init_args") or {}) if values.keys() & set(CLASS_KEYS) else values
        self.check_mapping(f"{name}.init_args", "patience: 3", options)
        cls = self.classes.get(name)
        if "class_path" in values:
            cls = self.find_class(name, hint, str(values["class_path"]))
        elif cls is None:
            bases = [base for base in find_classes(hint) if not inspect.isabstract(base)]
            suitable = (b for b in bases if is_dataclass(b) or options.keys() <= self.list_class_options(b).keys())
            cls = next(suitable, None)
        if cls:
            self.classes[name] = cls
            extra = values.get("dict_kwargs") or {}
            self.given |= {f"{name}.{key}" for key in extra}
            valid = self.list_class_options(cls)
            valid = {key: option for key, option in valid.items() if f"{name}.{key}" not in SHARED}
            self.check_options(name, valid, options if self.accepts_any_option(cls) else options | extra)
        elif "class_path" not in values and not accepts(hint, values):
            tables = {cls.__name__: self.list_class_options(cls) for cls in list_classes(hint)}
            fitting = [cls for cls in list_names(hint) if options.keys() <= tables[cls].keys()]
            names = format_names(fitting or list_names(hint))
            if self.files:
                last, key = name.rpartition(".")[2], next(iter(options), "option")
                example = (
                    f"{last}: {{class_path: {fitting[0] if len(fitting) == 1 else 'CLASS'}, init_args: {{{key}: ...}}}}"
                )
                self.refuse(f"{name} has no class_path, which its options belong to, as in {example}{names}")
            typed = f"--{name}{'+' if list_entries(split_union(hint)[0]) else ''} CLASS"
            self.refuse(f"{name} needs a class before its options: {typed}{names}")

    def find_class(self, name: str, hint: Any, path: str) -> type | None:
        """The class that a text names; None for a function, and for other text where the type accepts it."""
        families = (cls for base in find_classes(hint) for cls in list_family(base))
        same = {cls for cls in families if cls.__name__ == path}
        if len(same) > 1:
            paths = sorted(min(self.list_aliases(f"{cls.__module__}.{path}"), key=len) for cls in same)
            self.refuse(f"{name}: there are several classes {path}: give {' or '.join(paths)}")
        found: Any = next(iter(same), None)
        full = f"{found.__module__}.{found.__qualname__}" if found else path
        is_text = str in split_union(hint)
        if found is None and is_text and (split_union(hint)[0] is str or not self.trust.allows(path)):
            return None
        if found is None and not DOTTED.fullmatch(path):
            if accepts(hint, path):
                return None
            near = suggest(path, list_names(hint)) or "; for a class of your own give its import path, my_file.MyClass"
            self.refuse(f"{name}: there is no class {path or repr('')}{format_names(list_names(hint))}{near}")
        if not self.trust.allows(full):
            self.refuse(explain_distrust(full))
        if found is None:
            found, reason = self.import_object(path)
            if reason and not is_text:
                self.refuse(f"{name}: can't import {path}: {reason}")
        if not isinstance(found, type) or accepts_functions(hint):
            return None
        self.check_class(name, hint, path, found)
        return found

    def check_class(self, name: str, hint: Any, path: str, cls: type) -> None:
        """Checks that a class fits an option and can be instantiated."""
        bases, options = find_classes(hint), self.list_class_options(cls)
        if not issubclass(cls, bases):
            base = bases[0].__name__
            self.refuse(f"{name} must be {'an' if base[0] in 'AEIO' else 'a'} {base}, which {path} is not")
        if lacks := ", ".join(sorted(getattr(cls, "__abstractmethods__", ()))):
            self.refuse(f"{name}: {path} is abstract: it lacks {lacks}; take another{format_names(list_names(hint))}")
        if reason := self.explain_class(cls):
            self.refuse(f"{name}: {path}{reason}")
        for key, option in options.items():
            default = option.default.get("class_path") if isinstance(option.default, dict) else option.default
            is_untrusted = DOTTED.fullmatch(str(default)) and not self.trust.allows(str(default))
            if is_untrusted and not accepts(option.hint, default):
                self.refuse(f"{name}.{key}: {explain_distrust(str(default))}")

    def check_value(self, name: str, hint: Any, value: Any) -> None:
        """Checks a value other than an object."""
        is_path = accepts_functions(hint) and bool(DOTTED.fullmatch(str(value)))
        if is_path and not self.trust.allows(str(value)):
            self.refuse(explain_distrust(str(value)))
        is_typed_part = self.typed.startswith(f"{name}.") and not is_basic(hint)
        if isinstance(value, dict) and (accepts_functions(hint) or is_typed_part):
            return
        message = explain_value(name, hint, value)
        if message and is_path and (reason := self.import_object(value)[1]):
            message = f"{name}: can't import {value}: {reason}"
        if message := message or explain_trainer_value(name, value, self.list_trainer_names()):
            self.refuse(message)

    def refuse_option(self, owner: str, name: str, options: dict[str, Option]) -> NoReturn:
        """Raises that an option doesn't exist, with the likely one."""
        full = f"{owner}.{name}" if owner else name if self.files else self.typed
        dashes = "" if self.files or full.startswith("-") else "--"
        if self.files and name in TRAINER_COMMANDS and not owner:
            self.refuse(f"a config is the same for all commands: lift what is below {name!r} up by one level")
        if self.files and full == "trust":
            self.refuse("a config can't trust: type --trust PACKAGE")
        valid = [*self.options, *(() if self.files else filter(None, self.flags))]
        for section, option in self.options.items():
            tables = {cls.__name__: self.list_class_options(cls) for cls in list_classes(option.hint)}
            tables |= {"": option.hint} if isinstance(option.hint, dict) else {}
            valid += [f"{section}.{key}" for table in tables.values() for key in table]
            if owner == section in self.classes and (
                others := [cls for cls in list_names(option.hint) if name in tables[cls]]
            ):
                advice = f"give --{section} CLASS before it{format_names(others)}"
                self.refuse(f"{full} is no option of {self.classes[owner].__name__}; {advice}")
        siblings = [f"{owner}.{option}" for option in options] if owner else []
        near = suggest_option(full, siblings, [] if "." in owner else valid, dashes)
        if not near and owner in self.classes:
            listed = ", ".join(options)
            cls = self.classes[owner].__name__
            near = f"; there are {listed}" if len(listed) < MAX_LENGTH else f"; --{owner}.help {cls} lists them"
        self.refuse(f"there is no option {dashes}{full}{near or '; --help lists them'}")

    def refuse_partial(self, name: str, value: Any, cls: type) -> NoReturn:
        """Raises that an object of a mapping must be given as a whole."""
        table, kind = ".".join(name.split(".")[:2]), cls.__name__.lower()
        example = f"--{table} '{{NAME: {{{next(iter(self.list_class_options(cls)))}: ...}}}}'"
        advice = f"a {kind} is given with all its options, in a config or as in {example}"
        self.refuse(f"{name} is {str(value)!r}: {advice}")


def format_names(names: Sequence[str]) -> str:
    """Names in brackets; empty if there are none, or too many to read."""
    return f" ({', '.join(names)})" if 0 < len(names) <= MAX_LISTED else ""
