"""Units of a block (words or spans, as runs of tokens) and the choice among them.

Shapes: B sequences, T tokens, U units of all sequences.
"""

from typing import Literal

import numpy as np

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

    With ``exact`` the units lie in random order on a circle, as arcs of their sizes, and those are chosen whose
    midpoints are on an arc of the budget's length at a random position. Every unit is thus equally likely, whatever its
    size: with the probability budget / tokens. Taking units while they fit would favour short ones.

    Args:
        starts: True at the first token of each unit and of each sequence, shape (B, T).
        is_maskable: shape (B, T).
        uniform: a random number in [0, 1) per unit, shape (U,); only the order of a sequence's numbers and their sum
            matter with ``exact``.
        rate: shape (B,).
        budget: ``expected`` chooses the units whose number is below `rate`; ``exact`` as many as are closest to
            `find_budgets` tokens at both ends of the arc: less than the largest unit away from it, and equal on
            average.
    """
    if budget == "expected":
        return is_maskable & spread(uniform < np.repeat(rate, starts.sum(axis=1)), starts)
    num, width = starts.shape
    units = find_units(starts)
    slots = units + np.arange(num)[:, None] * width
    sizes = np.bincount(slots.ravel(), weights=is_maskable.ravel(), minlength=num * width)
    numbers = np.zeros(num * width)
    numbers[slots[starts]] = uniform
    numbers[sizes == 0] = 0
    sizes, numbers = sizes.reshape(num, width), numbers.reshape(num, width)
    # A sum of uniform numbers modulo 1 is uniform, and independent of their order; padding does not change this one.
    position = np.cumsum(numbers, axis=1)[:, -1:] % 1
    order = np.argsort(numbers, axis=1, kind="stable")
    sizes = np.take_along_axis(sizes, order, axis=1)
    ends = np.cumsum(sizes, axis=1)
    total = np.maximum(ends[:, -1:], 1)
    is_taken = np.empty_like(starts)
    is_inside = (ends - sizes / 2 - position * total) % total < find_budgets(is_maskable, rate)
    np.put_along_axis(is_taken, order, is_inside, axis=1)
    return is_maskable & np.take_along_axis(is_taken, units, axis=1)


def find_budgets(is_maskable: BoolArray, rate: FloatArray) -> FloatArray:
    """Returns the tokens to choose of each sequence: round(rate x maskable tokens), shape (B, 1)."""
    budgets: FloatArray = np.rint(rate * is_maskable.sum(axis=1))
    return budgets[:, None]


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
