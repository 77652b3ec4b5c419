"""Examples of any data module, as text for a terminal."""

from collections.abc import Iterator, Sequence
from typing import Any

from lit_mlm.data.masked.module import BlocksDataModule
from lit_mlm.data.show.documents import describe_documents
from lit_mlm.data.show.sentences import describe_sentences
from lit_mlm.data.tagged.module import TaggedDataModule
from lit_mlm.errors import InputError


def describe_examples(
    data: Any,
    split: str,
    indices: Sequence[int] | None = None,
    num_examples: int | None = None,
    num_blocks: int | None = None,
) -> Iterator[str]:
    """What a split holds, and what is made of some of its texts, as text for a terminal.

    Args:
        data: set up for the split's stage; of a kind of its own it has a method of this name, with the other arguments.
        split: train, val or test.
        indices: the numbers of the texts, from 0, in any order.
        num_examples: the first ones, this many, in place of `indices`; 3 by default.
        num_blocks: blocks of each text to write out, where there are any; 2 by default.

    Yields:
        The lines.

    Raises:
        InputError: if an option is out of range, or has no effect on this kind of data.
    """
    options = (split, indices, num_examples, num_blocks)
    if isinstance(data, BlocksDataModule):
        return describe_documents(data, *options)
    if isinstance(data, TaggedDataModule):
        return describe_sentences(data, *options)
    if not hasattr(data, "describe_examples"):
        raise InputError(f"show needs a method describe_examples, which {type(data).__name__} lacks")
    lines: Iterator[str] = data.describe_examples(*options)
    return lines
