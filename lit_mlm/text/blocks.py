"""Token streams cut into blocks.

A split is one stream of token ids, document after document. A block is a slice of that stream, given by where it starts
and where it ends, so cutting copies nothing, and it sees the whole split at once: the result depends neither on batches
of documents nor on the number of processes that tokenised them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from lit_mlm.errors import InputError

IntArray = npt.NDArray[np.int64]
DropTail = bool | Literal["unless_alone"]


@dataclass(frozen=True)
class BlockTable:
    """The blocks of a split as slices of its token stream.

    Attributes:
        starts: where each block starts in the stream, shape (num_blocks,).
        ends: one past where each block ends, shape (num_blocks,).
        num_dropped_tokens: how many tokens of the stream are in no block.
    """

    starts: IntArray
    ends: IntArray
    num_dropped_tokens: int

    def __len__(self) -> int:
        return len(self.starts)


def cut_blocks(
    document_lengths: IntArray,
    block_size: int,
    group_size: int | None = None,
    drop_tail: DropTail = False,
    truncate: bool = False,
) -> BlockTable:
    """Cuts a stream of documents into blocks of `block_size` tokens.

    By default all documents are one sequence, and there is one tail: what is left at the end of the split. Groups of
    documents, down to each by itself, are cut as sequences of their own, and each has a tail. A tail is shorter than
    `block_size`; it is a block like any other, or dropped on request.

    Args:
        document_lengths: number of tokens of each document, in stream order, shape (num_documents,), each >= 0.
        block_size: tokens in a full block, >= 1.
        group_size: documents in a sequence, >= 1; the last sequence may have fewer.
        drop_tail: leaves out blocks shorter than `block_size`; ``"unless_alone"`` keeps one that is the only block of
            its sequence.
        truncate: leaves out all blocks of a sequence but the first.

    Returns:
        The blocks, in the order of the stream.

    Raises:
        InputError: if `block_size` or `group_size` is below 1.
    """
    for name, value in (("block_size", block_size), ("group_size", group_size)):
        if value is not None and value < 1:
            raise InputError(f"{name} must be at least 1, got {value}")
    total = int(document_lengths.sum())
    sequence_lengths = np.array([total], dtype=np.int64)
    if group_size is not None:
        firsts = np.arange(0, len(document_lengths), group_size)
        sequence_lengths = np.add.reduceat(document_lengths.astype(np.int64), firsts) if len(firsts) else firsts
    blocks_per_sequence = -(-sequence_lengths // block_size)
    sequence_starts = np.cumsum(sequence_lengths) - sequence_lengths
    first_block = np.cumsum(blocks_per_sequence) - blocks_per_sequence
    index_in_sequence = np.arange(blocks_per_sequence.sum()) - np.repeat(first_block, blocks_per_sequence)
    starts = np.repeat(sequence_starts, blocks_per_sequence) + index_in_sequence * block_size
    ends = np.minimum(starts + block_size, np.repeat(sequence_starts + sequence_lengths, blocks_per_sequence))
    is_kept = np.ones(len(starts), dtype=np.bool_)
    if drop_tail:
        is_kept &= ends - starts == block_size
    if drop_tail == "unless_alone":
        is_kept |= np.repeat(blocks_per_sequence, blocks_per_sequence) == 1
    if truncate:
        is_kept &= index_in_sequence == 0
    starts, ends = starts[is_kept], ends[is_kept]
    return BlockTable(starts, ends, num_dropped_tokens=total - int((ends - starts).sum()))


def join_tables(tables: Sequence[BlockTable]) -> BlockTable:
    """The blocks of several streams as those of one, in which they stand one after the other."""
    kept = [int((table.ends - table.starts).sum()) for table in tables]
    lengths = [num + table.num_dropped_tokens for num, table in zip(kept, tables, strict=True)]
    offsets = np.cumsum([0, *lengths[:-1]])
    starts, ends = (
        np.concatenate([getattr(table, edge) + offset for table, offset in zip(tables, offsets, strict=True)])
        for edge in ("starts", "ends")
    )
    return BlockTable(starts, ends, sum(table.num_dropped_tokens for table in tables))


def find_shared_documents(document_lengths: IntArray, table: BlockTable, ours: IntArray, theirs: IntArray) -> IntArray:
    """Those of some blocks that hold part of a document of which others hold a part too.

    Args:
        document_lengths: as in `cut_blocks`.
        table: the blocks of the split.
        ours: the blocks in question, as places in the table, shape (N,).
        theirs: the other blocks, as places in the table, shape (M,).

    Returns:
        Those of `ours` that share a document with `theirs`, in their order.
    """
    document_ends = np.cumsum(document_lengths)
    first = np.searchsorted(document_ends, table.starts, side="right")  # the document of a block's first token
    last = np.searchsorted(document_ends, table.ends - 1, side="right")
    changes = np.zeros(len(document_lengths) + 1, dtype=np.int64)
    np.add.at(changes, first[theirs], 1)
    np.add.at(changes, last[theirs] + 1, -1)
    num_used = np.cumsum(np.concatenate([[0], np.cumsum(changes[:-1]) > 0]))  # of the documents before each place
    return ours[num_used[last[ours] + 1] > num_used[first[ours]]]
