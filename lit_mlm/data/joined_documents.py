"""The documents of several sources as one data set, in which it stays known which are whose."""

from collections.abc import Callable, Sequence

import numpy as np
from datasets import Dataset, concatenate_datasets

SOURCE = "source"
"""The column that says which source a document is of, by its number from 0, where there are several."""


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
    return join_sources([function(part) for part in part_sources(documents)])


def part_sources(documents: Dataset) -> list[Dataset]:
    """The documents of each source by themselves."""
    ends = np.cumsum(count_documents(documents)).tolist()
    return [documents.select(range(start, end)) for start, end in zip([0, *ends], ends, strict=False)]
