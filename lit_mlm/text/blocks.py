"""Cuts a split into blocks.

A split is one concatenated array of token ids, and a block is a slice of it. Blocks therefore do not depend on how
documents were batched or on how many processes tokenised them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lit_mlm.errors import InputError
from lit_mlm.text.arrays import IntArray

DropTail = bool | Literal["unless_alone"]


@dataclass(frozen=True)
class BlockTable:
    """The blocks of a split as slices of its concatenated tokens.

    Attributes:
        starts: first token of each block, shape (num_blocks,).
        ends: one past the last token of each block, shape (num_blocks,).
        num_dropped_tokens: tokens that are in no block.
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
    """Cuts concatenated documents into blocks of `block_size` tokens.

    Groups of `group_size` documents are cut separately; by default all documents are one group. The last block of a
    group may be shorter than `block_size`.

    Args:
        document_lengths: tokens of each document, in order, shape (num_documents,), each >= 0.
        block_size: tokens of a full block, >= 1.
        group_size: documents per group, >= 1; the last group may have fewer.
        drop_tail: drops blocks shorter than `block_size`; ``"unless_alone"`` keeps the only block of a group.
        truncate: keeps only the first block of each group.

    Examples:
        >>> table = cut_blocks(np.array([5, 4]), block_size=4, group_size=1)
        >>> list(zip(table.starts.tolist(), table.ends.tolist()))
        [(0, 4), (4, 5), (5, 9)]
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
    """Joins the block tables of consecutive parts of a split."""
    kept = [int((table.ends - table.starts).sum()) for table in tables]
    lengths = [num + table.num_dropped_tokens for num, table in zip(kept, tables, strict=True)]
    offsets = np.cumsum([0, *lengths[:-1]])
    starts, ends = (
        np.concatenate([getattr(table, edge) + offset for table, offset in zip(tables, offsets, strict=True)])
        for edge in ("starts", "ends")
    )
    return BlockTable(starts, ends, sum(table.num_dropped_tokens for table in tables))


def find_shared_documents(document_lengths: IntArray, table: BlockTable, ours: IntArray, theirs: IntArray) -> IntArray:
    """Selects the blocks that share a document with other blocks.

    Args:
        document_lengths: as in `cut_blocks`.
        table: the blocks of the split.
        ours: indices of the blocks to select from, shape (N,).
        theirs: indices of the other blocks, shape (M,).

    Returns:
        Those of `ours` that hold part of a document of which `theirs` hold a part too, in their order.
    """
    document_ends = np.cumsum(document_lengths)
    first = np.searchsorted(document_ends, table.starts, side="right")  # the document of a block's first token
    last = np.searchsorted(document_ends, table.ends - 1, side="right")
    changes = np.zeros(len(document_lengths) + 1, dtype=np.int64)
    np.add.at(changes, first[theirs], 1)
    np.add.at(changes, last[theirs] + 1, -1)
    num_used = np.cumsum(np.concatenate([[0], np.cumsum(changes[:-1]) > 0]))  # among the documents before each one
    return ours[num_used[last[ours] + 1] > num_used[first[ours]]]
