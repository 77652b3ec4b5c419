"""Units of a block, which are runs of its tokens (words, spans), and the choice among them.

Shapes: B sequences, T tokens.
"""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lit_mlm.text.blocks import IntArray
from lit_mlm.text.masking.counter_hash import SELECT, FloatArray, UIntArray, draw_uniform

BoolArray = npt.NDArray[np.bool_]
MaskBudget = Literal["expected", "exact"]


def find_units(starts: BoolArray) -> IntArray:
    """The number of each token's unit in its sequence, from 0, shape (B, T); the first token begins one."""
    return np.cumsum(starts, axis=1) - 1


def find_firsts(starts: BoolArray) -> IntArray:
    """The position of the first token of each token's unit, shape (B, T)."""
    return np.maximum.accumulate(np.where(starts, np.arange(starts.shape[1]), 0), axis=1)


def draw_at(starts: BoolArray, keys: UIntArray) -> FloatArray:
    """A random number in [0, 1) for each unit, which is that of its first token.

    Args:
        starts: where units begin, shape (B, T).
        keys: of the examples, shape (B,).

    Returns:
        The numbers of all units, sequence after sequence, shape (number of units,).
    """
    flat = np.flatnonzero(starts)
    rows = flat // starts.shape[1]
    return draw_uniform(keys[rows], flat - rows * starts.shape[1], SELECT)


def choose_units(
    starts: BoolArray, is_maskable: BoolArray, uniform: FloatArray, rate: FloatArray, budget: MaskBudget
) -> BoolArray:
    """Chooses units, which are runs of tokens.

    Args:
        starts: where units begin, shape (B, T), the first tokens among them.
        is_maskable: shape (B, T).
        uniform: random numbers in [0, 1) of all units, sequence after sequence, shape (number of units,).
        rate: shape (B,).
        budget: ``expected`` chooses a unit whose number is below `rate`; ``exact`` goes through the units by their
            numbers, and takes each that fits into what is left of round(rate x maskable tokens). Then no other fits.

    Returns:
        The maskable tokens of the chosen units, shape (B, T).
    """
    if budget == "expected":
        return is_maskable & spread(uniform < np.repeat(rate, starts.sum(axis=1)), starts)
    num, width = starts.shape
    units = find_units(starts)
    slots = units + np.arange(num)[:, None] * width
    sizes = np.bincount(slots.ravel(), weights=is_maskable.ravel(), minlength=num * width)
    numbers = np.ones(num * width)  # above all others where there is no unit
    numbers[slots[starts]] = uniform
    order = np.argsort(numbers.reshape(num, width), axis=1, kind="stable")
    sizes = np.take_along_axis(sizes.reshape(num, width), order, axis=1)
    is_taken = np.empty_like(starts)
    np.put_along_axis(is_taken, order, fill(sizes, np.rint(rate * is_maskable.sum(axis=1)).astype(np.int64)), axis=1)
    return is_maskable & np.take_along_axis(is_taken, units, axis=1)


def spread(is_chosen: BoolArray, starts: BoolArray) -> BoolArray:
    """The tokens of the chosen units.

    Args:
        is_chosen: of all units, sequence after sequence, shape (number of units,).
        starts: where units begin, shape (B, T), the first tokens among them.

    Returns:
        Shape (B, T).
    """
    changes = is_chosen.copy()
    changes[1:] ^= is_chosen[:-1]
    flags = np.zeros(starts.shape, dtype=np.bool_)
    flags[starts] = changes  # a running xor takes half the time of np.repeat
    return np.bitwise_xor.accumulate(flags.ravel()).reshape(starts.shape)


def fill(sizes: npt.NDArray[Any], budgets: IntArray) -> BoolArray:
    """Goes through sizes from the left and takes each that still fits.

    The first one that doesn't fit shuts out all of its size for good, so there are at most as many rounds as sizes that
    differ.

    Args:
        sizes: shape (B, N), each at least 0; those of 0 are not taken.
        budgets: what the taken ones may sum up to, shape (B,).

    Returns:
        The taken ones, shape (B, N).
    """
    is_taken, left = np.zeros(sizes.shape, dtype=np.bool_), budgets[:, None]
    is_open = (sizes > 0) & (sizes <= left)
    while is_open.any():
        fits = is_open & (np.cumsum(np.where(is_open, sizes, 0), axis=1) <= left)
        is_taken |= fits
        left = left - np.where(fits, sizes, 0).sum(axis=1, keepdims=True)
        is_open &= ~fits & (sizes <= left)
    return is_taken
