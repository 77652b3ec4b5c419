"""Units of a block (words or spans, as runs of tokens) and the choice among them.

Shapes: B sequences, T tokens, U units of all sequences.
"""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lit_mlm.text.arrays import BoolArray, FloatArray, IntArray, UInt64Array
from lit_mlm.text.masking.counter_hash import SELECT, draw_uniform

MaskBudget = Literal["expected", "exact"]


def find_units(starts: BoolArray) -> IntArray:
    """Numbers the units of each sequence and returns each token's, from 0, shape (B, T)."""
    return np.cumsum(starts, axis=1) - 1


def find_firsts(starts: BoolArray) -> IntArray:
    """Returns the position of the first token of each token's unit, shape (B, T)."""
    return np.maximum.accumulate(np.where(starts, np.arange(starts.shape[1]), 0), axis=1)


def draw_at(starts: BoolArray, keys: UInt64Array) -> FloatArray:
    """Draws a number in [0, 1) for each unit, shape (U,): that of its first token, by the keys of `hash_examples`."""
    flat = np.flatnonzero(starts)
    rows = flat // starts.shape[1]
    return draw_uniform(keys[rows], flat - rows * starts.shape[1], SELECT)


def choose_units(
    starts: BoolArray, is_maskable: BoolArray, uniform: FloatArray, rate: FloatArray, budget: MaskBudget
) -> BoolArray:
    """Chooses units and returns their maskable tokens, shape (B, T).

    Args:
        starts: True at the first token of each unit and of each sequence, shape (B, T).
        is_maskable: shape (B, T).
        uniform: a random number in [0, 1) per unit, shape (U,).
        rate: shape (B,).
        budget: ``expected`` chooses the units whose number is below `rate`; ``exact`` visits the units by their numbers
            and takes each that still fits into round(rate x maskable tokens).
    """
    if budget == "expected":
        return is_maskable & spread(uniform < np.repeat(rate, starts.sum(axis=1)), starts)
    num, width = starts.shape
    units = find_units(starts)
    slots = units + np.arange(num)[:, None] * width
    sizes = np.bincount(slots.ravel(), weights=is_maskable.ravel(), minlength=num * width)
    numbers = np.ones(num * width)  # empty slots sort last
    numbers[slots[starts]] = uniform
    order = np.argsort(numbers.reshape(num, width), axis=1, kind="stable")
    sizes = np.take_along_axis(sizes.reshape(num, width), order, axis=1)
    is_taken = np.empty_like(starts)
    np.put_along_axis(is_taken, order, fill(sizes, np.rint(rate * is_maskable.sum(axis=1)).astype(np.int64)), axis=1)
    return is_maskable & np.take_along_axis(is_taken, units, axis=1)


def spread(is_chosen: BoolArray, starts: BoolArray) -> BoolArray:
    """Marks the tokens of the chosen units, shape (B, T), given flags of shape (U,).

    Examples:
        >>> spread(np.array([True, False, True]), np.array([[True, False, True, True]])).astype(int)
        array([[1, 1, 0, 1]])
    """
    changes = is_chosen.copy()
    changes[1:] ^= is_chosen[:-1]
    flags = np.zeros(starts.shape, dtype=np.bool_)
    flags[starts] = changes  # a running xor is twice as fast as np.repeat
    return np.bitwise_xor.accumulate(flags.ravel()).reshape(starts.shape)


def fill(sizes: npt.NDArray[Any], budgets: IntArray) -> BoolArray:
    """Takes sizes, shape (B, N), from left to right while their sum fits into a budget, shape (B,); zeros are left out.

    A size that does not fit is never tried again, so there are at most as many rounds as distinct sizes.

    Examples:
        >>> fill(np.array([[2, 3, 1, 1]]), np.array([4])).astype(int)
        array([[1, 0, 1, 1]])
    """
    is_taken, left = np.zeros(sizes.shape, dtype=np.bool_), budgets[:, None]
    is_open = (sizes > 0) & (sizes <= left)
    while is_open.any():
        fits = is_open & (np.cumsum(np.where(is_open, sizes, 0), axis=1) <= left)
        is_taken |= fits
        left = left - np.where(fits, sizes, 0).sum(axis=1, keepdims=True)
        is_open &= ~fits & (sizes <= left)
    return is_taken
