"""Formats examples of any data module for a terminal."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from lit_mlm.data.labelled.module import LabelledDataModule
from lit_mlm.data.masked.module import BlocksDataModule
from lit_mlm.data.show.documents import describe_documents
from lit_mlm.data.show.sentences import describe_sentences
from lit_mlm.data.show.texts import describe_texts
from lit_mlm.data.tagged.module import TaggedDataModule
from lit_mlm.errors import InputError


def describe_examples(
    data: Any,
    split: str,
    indices: Sequence[int] | None = None,
    num_examples: int | None = None,
    num_blocks: int | None = None,
) -> Iterator[str]:
    """Yields lines that describe a split and the examples built from some of its texts.

    Args:
        data: set up for the stage of the split; a custom kind needs a method of this name with the other arguments.
        split: train, val or test; its sets are described one after the other.
        indices: indices of the texts, in any order.
        num_examples: instead of `indices`, the number of texts from the start; 3 by default.
        num_blocks: blocks to show per document; 2 by default.
    """
    options = (indices, num_examples, num_blocks)
    if isinstance(data, BlocksDataModule):
        return chain.from_iterable(describe_documents(data, name, *options) for name in data.list_sets(split))
    if isinstance(data, LabelledDataModule):
        return chain.from_iterable(describe_texts(data, name, *options) for name in data.list_sets(split))
    if isinstance(data, TaggedDataModule):
        return chain.from_iterable(describe_sentences(data, name, *options) for name in data.list_sets(split))
    if not hasattr(data, "describe_examples"):
        raise InputError(f"show needs a method describe_examples, but {type(data).__name__} has none")
    lines: Iterator[str] = data.describe_examples(split, *options)
    return lines
