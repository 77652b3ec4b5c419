"""Documents: read from files, split by document, hashed."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from datasets import Dataset

from lit_mlm.errors import InputError

TEXT = "text"
"""The column of a documents' data set that holds the text, one document a row."""


PLACE = "place"
"""The column that says where a document stands, in a report on the data alone."""


def make_documents(texts: Sequence[str], places: Sequence[str] | None = None) -> Dataset:
    """A data set with one document a row, and where they stand, if that is given."""
    return Dataset.from_dict({TEXT: list(texts)} | ({} if places is None else {PLACE: list(places)}))


def iterate_texts(documents: Dataset) -> Iterator[str]:
    """The texts of a documents' data set, in their order."""
    for batch in documents.select_columns(TEXT).iter(batch_size=1000):
        yield from batch[TEXT]


def split_lines(documents: Dataset) -> Dataset:
    """Each line of each document as a document of its own; those of white space alone are left out."""
    if PLACE not in documents.column_names:
        return make_documents([line for text in iterate_texts(documents) for _, line in _split(text)])
    pairs = zip(iterate_texts(documents), documents[PLACE], strict=True)
    lines = [(line, f"{place}, its line {number}") for text, place in pairs for number, line in _split(text)]
    return make_documents([line for line, _ in lines], [place for _, place in lines])


def _split(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a text with their numbers, from 1, without those of white space alone."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.rstrip("\r")


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
