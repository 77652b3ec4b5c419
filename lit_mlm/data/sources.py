"""Several corpora to train on: where each one's text is, and which documents are of which."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from datasets import Dataset, concatenate_datasets

from lit_mlm.data.files import check_encoding, find_files
from lit_mlm.errors import InputError

SOURCE = "source"
"""The column that says which corpus a document is of, by its number from 0, where there are several."""


@dataclass(frozen=True)
class Source:
    """A corpus to train on among others.

    Args:
        files: files, folders or patterns.
        dataset: id on the Hub, or a folder with a copy of it, in place of `files`.
        dataset_revision: of `dataset`.
        subset: of `dataset`, where it has several.
        split: of `dataset`.
        text_column: the column that holds the text, in all but ``.txt`` files; by default the data module's.
        document_per: what is a document in a ``.txt`` file: the ``file``, or each ``line``; by default the data
            module's.
        encoding: of the files; by default the data module's.
        weight: its share of the training examples of an epoch is this among the weights of all sources; above 0.
    """

    files: list[str] | str | None = None
    dataset: str | None = None
    dataset_revision: str | None = None
    subset: str | None = None
    split: str = "train"
    text_column: str | None = None
    document_per: Literal["file", "line"] | None = None
    encoding: str | None = None
    weight: float = 1.0


def check_sources(sources: Mapping[str, Source]) -> None:
    """Refuses sources whose options don't fit together.

    Args:
        sources: by name.

    Raises:
        InputError: naming the option.
    """
    if not sources:
        raise InputError("data.sources is empty: name at least one, such as reviews: {files: reviews/*.txt, weight: 3}")
    for name, source in sources.items():
        option = f"data.sources.{name}"
        if (source.files is None) == (source.dataset is None):
            found = "neither" if source.files is None else f"files {source.files} and dataset {source.dataset}"
            raise InputError(f"{option} needs one of files and dataset, and has {found}")
        if not 0 < source.weight < math.inf:
            raise InputError(f"{option}.weight must be above 0, got {source.weight}; leave a source out that has none")
        other = "files" if source.dataset is None else "dataset"
        for part in ("dataset_revision", "subset", "split") if source.dataset is None else ("document_per", "encoding"):
            value = getattr(source, part)
            if value != getattr(Source, part):
                raise InputError(f"{option}.{part} ({value}) has no effect on {option}.{other}")
        if source.encoding is not None:
            check_encoding(source.encoding, f"{option}.encoding")
    _refuse_shared_splits(sources)


def find_source_files(sources: Mapping[str, Source]) -> dict[str, list[Path]]:
    """The files of each source, in the order in which they are read; none of one that is on the Hub.

    Args:
        sources: by name.

    Raises:
        InputError: if a pattern names no file that can be read.
    """
    return {name: find_patterns(source.files, f"data.sources.{name}.files") for name, source in sources.items()}


def find_patterns(patterns: Sequence[str] | str | None, option: str) -> list[Path]:
    """`find_files` for an option that is a list, a single pattern or not given."""
    return find_files([patterns] if isinstance(patterns, str) else patterns or [], option)


def refuse_shared_files(files: Mapping[str, Sequence[Path]]) -> None:
    """Refuses a file that two options name.

    Args:
        files: by option.

    Raises:
        InputError: naming the file and both.
    """
    found: dict[Path, str] = {}
    for option, paths in files.items():
        for path in paths:
            other = found.setdefault(path.resolve(), option)
            if other != option:
                raise InputError(f"{path} is in both {other} and {option}")


def _refuse_shared_splits(sources: Mapping[str, Source]) -> None:
    found: dict[tuple[str | None, ...], str] = {}
    for name, source in sources.items():
        if source.dataset is not None:
            key = (source.dataset, source.dataset_revision, source.subset, source.split)
            other = found.setdefault(key, name)
            if other != name:
                raise InputError(
                    f"data.sources.{other} and data.sources.{name} are both the split {source.split} of "
                    f"{source.dataset}: give different ones"
                )


def join_sources(parts: Sequence[Dataset]) -> Dataset:
    """The documents of all sources, source after source, with the column `SOURCE`."""
    numbers = [np.full(len(part), number, np.int32) for number, part in enumerate(parts)]
    return concatenate_datasets([part.add_column(SOURCE, n) for part, n in zip(parts, numbers, strict=True)])


def count_documents(documents: Dataset) -> list[int]:
    """How many documents each source has, source after source; all of them, where there are no sources."""
    if SOURCE not in documents.column_names:
        return [len(documents)]
    counts: list[int] = np.bincount(np.array(documents.with_format("numpy")[SOURCE][:], np.int64)).tolist()
    return counts


def map_sources(function: Callable[[Dataset], Dataset], documents: Dataset) -> Dataset:
    """Changes the documents of each source by themselves, so that it stays known which are whose.

    Args:
        function: takes and gives documents, in any number.
        documents: source after source, if there are several.
    """
    if SOURCE not in documents.column_names:
        return function(documents)
    ends = np.cumsum(count_documents(documents))
    return join_sources(
        [function(documents.select(range(start, end))) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    )
