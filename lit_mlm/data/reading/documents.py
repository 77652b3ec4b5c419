"""Documents: split into lines or at random, hashed, and grouped by source."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from datasets import Dataset, concatenate_datasets

from lit_mlm.data.reading.readers import PlacedText
from lit_mlm.errors import InputError
from lit_mlm.text.arrays import IntArray

TEXT = "text"
"""The text column of a data set of documents, one document per row."""


PLACE = "place"
"""The column with the file and line of a document, present only for a report on the data."""

SOURCE = "source"
"""The column with the index of a document's source, if there are several."""

READ_AT_A_TIME = 100  # documents; more are not faster


def make_documents(texts: Sequence[str], places: Sequence[str] | None = None) -> Dataset:
    """An in-memory data set with one document per row, and their places if given."""
    return Dataset.from_dict({TEXT: list(texts)} | ({} if places is None else {PLACE: list(places)}))


def iterate_texts(documents: Dataset) -> Iterator[str]:
    """Yields the texts in order, with few in memory at a time."""
    for batch in documents.select_columns(TEXT).iter(batch_size=READ_AT_A_TIME):
        yield from batch[TEXT]


def measure_texts(texts: Iterable[str]) -> IntArray:
    """The length of each text in bytes of UTF-8, shape (num_texts,)."""
    return np.fromiter((len(text.encode("utf-8", errors="surrogatepass")) for text in texts), np.int64)


def find_lines(text: str) -> Iterator[tuple[int, str]]:
    r"""Yields the non-blank lines of a text with their numbers, from 1.

    >>> list(find_lines("one\n\ntwo\n"))
    [(1, 'one'), (3, 'two')]
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.rstrip("\r")


def split_lines(documents: Dataset) -> Iterator[str]:
    """Yields each non-blank line as a document, as `PlacedText`."""
    for batch in documents.iter(batch_size=READ_AT_A_TIME):
        places = batch.get(PLACE, [""] * len(batch[TEXT]))
        for text, place in zip(batch[TEXT], places, strict=True):
            for number, line in find_lines(text):
                yield PlacedText(line, f"{place}, its line {number}")


def split_documents(documents: Dataset, fractions: Sequence[float], seed: int) -> list[Dataset]:
    """Splits documents at random into disjoint parts.

    Args:
        documents: at least as many as parts.
        fractions: of each part except the last, which takes the rest; their sum is below 1. A part of 0 is empty.
        seed: of the permutation.

    Returns:
        The parts, each in the order of the input and with at least one document unless its fraction is 0.
    """
    if min(fractions) < 0 or sum(fractions) >= 1:
        raise InputError(f"split fractions must be at least 0 and add up to less than 1, got {list(fractions)}")
    order = np.random.default_rng(seed).permutation(len(documents))
    sizes = [max(1, round(fraction * len(documents))) if fraction else 0 for fraction in fractions]
    if sum(sizes) >= len(documents):
        raise InputError(
            f"{len(documents)} documents are too few to split off {sizes} and train on the rest; give more documents, "
            "or separate text for the other splits in place of data.val_fraction"
        )
    return [documents.select(np.sort(part)) for part in np.split(order, np.cumsum(sizes))]


def hash_texts(texts: Iterable[str]) -> str:
    """SHA-256 (hex) of documents in order."""
    digest = hashlib.sha256()
    for text in texts:
        content = text.encode("utf-8", errors="surrogatepass")
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()


def join_sources(parts: Sequence[Dataset]) -> Dataset:
    """Concatenates the documents of all sources and adds the column `SOURCE`."""
    numbers = [np.full(len(part), number, np.int32) for number, part in enumerate(parts)]
    return concatenate_datasets([part.add_column(SOURCE, n) for part, n in zip(parts, numbers, strict=True)])


def count_documents(documents: Dataset) -> list[int]:
    """The number of documents of each source, in order; of all documents without sources."""
    if SOURCE not in documents.column_names:
        return [len(documents)]
    counts: list[int] = np.bincount(np.array(documents.with_format("numpy")[SOURCE][:], np.int64)).tolist()
    return counts


def map_sources(function: Callable[[Dataset], Dataset], documents: Dataset) -> Dataset:
    """Applies a function, which may change the number of documents, to each source separately."""
    if SOURCE not in documents.column_names:
        return function(documents)
    return join_sources([function(part) for part in part_sources(documents)])


def part_sources(documents: Dataset) -> list[Dataset]:
    """The documents of each source."""
    ends = np.cumsum(count_documents(documents)).tolist()
    return [documents.select(range(start, end)) for start, end in zip([0, *ends], ends, strict=False)]
