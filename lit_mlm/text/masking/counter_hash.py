"""Stateless random numbers: each is a hash of the counter (seed, epoch, example id, position, purpose).

The hash applies the finaliser of SplitMix64 once per part of the counter (Steele, Lea and Flood 2014, "Fast splittable
pseudorandom number generators", OOPSLA, section 5).

Shapes: B sequences, T positions.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from lit_mlm.text.arrays import FloatArray, IntArray, UInt64Array

SELECT, REPLACE, DRAW, LENGTH, ORDER, SOURCE = 1, 2, 3, 4, 5, 6
"""Purposes in use: which positions are masked, the kind of replacement, the random token; span lengths; the order of
examples; the source corpus of a streamed example."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def hash_examples(seed: int, epoch: int | IntArray, example_ids: IntArray) -> UInt64Array:
    """Returns one 64-bit key per example, shape (B,).

    Args:
        seed: any integer.
        epoch: >= 0, one for all examples or one each, shape (B,).
        example_ids: shape (B,), each >= 0.
    """
    key = _mix(_hash_seed(seed) ^ np.asarray(epoch, dtype=np.uint64))
    return _mix(key ^ example_ids.astype(np.uint64))


@lru_cache
def _hash_seed(seed: int) -> UInt64Array:
    return _mix(np.array([seed & (2**64 - 1)], dtype=np.uint64))


def draw_uniform(keys: UInt64Array, positions: npt.NDArray[Any], purpose: int) -> FloatArray:
    """Draws numbers in [0, 1) with 53 random bits, one per pair of key and position.

    Args:
        keys: from `hash_examples`.
        positions: >= 0; broadcast against `keys`.
        purpose: separates draws for different uses.
    """
    mixed = _mix(_mix(keys ^ positions.astype(np.uint64)) ^ np.uint64(purpose))
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(values: UInt64Array) -> UInt64Array:
    """Applies the step and finaliser of SplitMix64, a bijection on 64-bit integers; overflow is intended."""
    z = values + _GOLDEN
    shifted = z >> np.uint64(30)
    z ^= shifted  # in place: allocation dominates the cost of a mask
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= np.right_shift(z, np.uint64(27), out=shifted)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= np.right_shift(z, np.uint64(31), out=shifted)
    return z
