"""What is given to a command: the options in its configs, with their lines, and those that are typed."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from lit_mlm.errors import InputError, shorten

DATE = "tag:yaml.org,2002:timestamp"


class Options(dict[Any, Any]):
    """A mapping in a config, with the line of each key; its copy is a plain one, which jsonargparse needs."""

    lines: dict[Any, int]

    def __deepcopy__(self, memo: Any) -> dict[Any, Any]:
        return deepcopy(dict(self), memo)


class Loader(yaml.SafeLoader):
    """Reads plain data, with lines; a duplicate key is an error."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Composes a mapping."""
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
        """Constructs a mapping."""
        options = Options(self.construct_mapping(node, deep=True))
        options.lines = {self.construct_object(key, deep=True): key.start_mark.line + 1 for key, _ in node.value}
        return options


Loader.add_constructor("tag:yaml.org,2002:map", Loader.construct_options)
# For jsonargparse, too, a date is text.
RESOLVERS = yaml.SafeLoader.yaml_implicit_resolvers.items()
Loader.yaml_implicit_resolvers = {key: [rule for rule in rules if rule[0] != DATE] for key, rules in RESOLVERS}


def read_config(path: str) -> Any:
    """The content of a file of YAML."""
    try:
        return yaml.load(Path(path).read_text(), Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InputError(f"{path}{place}: invalid YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: invalid YAML: {shorten(error)}") from error


def list_texts(value: Any, names: tuple[str, ...] = (), line: int = 1) -> Iterator[tuple[tuple[str, ...], int, str]]:
    """All text below a value, with the names of the options that it is in and its line."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from list_texts(part, (*names, str(key)), getattr(value, "lines", {}).get(key, line))
    elif isinstance(value, list):
        for part in value:
            yield from list_texts(part, names, line)
    elif isinstance(value, str):
        yield names, line, value


def split_args(args: Sequence[str]) -> list[tuple[str, list[str]]]:
    """The options of a command line, without their dashes, and the values after each; the first are those of none."""
    found: list[tuple[str, list[str]]] = [("", [])]
    for arg in args:
        name, equals, value = arg.partition("=")
        if name.startswith("-") and name[1:2] not in ".0123456789" and " " not in name:  # by argparse's rules
            found.append((name.removeprefix("--"), [value] if equals else []))
        else:
            found[-1][1].append(arg)
    return found


def parse_text(text: str) -> Any:
    """The list or mapping that a text is in YAML; the text where it is none, as {a:1} is not without a space."""
    try:
        value = yaml.load(text, Loader)
    except yaml.YAMLError:
        return text
    is_set = isinstance(value, dict) and {*map(str, value)} == {*text.strip(" {}").replace(" ", "").split(",")}
    return value if isinstance(value, list | dict) and not is_set else text


def nest(name: str, value: Any) -> Any:
    """The nested mapping of a name with dots."""
    head, _, rest = name.partition(".")
    return {head: nest(rest, value) if rest else value}
