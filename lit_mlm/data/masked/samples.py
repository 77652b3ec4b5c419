"""Which blocks of a split are its examples."""

import numpy as np

from lit_mlm.errors import InputError
from lit_mlm.text.blocks import IntArray


def sample_blocks(num_blocks: int, split: str, num_wanted: int | None, seed: int) -> IntArray:
    """All blocks of a split, or a random sample of them, in their order.

    Args:
        num_blocks: how many there are.
        split: for the message.
        num_wanted: size of the sample.
        seed: of the sample.

    Raises:
        InputError: if there are fewer than are wanted.
    """
    return np.sort(_take(np.random.default_rng(seed).permutation(num_blocks), split, num_wanted))


def sample_apart(num_blocks: int, split: str, num_train: int | None, num_val: int, seed: int) -> IntArray:
    """Blocks of one text to train on, or others to validate on.

    The permutation is that of `Dataset.train_test_split`, with the first of it held out and the next trained on; the
    sample keeps its order.

    Args:
        num_blocks: how many blocks the text has.
        split: which sample is wanted, ``train`` or ``val``.
        num_train: blocks to train on; None for all that are not held out.
        num_val: blocks to hold out.
        seed: of the permutation.

    Raises:
        InputError: if there are too few blocks.
    """
    order = np.random.default_rng(seed).permutation(num_blocks)
    return _take(order[:num_val], split, num_val) if split == "val" else _take(order[num_val:], split, num_train)


def _take(order: IntArray, split: str, num_wanted: int | None) -> IntArray:
    if not 1 <= (len(order) if num_wanted is None else num_wanted) <= len(order):
        raise InputError(
            f"data.num_{split}_blocks is {num_wanted}, but the {split} split has {len(order)} blocks; give a "
            f"number from 1 to {len(order)}"
        )
    return order[:num_wanted]
