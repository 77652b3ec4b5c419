"""The choice of examples among the blocks of a split."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lit_mlm.errors import InputError
from lit_mlm.options import Count, DataOptions, Seed
from lit_mlm.text.arrays import IntArray


@dataclass(frozen=True)
class SampleOptions(DataOptions):
    """Options of `BlocksDataModule` that choose examples among blocks; all are part of the fingerprint.

    Each set of a split, such as ``val/news``, is sampled as a split.

    >>> options = SampleOptions(num_train_blocks=2, num_val_blocks=3, val_source="train_blocks")
    >>> options.choose("val", 10), options.choose("train", 10)
    (array([5, 6, 0]), array([7, 3]))
    """

    num_train_blocks: Count | None = None
    num_val_blocks: Count | None = None
    num_test_blocks: Count | None = None
    val_source: Literal["documents", "train_blocks"] = "documents"
    split_seed: Seed = 42

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.val_source == "train_blocks" and self.num_val_blocks is None:
            raise InputError("data.val_source train_blocks needs data.num_val_blocks: how many blocks to hold out")

    def get_source(self, split: str) -> str:
        """The split whose text holds the examples of a split."""
        return "train" if split == "val" and self.val_source == "train_blocks" else split

    def choose(self, split: str, num_blocks: int) -> IntArray:
        """The blocks that are examples of a split, shape (num_examples,), out of the `num_blocks` of its source.

        A sample is in the order of the text. With validation blocks held out of the training text, validation takes the
        first of the permutation of `Dataset.train_test_split`, and training the next ones, both in its order. A sample
        larger than the split is the whole of it.
        """
        split = split.partition("/")[0]
        order = np.random.default_rng(self.split_seed).permutation(num_blocks)
        if self.val_source == "train_blocks" and split == "train":
            order = order[self.num_val_blocks :]
            if not len(order):
                raise InputError(
                    f"data.num_val_blocks {self.num_val_blocks} leaves none of the {num_blocks} blocks to train on; "
                    f"give a number below {num_blocks}, or more text"
                )
        chosen = order[: getattr(self, f"num_{split}_blocks")]
        return np.sort(chosen) if self.val_source == "documents" or split == "test" else chosen

    def list_notes(self, num_blocks: Mapping[str, int]) -> list[str]:
        """Notes on samples that are all of their split, for the first line of a run, given the blocks of each split."""
        options = {split: f"num_{split.partition('/')[0]}_blocks" for split in num_blocks}
        wanted = {split: getattr(self, option) for split, option in options.items()}
        return [
            f"all of {split}, which has fewer than data.{options[split]} {wanted[split]:,}"
            for split, num in num_blocks.items()
            if wanted[split] is not None and num < wanted[split]
        ]
