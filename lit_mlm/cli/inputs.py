"""Reads configs with line numbers and command lines option by option; checks folders."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from lit_mlm.errors import InputError, shorten
from lit_mlm.upstream import get_yaml_resolvers


class Options(dict[Any, Any]):
    """A mapping in a config, with the line of each key. Its copy is a plain dict, as jsonargparse expects."""

    lines: dict[Any, int]

    def __or__(self, other: Any) -> "Options":
        """Returns both mappings in one, with the lines of each."""
        merged = Options({**self, **other})
        merged.lines = self.lines | getattr(other, "lines", {})
        return merged

    def __deepcopy__(self, memo: Any) -> dict[Any, Any]:
        return deepcopy(dict(self), memo)


class Loader(yaml.SafeLoader):
    """Loads plain data, mappings as `Options`; a duplicate key is an error. Scalars are those of jsonargparse."""

    yaml_implicit_resolvers = get_yaml_resolvers()

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Composes a mapping without duplicate keys."""
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"duplicate key {key.value}; remove one", problem_mark=key.start_mark
                )
            seen |= {str(key.value)} - {"<<"}  # several mappings may be merged
        return node

    def construct_options(self, node: yaml.MappingNode) -> Options:
        """Constructs a mapping with its lines."""
        options = Options(self.construct_mapping(node, deep=True))
        options.lines = {self.construct_object(key, deep=True): key.start_mark.line + 1 for key, _ in node.value}
        return options


Loader.add_constructor("tag:yaml.org,2002:map", Loader.construct_options)


def read_config(path: str) -> Any:
    """Reads a YAML file."""
    try:
        return yaml.load(Path(path).read_text(), Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InputError(f"{path}{position}: invalid YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: invalid YAML: {shorten(error)}") from error


def list_texts(value: Any, names: tuple[str, ...] = (), line: int = 1) -> Iterator[tuple[tuple[str, ...], int, str]]:
    """All strings in a value, each after the names of the enclosing options and the line."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from list_texts(part, (*names, str(key)), getattr(value, "lines", {}).get(key, line))
    elif isinstance(value, list):
        for part in value:
            yield from list_texts(part, names, line)
    elif isinstance(value, str):
        yield names, line, value


def split_args(args: Sequence[str]) -> list[tuple[str, list[str]]]:
    """The options of a command line without dashes, each with its values; values before any option have the name ""."""
    found: list[tuple[str, list[str]]] = [("", [])]
    for arg in args:
        name, equals, value = arg.partition("=")
        if name.startswith("-") and name[1:2] not in ".0123456789" and " " not in name:  # argparse's rules
            found.append((name.removeprefix("--"), [value] if equals else []))
        else:
            found[-1][1].append(arg)
    return found


def parse_text(text: str) -> Any:
    """Parses a YAML list or mapping; returns any other text unchanged, such as {a:1}, which lacks a space."""
    try:
        value = yaml.load(text, Loader)
    except yaml.YAMLError:
        return text
    is_set = isinstance(value, dict) and {*map(str, value)} == {*text.strip(" {}").replace(" ", "").split(",")}
    return value if isinstance(value, list | dict) and not is_set else text


def type_value(value: Any) -> str:
    """Returns a value of a config as it is typed.

    >>> [type_value(value) for value in ("text", 1e-05, True, None, {"files": ["a.txt"]})]
    ['text', '1e-05', 'true', 'null', '{"files": ["a.txt"]}']
    """
    return value if isinstance(value, str) else json.dumps(value)


def type_options(params: Mapping[str, Any]) -> list[str]:
    """Returns options as they are typed.

    >>> type_options({"model.lr": 1e-05, "model.compile": True})
    ['--model.lr', '1e-05', '--model.compile', 'true']
    """
    return [part for name, value in params.items() for part in (f"--{name}", type_value(value))]


def nest(name: str, value: Any) -> Any:
    """Nests a value in one mapping for each part of a dotted name."""
    head, _, rest = name.partition(".")
    return {head: nest(rest, value) if rest else value}


def check_file(name: str, path: Path) -> None:
    """Refuses the path of a file that can't be created or written to; creates none."""
    if path.is_dir():
        raise InputError(f"{name} {path} is a folder; give the path of a file")
    check_folder(name, str(path.parent))


def check_folder(name: str, folder: str) -> None:
    """Refuses the path of a folder that can't be created or written to; creates none."""
    if not folder:
        raise InputError(f"{name} is empty; give the path of a folder, or leave it out")
    path = Path(folder).expanduser().absolute()
    existing = next(parent for parent in (path, *path.parents) if parent.exists() or parent.is_symlink())
    if not existing.is_dir():
        raise InputError(f"{name} {folder}: {existing} is a file, not a folder; give another path")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"{name} {folder}: {existing} is not writable; give another path")
