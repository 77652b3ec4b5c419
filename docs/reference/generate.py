"""Fills the marks of the documentation with what the code says, so that the two can't drift; a hook of mkdocs.

A mark is a line ``<!-- KIND: ARGUMENT -->``: ``options: lit_mlm.MaskedLM`` is the table of the options that a class
adds to those of its bases, ``help: fill`` the help of a command, ``include: FILE`` a file of the repository.
"""

import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from lit_mlm.cli.signatures import list_class_options

ROOT = Path(__file__).parents[2]
REPOSITORY = "https://github.com/lit-mlm/lit-mlm/blob/main"
MARK = re.compile(r"^<!-- (options|help|include): (\S+) -->$", re.MULTILINE)

SIMPLE: dict[Any, str] = {int: "integer", float: "number", str: "text", bool: "`true`, `false`", NoneType: "`null`"}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replaces the marks of a page; mkdocs calls it."""
    kinds = {"options": make_table, "help": get_help, "include": include}
    return MARK.sub(lambda mark: kinds[mark[1]](mark[2]), markdown)


def locate(path: str) -> Any:
    """What a dotted path names.

    Raises:
        AttributeError: if it names nothing.
    """
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def list_options(cls: type) -> dict[str, inspect.Parameter]:
    """The options that a class adds to those of its bases, by name."""
    found = inspect.signature(cls.__init__).parameters.items()  # type: ignore[misc]
    return {name: option for name, option in found if name != "self" and option.kind != option.VAR_KEYWORD}


def make_table(path: str) -> str:
    """The table of a class's own options: name, what it may be, default and meaning.

    Raises:
        KeyError: if the command line lacks one.
    """
    cls = locate(path)
    found = list_class_options(cls)
    rows = ["| option | value | default | meaning |", "|---|---|---|---|"]
    for name, option in list_options(cls).items():
        default = "" if option.default is option.empty else f"`{format_value(option.default)}`"
        meaning = " ".join(found[name].help.split()).replace("``", "`")
        cells = f"`{name}`", describe_type(found[name].hint), default, meaning
        rows.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "\n".join(rows)


def describe_type(hint: Any) -> str:
    """What an option may be, in words."""
    if hint in SIMPLE:
        return SIMPLE[hint]
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return f"{describe_type(args[0])} {args[1]!r}"
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in args)
    if origin in (Union, UnionType):
        parts = list(dict.fromkeys(describe_type(arg) for arg in args if arg is not NoneType))
        return ", or ".join(parts)
    if origin is list:
        return f"list of {describe_type(args[0]).replace('number', 'numbers')}"
    if origin is tuple:
        return "pair of numbers"
    if origin is dict:
        return "mapping"
    return "function" if origin is not None else f"`{hint.__name__}`"


def format_value(value: Any) -> str:
    """A default as YAML has it."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(format_value, value))}]"
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)


def get_help(command: str) -> str:
    """The help of a command, of those of the Trainer up to the Trainer's own options."""
    environment = os.environ | {"COLUMNS": "80", "NO_COLOR": "1", "PYTHONPATH": str(ROOT)}
    args = [sys.executable, "-m", "lit_mlm", command, "--help"]
    text = subprocess.run(args, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout
    if "--trainer" in text:
        text = "options:\n" + text.partition("\noptions:\n")[2].partition("\n\n")[0]
    plain = text.strip().replace(" \b", "")  # jsonargparse moves a terminal's cursor back
    return f"```text\n{plain}\n```"


def include(name: str) -> str:
    """A Markdown file of the repository without its title, its relative links made links to the repository."""
    file = ROOT / name
    text = file.read_text(encoding="utf-8").partition("\n")[2]

    def resolve(link: re.Match[str]) -> str:
        target = (file.parent / link[1]).resolve()
        return f"]({REPOSITORY}/{target.relative_to(ROOT)}{link[2] or ''})"

    return re.sub(r"\]\((?!\w+:|#)([^)#]+)(#[^)]*)?\)", resolve, text)
