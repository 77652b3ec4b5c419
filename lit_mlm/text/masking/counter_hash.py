"""Random numbers that are hashes of counters: each depends on its counter alone, so they cost no state and no order.

The counter is (seed, epoch, example id, position, purpose). The hash is the finaliser of SplitMix64 (Steele, Lea and
Flood 2014, "Fast splittable pseudorandom number generators", OOPSLA, section 5), applied once for each part of it.

Shapes: B sequences, T positions.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from lit_mlm.text.blocks import IntArray

UIntArray = npt.NDArray[np.uint64]
FloatArray = npt.NDArray[np.float64]

SELECT, REPLACE, DRAW, LENGTH, ORDER, SOURCE = 1, 2, 3, 4, 5, 6
"""Purposes that are taken: which positions are masked, with what kind of token, with which one; lengths of spans; the
order of examples; which corpus an example of a stream is from."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def hash_examples(seed: int, epoch: int | IntArray, example_ids: IntArray) -> UIntArray:
    """One 64-bit key for each example.

    Args:
        seed: any integer.
        epoch: at least 0, of all examples or, of shape (B,), of each.
        example_ids: shape (B,), each at least 0.

    Returns:
        Keys, shape (B,).
    """
    key = _mix(_hash_seed(seed) ^ np.asarray(epoch, dtype=np.uint64))
    return _mix(key ^ example_ids.astype(np.uint64))


@lru_cache
def _hash_seed(seed: int) -> UIntArray:
    return _mix(np.array([seed & (2**64 - 1)], dtype=np.uint64))


def draw_uniform(keys: UIntArray, positions: npt.NDArray[Any], purpose: int) -> FloatArray:
    """Numbers in [0, 1) with 53 random bits.

    Args:
        keys: of examples, as `hash_examples` makes them.
        positions: which number of the example's, each at least 0; keys and positions are broadcast to one shape.
        purpose: keeps numbers for different uses apart.

    Returns:
        A number for each pair of key and position.
    """
    mixed = _mix(_mix(keys ^ positions.astype(np.uint64)) ^ np.uint64(purpose))
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(values: UIntArray) -> UIntArray:
    """The step and finaliser of SplitMix64, a bijection of 64-bit numbers; multiplication wraps around by design."""
    z = values + _GOLDEN
    shifted = z >> np.uint64(30)
    z ^= shifted  # in place: most of the time of a mask goes into new arrays
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= np.right_shift(z, np.uint64(27), out=shifted)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= np.right_shift(z, np.uint64(31), out=shifted)
    return z
