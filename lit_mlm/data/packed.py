"""Batches whose sequences are packed into rows: those of each batch, or of rows chosen once for all epochs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lit_mlm.data.batches import BatchKey
from lit_mlm.errors import InputError
from lit_mlm.text.arrays import IntArray
from lit_mlm.text.packing import PackedRows, find_padding, pack_batch, pack_rows, place_tokens

MOST_BATCHES = 1000
"""Most batches of an epoch whose padding is counted for a description."""


@dataclass(frozen=True)
class PackedBatches(Dataset[dict[str, Tensor]]):
    """Packs the sequences of each batch where that saves computing, see `lit_mlm.text.packing.pack_batch`.

    Attributes:
        examples: data set that maps keys to batches.
        max_width: most tokens of a row; None if unlimited.
    """

    examples: Any
    max_width: int | None

    def __getitem__(self, key: BatchKey) -> dict[str, Tensor]:
        return pack(self.examples[key], self.max_width)


def pack(batch: dict[str, Tensor], max_width: int | None) -> dict[str, Tensor]:
    """Packs a batch by `lit_mlm.text.packing.pack_batch`, if that pays."""
    rows = pack_batch(batch["attention_mask"].sum(dim=1).numpy(), max_width)
    return batch if rows is None else _add_packing(batch, rows)


def _add_packing(batch: dict[str, Tensor], rows: PackedRows) -> dict[str, Tensor]:
    mask = batch["attention_mask"]
    places = place_tokens(rows, mask.sum(dim=1).numpy(), mask.shape[1])
    return batch | {"packing": torch.from_numpy(places)}


@dataclass(frozen=True)
class PackedExamples(Dataset[dict[str, Tensor]]):
    """Maps a key whose examples are rows to the batch of their sequences.

    All rows have the same width, so that all steps have the same shapes.

    Attributes:
        examples: data set that maps keys of sequences to batches.
        rows: the sequences of each row.
    """

    examples: Any
    rows: PackedRows
    packs: ClassVar[bool] = True

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: BatchKey) -> dict[str, Tensor]:
        sequences, row_of = self.rows.find(key.examples)
        if len(sequences):
            # A mask schedule depends on the progress of the epoch: a sequence has that of its row.
            positions = np.asarray((key.position + row_of) * (len(self.examples) / len(self)), dtype=np.float64)
            source_epochs = None if key.source_epochs is None else key.source_epochs[row_of]
            key = replace(key, examples=sequences, positions=positions, source_epochs=source_epochs)
        else:
            row_of = np.zeros(1, dtype=np.int64)  # an empty batch has one row without scored positions
        boundaries = np.searchsorted(row_of, np.arange(row_of[-1] + 2))
        rows = PackedRows(np.arange(len(row_of)), boundaries, len(row_of), self.rows.capacity)
        return _add_packing(self.examples[key], rows)

    def find_firsts(self) -> IntArray:
        """The first sequence of each row, shape (num_rows,)."""
        return self.rows.sequences[self.rows.boundaries[:-1]]

    def find_sequences(self, rows: IntArray) -> IntArray:
        """The indices of the sequences in some rows."""
        return self.rows.find(rows)[0]


def pack_examples(
    examples: Any, capacity: int, source: tuple[str, str], groups: IntArray | None = None
) -> PackedExamples:
    """Packs the examples of a split.

    Args:
        examples: as in `PackedExamples`, with `lengths`, special tokens included, shape (num_examples,).
        capacity: tokens of a row; no example may be longer.
        source: what an example is called, and the option that sets its length, for messages.
        groups: group of each example, shape (num_examples,): a row holds examples of one group only.
    """
    lengths = examples.lengths
    longest = int(lengths.max(initial=0))
    if longest > capacity:
        name, option = source
        raise InputError(
            f"data.pack_length {capacity} is less than the longest {name}, {longest} tokens; raise it or lower {option}"
        )
    if groups is None:
        return PackedExamples(examples, pack_rows(lengths, capacity))
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    parts = [pack_rows(lengths[found], capacity) for found in members]
    sequences = np.concatenate([found[part.sequences] for found, part in zip(members, parts, strict=True)])
    sizes = np.concatenate([np.diff(part.boundaries) for part in parts])
    num_tokens = sum(part.num_tokens for part in parts)
    return PackedExamples(examples, PackedRows(sequences, np.append(0, np.cumsum(sizes)), num_tokens, capacity))


def check_pack_length(pack_length: int | None, max_length: int | None) -> None:
    """Rejects rows that are longer than the model takes; None is no packing, or no limit."""
    if pack_length is not None and max_length is not None and pack_length > max_length:
        raise InputError(f"data.pack_length is {pack_length}, but the model takes at most {max_length} tokens")


def describe_packing(rows: PackedRows, unpacked: float) -> str:
    """Describes the number of rows and their padding, against the fraction of padding `unpacked`, in [0, 1)."""
    padding = f"{rows.padding_fraction:.1%} padding, {unpacked:.1%} without"
    return f"packed into {len(rows):,} rows of {rows.capacity} ({padding})"


def describe_padding(batches: Sequence[IntArray], packs: bool, max_width: int | None) -> str:
    """Describes the padding of training batches; arguments are as in `lit_mlm.text.packing.find_padding`."""
    batches = batches[:: max(1, len(batches) // MOST_BATCHES)]
    padded = f"{find_padding(batches):.1%}"
    if not packs:
        return f"{padded} of a training batch is padding"
    return f"{find_padding(batches, True, max_width):.1%} of a training batch is padding ({padded} without packing)"
