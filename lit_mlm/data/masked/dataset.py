"""Blocks of a token stream, read and masked a batch at a time.

Shapes: B sequences, T tokens.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.data.batches import BatchKey
from lit_mlm.text.blocks import BlockTable, IntArray
from lit_mlm.text.masking.counter_hash import FloatArray
from lit_mlm.text.masking.masking import Masking, fingerprint_masks, mask_tokens
from lit_mlm.text.masking.schedule import MaskSchedule
from lit_mlm.text.masking.units import BoolArray
from lit_mlm.text.special_tokens import Rows, SpecialTokens, lay_out


@dataclass(frozen=True)
class MaskedBlocks(Dataset[dict[str, Tensor]]):
    """Maps the key of a batch to the batch; holds no state, so every worker and every restart gives the same.

    Attributes:
        stream: token ids of the split, shape (num_tokens,).
        table: the blocks of the whole split.
        chosen: which blocks are examples, shape (num_examples,).
        special_tokens: put around each block.
        masking: how tokens are masked.
        seed: of the masks.
        pad_id: id that stands on padding, where nothing is attended or scored.
        word_starts: which tokens of `stream` begin a word, of the same shape; None where masks are made without.
        schedule: of the share of masked tokens over training; by default that of `masking`.
        num_epochs: in which the schedule is gone through, above 0.
        example_ids: of all blocks, shape (num_blocks,); by default a block's place in the table is its example id.
    """

    stream: npt.NDArray[np.int32]
    table: BlockTable
    chosen: IntArray
    special_tokens: SpecialTokens
    masking: Masking
    seed: int
    pad_id: int
    word_starts: BoolArray | None = None
    schedule: MaskSchedule | None = None
    num_epochs: float = 1.0
    example_ids: IntArray | None = None

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, key: BatchKey) -> dict[str, Tensor]:
        is_empty = len(key.examples) == 0
        # A batch without examples still has a row, of which nothing is scored: nets don't take batches of no rows.
        examples, source_epochs = (np.zeros(1, np.int64), None) if is_empty else (key.examples, key.source_epochs)
        masked_ids, labels, is_token = self._mask(key.epoch, examples, key.position, source_epochs, key.positions)
        if is_empty:
            labels = np.full_like(labels, IGNORE_INDEX)
        return {
            "input_ids": torch.from_numpy(np.where(is_token, masked_ids, self.pad_id)),
            "attention_mask": torch.from_numpy(is_token.astype(np.int64)),
            "labels": torch.from_numpy(labels),
        }

    @property
    def sequence_length(self) -> int:
        """Tokens of the longest example, special tokens included."""
        return int(self.lengths.max(initial=0))

    @property
    def lengths(self) -> IntArray:
        """Tokens of each example, special tokens included, shape (num_examples,)."""
        return self.table.ends[self.chosen] - self.table.starts[self.chosen] + len(self.special_tokens)

    def fingerprint_masks(self, draws: Iterable[int] = (0,)) -> str:
        """SHA-256 (hex) of all examples, in their order, as they are masked in each of `draws`."""
        return fingerprint_masks(self._iterate(draws))

    def _iterate(self, draws: Iterable[int], size: int = 1024) -> Iterator[tuple[IntArray, IntArray, BoolArray]]:
        for draw in draws:
            for start in range(0, len(self), size):
                yield self._mask(draw, np.arange(start, min(start + size, len(self))))

    def _mask(
        self,
        epoch: int,
        examples: IntArray,
        position: int = 0,
        source_epochs: IntArray | None = None,
        positions: FloatArray | None = None,
    ) -> tuple[IntArray, IntArray, BoolArray]:
        blocks = self.chosen[examples]
        example_ids = blocks if self.example_ids is None else self.example_ids[blocks]
        rows = lay_out(self.stream, self.table.starts[blocks], self.table.ends[blocks], self.special_tokens)
        rate = None
        if self.schedule is not None:
            done = position + np.arange(len(examples)) if positions is None else positions
            progress = (epoch + done / len(self)) / self.num_epochs
            rate = self.schedule.find_rates(progress)
        draw = epoch if source_epochs is None else source_epochs
        options = example_ids, self.masking, self.seed, draw, self._find_words(rows), rate
        return *mask_tokens(rows.ids, rows.is_token, *options), rows.is_token

    def _find_words(self, rows: Rows) -> BoolArray | None:
        """Which positions begin a word, shape (B, T): special tokens around a block do, and what follows them."""
        if self.word_starts is None:
            return None
        begins: BoolArray = self.word_starts.take(rows.places) | ~rows.is_text
        begins[:, : len(self.special_tokens.prefix) + 1] = True
        return begins
