"""Documents: cut into lines, split by document, hashed."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from datasets import Dataset, concatenate_datasets

from lit_mlm.data.reading.readers import PlacedText
from lit_mlm.errors import InputError
from lit_mlm.text.blocks import IntArray

TEXT = "text"
"""The column of a documents' data set that holds the text, one document a row."""


PLACE = "place"
"""The column that says where a document stands, in a report on the data alone."""

READ_AT_A_TIME = 100
"""Documents; more are no faster to read."""


def make_documents(texts: Sequence[str], places: Sequence[str] | None = None) -> Dataset:
    """A data set in memory with one document a row, and where they stand, if that is given."""
    return Dataset.from_dict({TEXT: list(texts)} | ({} if places is None else {PLACE: list(places)}))


def iterate_texts(documents: Dataset) -> Iterator[str]:
    """The texts of a documents' data set, in their order; few are in memory at a time."""
    for batch in documents.select_columns(TEXT).iter(batch_size=READ_AT_A_TIME):
        yield from batch[TEXT]


def measure_texts(texts: Iterable[str]) -> IntArray:
    """The length of each text in UTF-8, shape (num_texts,)."""
    return np.fromiter((len(text.encode("utf-8", errors="surrogatepass")) for text in texts), np.int64)


def find_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a text that are not of white space alone, with their numbers, from 1."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.rstrip("\r")


def split_lines(documents: Dataset) -> Iterator[str]:
    """Each line of each document as a document of its own; those of white space alone are left out.

    Args:
        documents: where they say where they stand, lines are `PlacedText`.
    """
    for batch in documents.iter(batch_size=READ_AT_A_TIME):
        places = batch.get(PLACE, [""] * len(batch[TEXT]))
        for text, place in zip(batch[TEXT], places, strict=True):
            for number, line in find_lines(text):
                yield PlacedText(line, f"{place}, its line {number}")


def split_documents(documents: Dataset, fractions: Sequence[float], seed: int) -> list[Dataset]:
    """Splits documents at random into parts that share none.

    Args:
        documents: at least as many as there are parts.
        fractions: the share of each part but the last, which takes the rest; below 1 together. A part of 0 is empty.
        seed: of the permutation.

    Returns:
        The parts, one more than fractions, each with at least one document unless its fraction is 0, in the order of
        the input.

    Raises:
        InputError: if a fraction is out of range or there are fewer documents than parts.
    """
    if min(fractions) < 0 or sum(fractions) >= 1:
        raise InputError(f"fractions of a split must be at least 0 and below 1 together, got {list(fractions)}")
    order = np.random.default_rng(seed).permutation(len(documents))
    sizes = [max(1, round(fraction * len(documents))) if fraction else 0 for fraction in fractions]
    if sum(sizes) >= len(documents):
        raise InputError(
            f"{len(documents)} documents are too few to split {sizes} off and train on the rest; give more, or text of "
            "its own for the other splits, where data.val_fraction has no effect"
        )
    return [documents.select(np.sort(part)) for part in np.split(order, np.cumsum(sizes))]


def hash_texts(texts: Iterable[str]) -> str:
    """SHA-256 (hex) of documents in their order."""
    digest = hashlib.sha256()
    for text in texts:
        content = text.encode("utf-8", errors="surrogatepass")
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()


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
