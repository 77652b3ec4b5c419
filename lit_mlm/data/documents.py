"""Documents: read from files, split by document, hashed."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from datasets import Dataset

from lit_mlm.errors import InputError

TEXT = "text"
"""The column of a documents' data set that holds the text, one document a row."""


def make_documents(texts: Sequence[str]) -> Dataset:
    """A data set with one document a row."""
    return Dataset.from_dict({TEXT: list(texts)})


def read_text_file(path: Path) -> str:
    """The text of a UTF-8 file.

    Raises:
        InputError: if it is not UTF-8; the message names the file, the line and the byte.
    """
    content = path.read_bytes()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8 text; convert the file to UTF-8"
        ) from error


def split_documents(documents: Dataset, fractions: Sequence[float], seed: int) -> list[Dataset]:
    """Splits documents at random into parts that share none.

    Args:
        documents: at least as many as there are parts.
        fractions: the share of each part but the last, which takes the rest; each above 0, below 1 together.
        seed: of the permutation.

    Returns:
        The parts, one more than fractions, each with at least one document, in the order of the input.

    Raises:
        InputError: if a fraction is out of range or there are fewer documents than parts.
    """
    if min(fractions) <= 0 or sum(fractions) >= 1:
        raise InputError(f"fractions of a split must be above 0 and below 1 together, got {list(fractions)}")
    if len(documents) <= len(fractions):
        raise InputError(f"{len(documents)} document(s) can't be split into {len(fractions) + 1} parts")
    order = np.random.default_rng(seed).permutation(len(documents))
    sizes = [max(1, round(fraction * len(documents))) for fraction in fractions]
    if sum(sizes) >= len(documents):
        raise InputError(f"{len(documents)} documents leave none after parts of {sizes}")
    return [documents.select(np.sort(part)) for part in np.split(order, np.cumsum(sizes))]


def hash_texts(texts: Iterable[str]) -> str:
    """SHA-256 (hex) of documents in their order."""
    digest = hashlib.sha256()
    for text in texts:
        content = text.encode("utf-8", errors="surrogatepass")
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()
