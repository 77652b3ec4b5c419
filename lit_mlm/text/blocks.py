"""Token streams cut into blocks.

A split is one stream of token ids, document after document. A block is a slice of that stream, given by where it starts
and where it ends, so cutting copies nothing, and it sees the whole split at once: the result depends neither on batches
of documents nor on the number of processes that tokenised them.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from lit_mlm.errors import InputError

IntArray = npt.NDArray[np.int64]
Policy = Literal["stream", "document"]


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
    document_lengths: IntArray, block_size: int, policy: Policy = "stream", drop_tail: bool = False
) -> BlockTable:
    """Cuts a stream of documents into blocks of `block_size` tokens.

    With ``"stream"`` the documents are one sequence, as in the published recipes, and there is one tail: what is left
    at the end of the split. With ``"document"`` each document is cut by itself, no block holds two of them, and each
    has a tail. A tail is shorter than `block_size`; it is a block like any other, or dropped on request.

    Args:
        document_lengths: number of tokens of each document, in stream order, shape (num_documents,), each >= 0.
        block_size: tokens in a full block, >= 1.
        policy: whether a block may run over the end of a document.
        drop_tail: leaves out blocks shorter than `block_size`.

    Returns:
        The blocks, in the order of the stream.

    Raises:
        InputError: if `block_size` is below 1.
    """
    if block_size < 1:
        raise InputError(f"block_size must be at least 1 token, got {block_size}")
    total = int(document_lengths.sum())
    sequence_lengths = np.array([total], dtype=np.int64) if policy == "stream" else document_lengths.astype(np.int64)
    blocks_per_sequence = -(-sequence_lengths // block_size)
    sequence_starts = np.cumsum(sequence_lengths) - sequence_lengths
    first_block = np.cumsum(blocks_per_sequence) - blocks_per_sequence
    index_in_sequence = np.arange(blocks_per_sequence.sum()) - np.repeat(first_block, blocks_per_sequence)
    starts = np.repeat(sequence_starts, blocks_per_sequence) + index_in_sequence * block_size
    ends = np.minimum(starts + block_size, np.repeat(sequence_starts + sequence_lengths, blocks_per_sequence))
    if drop_tail:
        full = ends - starts == block_size
        starts, ends = starts[full], ends[full]
    return BlockTable(starts, ends, num_dropped_tokens=total - int((ends - starts).sum()))


def gather_blocks(
    stream: npt.NDArray[np.integer], starts: IntArray, ends: IntArray
) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Reads several slices of a stream as one array, padded on the right to the longest of them.

    Args:
        stream: token ids, shape (num_tokens,).
        starts: where each slice starts, shape (B,).
        ends: one past where each slice ends, shape (B,).

    Returns:
        Token ids, shape (B, T), arbitrary on padding, and which positions are tokens, shape (B, T).
    """
    lengths = ends - starts
    width = int(lengths.max(initial=0))
    columns = np.arange(width)
    is_token = columns < lengths[:, None]
    index = np.minimum(starts[:, None] + columns, max(len(stream) - 1, 0))
    return stream[index].astype(np.int64), is_token
