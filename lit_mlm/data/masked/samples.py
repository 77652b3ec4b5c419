"""Which text a split is made of, and which of its blocks are examples."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lit_mlm.errors import InputError
from lit_mlm.options import Count
from lit_mlm.text.blocks import IntArray


@dataclass(frozen=True)
class SampleOptions:
    """The options of `BlocksDataModule` that choose examples among blocks; those of the same names.

    Each field is part of the data's fingerprint.
    """

    num_train_blocks: Count | None = None
    num_val_blocks: Count | None = None
    num_test_blocks: Count | None = None
    val_source: Literal["documents", "train_blocks"] = "documents"
    split_seed: int = 42

    def __post_init__(self) -> None:
        """Refuses options that don't fit together."""
        if self.val_source == "train_blocks" and self.num_val_blocks is None:
            raise InputError("data.val_source train_blocks needs data.num_val_blocks: how many not to train on")

    def get_source(self, split: str) -> str:
        """The split whose text the examples of a split are made of."""
        return "train" if split == "val" and self.val_source == "train_blocks" else split

    def choose(self, split: str, num_blocks: int) -> IntArray:
        """The blocks of a split's text that are its examples, shape (num_examples,).

        A sample keeps the order of the text. Where validation blocks are held out of the training text, the permutation
        is that of `Dataset.train_test_split`, with the first of it held out and the next trained on, in its order.

        Args:
            split: train, val or test.
            num_blocks: of its text.

        Raises:
            InputError: if there are fewer than are wanted.
        """
        order = np.random.default_rng(self.split_seed).permutation(num_blocks)
        num_wanted: int | None = getattr(self, f"num_{split}_blocks")
        if self.val_source == "train_blocks" and split == "train":
            order = order[self.num_val_blocks :]
        if not 1 <= (len(order) if num_wanted is None else num_wanted) <= len(order):
            raise InputError(
                f"data.num_{split}_blocks is {num_wanted}, but the {split} split has {len(order)} blocks; give a "
                f"number from 1 to {len(order)}"
            )
        chosen = order[:num_wanted]
        return np.sort(chosen) if self.val_source == "documents" or split == "test" else chosen
