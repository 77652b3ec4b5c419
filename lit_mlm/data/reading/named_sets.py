"""Evaluation sets by name, as in ``data.val_files: {news: news.txt, web: [a.txt, b.txt]}``.

A set is called by its split and its name: ``val/news``.
"""

import re
from collections.abc import Mapping

from lit_mlm.errors import InputError

Patterns = list[str] | str
"""Files, folders or patterns."""

EvalFiles = dict[str, Patterns] | Patterns | None
"""Those of a split, or of each set of it by name."""


def find_sets(files: Mapping[str, EvalFiles]) -> dict[str, list[str]]:
    """The names of the sets of each split that has any; refuses bad names and sets without files.

    >>> find_sets({"val": {"news": "news.txt", "web": ["a.txt", "b.txt"]}, "test": "test.txt"})
    {'val': ['news', 'web']}
    """
    sets = {split: found for split, found in files.items() if isinstance(found, Mapping)}
    for split, found in sets.items():
        option = name_option(split)
        if not found:
            raise InputError(f"{option} is empty: name at least one set, such as {{news: news.txt}}")
        for name, patterns in found.items():
            if not isinstance(name, str):  # YAML reads 2020 as a number, and no as a boolean
                raise InputError(f"{option}: the name of a set must be a string, got {name!r}; put it in quotes")
            if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
                raise InputError(f"{option}: rename the set {name!r}: letters, digits, _ and - are allowed")
            if not patterns:
                raise InputError(f"{option}.{name} names no file; give one, or remove the set")
    return {split: list(found) for split, found in sets.items()}


def get_files(files: Mapping[str, EvalFiles], split: str) -> EvalFiles:
    """The files of a split, or of one of its sets, such as ``val/news``; None if it has none."""
    split, _, name = split.partition("/")
    found = files.get(split)
    return found[name] if name and isinstance(found, Mapping) else found


def list_patterns(files: EvalFiles) -> list[str]:
    """The patterns of a split, those of all its sets in order."""
    if isinstance(files, Mapping):
        return [pattern for found in files.values() for pattern in list_patterns(found)]
    return [files] if isinstance(files, str) else files or []


def name_option(split: str) -> str:
    """The option with the files of a split or set.

    >>> name_option("val/news")
    'data.val_files.news'
    """
    split, *name = split.split("/")
    return ".".join([f"data.{split}_files", *name])
