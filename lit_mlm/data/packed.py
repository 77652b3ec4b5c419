"""Examples packed into rows, read a batch at a time.

Shapes: B rows, S sequences in them, T tokens.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lit_mlm.batch import BATCH_KEYS, IGNORE_INDEX
from lit_mlm.data.batches import BatchKey
from lit_mlm.errors import InputError
from lit_mlm.text.arrays import IntArray
from lit_mlm.text.packing import PackedRows, join_rows, pack_rows


@dataclass(frozen=True)
class PackedExamples(Dataset[dict[str, Tensor]]):
    """Maps a key whose examples are rows to a batch; packing does not change a sequence.

    All rows have the same width, so that all steps have the same shapes.

    Attributes:
        examples: data set that maps keys of sequences to batches and has a `pad_id`.
        rows: the sequences of each row.
    """

    examples: Any
    rows: PackedRows

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
        batch = self.examples[key]
        joined = join_rows(
            {name: batch[name].numpy() for name in (*BATCH_KEYS, "units") if name in batch},
            {"input_ids": self.examples.pad_id, "attention_mask": 0, "labels": IGNORE_INDEX, "units": 0},
            batch["attention_mask"].numpy() == 1,
            row_of,
            int(row_of[-1]) + 1,
            self.rows.capacity,
        )
        return {name: torch.from_numpy(array) for name, array in joined.items()}

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


def find_padding(lengths: IntArray, batch_size: int) -> float:
    """The fraction of padding in random batches of N >= 1 sequences of `lengths` tokens, in [0, 1)."""
    firsts = np.arange(0, len(lengths), batch_size)
    longest = np.maximum.reduceat(np.random.default_rng(0).permutation(lengths), firsts)
    return 1 - int(lengths.sum()) / int((longest * np.diff(np.append(firsts, len(lengths)))).sum())
