"""Masked blocks of a concatenated text, built a batch at a time.

Shapes: B sequences, T tokens.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.data.batches import BatchKey
from lit_mlm.text.arrays import BoolArray, IntArray
from lit_mlm.text.blocks import BlockTable
from lit_mlm.text.masking.masking import Masking, fingerprint_masks, mask_tokens
from lit_mlm.text.masking.schedule import MaskSchedule
from lit_mlm.text.special_tokens import Rows, SpecialTokens, lay_out


@dataclass(frozen=True)
class MaskedBlocks(Dataset[dict[str, Tensor]]):
    """Maps the key of a batch to the batch; stateless, so every worker and every restart gives the same.

    Attributes:
        stream: token ids of the split, shape (num_tokens,).
        table: blocks of the whole split.
        chosen: indices of the blocks that are examples, shape (num_examples,).
        special_tokens: added to each block.
        masking: how tokens are masked.
        seed: of the masks.
        pad_id: id of padding, which is neither attended to nor scored.
        word_starts: whether a token of `stream` begins a word, shape (num_tokens,); None if masking needs no words.
        schedule: of the fraction of masked tokens over training; by default that of `masking`.
        num_epochs: length of the schedule, above 0.
        example_ids: of all blocks, shape (num_blocks,); by default their indices.
        unit_ends: one past the last token of each unit of `lit_mlm.batch`, shape (U,); None to leave them out.
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
    unit_ends: IntArray | None = None

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, key: BatchKey) -> dict[str, Tensor]:
        is_empty = len(key.examples) == 0
        if is_empty:  # nets don't take empty batches: one row without scored positions
            key = replace(key, examples=np.zeros(1, np.int64), source_epochs=None)
        rows = self._lay_out(key)
        masked_ids, labels = self._mask(key, rows)
        if is_empty:
            labels = np.full_like(labels, IGNORE_INDEX)
        batch = {
            "input_ids": np.where(rows.is_token, masked_ids, self.pad_id),
            "attention_mask": rows.is_token.astype(np.int64),
            "labels": labels,
        }
        if self.unit_ends is not None:
            batch["units"] = np.searchsorted(self.unit_ends, rows.places, side="right")
        return {name: torch.from_numpy(array) for name, array in batch.items()}

    @property
    def sequence_length(self) -> int:
        """Tokens of the longest example, special tokens included."""
        return int(self.lengths.max(initial=0))

    @property
    def lengths(self) -> IntArray:
        """Tokens of each example, special tokens included, shape (num_examples,)."""
        return self.table.ends[self.chosen] - self.table.starts[self.chosen] + len(self.special_tokens)

    def fingerprint_masks(self, draws: Iterable[int] = (0,)) -> str:
        """SHA-256 (hex) of all masked examples, in order, for each of `draws`."""
        return fingerprint_masks(self._iterate(draws))

    def locate_scored(self, key: BatchKey) -> IntArray:
        """Returns the index in `stream` of each scored token of a batch, and that in its row, shape (2, N)."""
        rows = self._lay_out(key)
        _, labels = self._mask(key, rows)
        is_scored = labels != IGNORE_INDEX
        return np.stack([rows.places[is_scored], np.nonzero(is_scored)[1]])

    def _iterate(self, draws: Iterable[int], size: int = 1024) -> Iterator[tuple[IntArray, IntArray, BoolArray]]:
        for draw in draws:
            for start in range(0, len(self), size):
                key = BatchKey(draw, np.arange(start, min(start + size, len(self))))
                rows = self._lay_out(key)
                yield *self._mask(key, rows), rows.is_token

    def _lay_out(self, key: BatchKey) -> Rows:
        blocks = self.chosen[key.examples]
        return lay_out(self.stream, self.table.starts[blocks], self.table.ends[blocks], self.special_tokens)

    def _mask(self, key: BatchKey, rows: Rows) -> tuple[IntArray, IntArray]:
        """Masked ids and labels, both of shape (B, T)."""
        blocks = self.chosen[key.examples]
        example_ids = blocks if self.example_ids is None else self.example_ids[blocks]
        rate = None
        if self.schedule is not None:
            done = key.position + np.arange(len(blocks)) if key.positions is None else key.positions
            rate = self.schedule.find_rates((key.epoch + done / len(self)) / self.num_epochs)
        draw = key.epoch if key.source_epochs is None else key.source_epochs
        options = example_ids, self.masking, self.seed, draw, self._find_words(rows), rate
        return mask_tokens(rows.ids, rows.is_token, *options)

    def _find_words(self, rows: Rows) -> BoolArray | None:
        """Whether each position begins a word, shape (B, T); special tokens and the token after the prefix do."""
        if self.word_starts is None:
            return None
        begins: BoolArray = self.word_starts.take(rows.places) | ~rows.is_text
        begins[:, : len(self.special_tokens.prefix) + 1] = True
        return begins
