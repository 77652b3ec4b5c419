"""The YAML files that a command line names: what is wrong with one by itself, and which one an option stands in."""

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from lit_mlm.cli.table import TRAINER_COMMANDS
from lit_mlm.errors import InputError, shorten

CLASS_KEYS = ("class_path", "init_args", "dict_kwargs")
"""What a section has that stands for an object."""

Place = tuple[tuple[str, ...], yaml.Node, yaml.Node]
"""The full name of an option, its key and its value."""


def check_yaml(path: str) -> None:
    """Refuses a config that is no YAML, has no options, or has sections of another kind than options are.

    Raises:
        InputError: with the line and what stands there.
    """
    try:
        root = yaml.compose(Path(path).read_text(), yaml.SafeLoader)
        content = yaml.safe_load(Path(path).read_text())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InputError(f"{path}{place}: this is no YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: this is no YAML: {shorten(error)}") from error
    if content is None or root is None:
        raise InputError(f"{path} is empty; give it options, or leave it out")
    if not isinstance(content, dict):
        raise InputError(f"{path}: a config has options, as in 'trainer: ...'; this one is {str(content)[:40]!r}")
    seen = set()
    for name, key, value in walk(root):
        wrong = find_fault(name, key, value)
        if name in seen and key.value != "<<":
            wrong = f"{'.'.join(name)} stands here a second time; the first would have no effect: keep one"
        if wrong:
            raise InputError(f"{path}, line {key.start_mark.line + 1}: {wrong}")
        seen.add(name)


def walk(node: yaml.Node, parents: tuple[str, ...] = ()) -> Iterator[Place]:
    """All options below a node of a YAML, outer ones first; an entry of a list goes by its number."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = (*parents, str(key.value))
            yield name, key, value
            yield from walk(value, name)
    elif isinstance(node, yaml.SequenceNode):
        for i, entry in enumerate(node.value):
            yield from walk(entry, (*parents, str(i)))


def list_scalars(node: yaml.Node, parents: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], yaml.ScalarNode]]:
    """All values below a node of a YAML, each with the name of its option; those of a list have the list's."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from list_scalars(value, (*parents, str(key.value)))
    elif isinstance(node, yaml.SequenceNode):
        for entry in node.value:
            yield from list_scalars(entry, parents)
    elif isinstance(node, yaml.ScalarNode):
        yield parents, node


def find_fault(name: tuple[str, ...], key: yaml.Node, value: yaml.Node) -> str:
    """What is wrong with an option by itself; nothing of most."""
    full, last = ".".join(part for part in name if not part.isdigit()), name[-1]
    is_free = "init_args" in name[:-1]  # the names of a class, or those of a dict such as model.config
    if not is_free and key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
        return f"the name of an option must be text, which {key.value!r} is not"
    if name[0] in TRAINER_COMMANDS:
        return f"a config is the same for all commands: lift what is below {name[0]!r} up by one level"
    if not is_free and len(name) > 1 and last not in CLASS_KEYS:
        near = difflib.get_close_matches(last, CLASS_KEYS[:2], n=1, cutoff=0.8)
        if near:
            return f"there is no {full}; did you mean {near[0]}?"
    if len(name) == 1 and last in ("trainer", "model", "data"):
        return check_section(last, value)
    if last == "init_args" and not isinstance(value, yaml.MappingNode) and value.value:
        return f"{full} must be options, as in 'patience: 3', not {describe(value)}"
    return ""


def check_section(name: str, value: yaml.Node) -> str:
    """What is wrong with the value of a section: it has options, or is the name of a class."""
    if isinstance(value, yaml.MappingNode):
        return ""
    if value.tag == "tag:yaml.org,2002:null":
        return f"{name} is empty; give it options, or leave it out"
    if name != "trainer" and value.tag == "tag:yaml.org,2002:str":
        return ""
    example = "max_epochs: 3" if name == "trainer" else "class_path: ..."
    return f"{name} must be options, as in '{example}', not {describe(value)}"


def describe(value: yaml.Node) -> str:
    """A value that has no place where it stands."""
    return "a list (leave the '-' out)" if isinstance(value, yaml.SequenceNode) else repr(value.value)


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
            nodes = [node[name] for node in nodes for name in (part, f"{part}+") if name in node]
        nodes += [entry for node in nodes if isinstance(node, list) for entry in node]
        nodes += [node.get("class_path") for node in nodes if isinstance(node, dict)]
        if nodes and (found is None or found in map(str, nodes)):
            return f"{path}: "
    return ""


def find_line(configs: Sequence[str], value: str) -> str:
    """The file and line of a value, as the beginning of a message; nothing if it was typed.

    Args:
        configs: the files; those of YAML that they name, of one section for instance, are looked through too.
        value: what is looked for.
    """
    paths = [Path(config) for config in reversed(configs)]
    for path in paths:
        root = yaml.compose(path.read_text(), yaml.SafeLoader)
        for _, node in list_scalars(root) if root else ():
            if node.value == value:
                return f"{path}, line {node.start_mark.line + 1}: "
            if node.value.endswith((".yaml", ".yml")):
                named = (Path(node.value), path.parent / node.value)
                paths += [file for file in named if file.is_file() and file not in paths]
    return ""


def list_class_paths(configs: Sequence[str]) -> list[str]:
    """All class paths in configs, the last config's first."""
    roots = [yaml.compose(Path(path).read_text(), yaml.SafeLoader) for path in reversed(configs)]
    places = [place for root in roots if root for place in walk(root)]
    return [
        str(value.value) for name, _, value in places if name[-1] == "class_path" or name in (("model",), ("data",))
    ]
