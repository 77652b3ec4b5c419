"""Which positions of a sequence are masked, and with what: a pure function of (seed, epoch, example id).

Every random number is the hash of a counter, (seed, epoch, example id, position, purpose), so a mask is the same for
any batch size, number of workers or ranks, and order, after any restart, and costs no state. The hash is the finaliser
of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", OOPSLA, section 5),
applied once for each part of the counter.

Shapes: B sequences, T tokens.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lit_mlm.errors import InputError
from lit_mlm.text import IGNORE_INDEX
from lit_mlm.text.blocks import IntArray

BoolArray = npt.NDArray[np.bool_]
UIntArray = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_SELECT, _REPLACE, _DRAW = np.uint64(1), np.uint64(2), np.uint64(3)


@dataclass(frozen=True)
class Masking:
    """How tokens are masked, by default as BERT's were (Devlin et al. 2019, section 3.1).

    Attributes:
        mask_id: id of the mask token.
        is_ordinary: which ids may be masked and drawn: the vocabulary without special tokens, shape (V,).
        mask_prob: probability of an ordinary token to be scored, above 0 and at most 1.
        mask_token_prob: share of scored positions that hold the mask token, in [0, 1].
        random_token_prob: share of scored positions that hold a random token, in [0, 1]; the rest keep their own.

    Raises:
        InputError: if a probability is outside its range, or the two shares add up to more than 1.
    """

    mask_id: int
    is_ordinary: BoolArray
    mask_prob: float = 0.15
    mask_token_prob: float = 0.8
    random_token_prob: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.mask_prob <= 1:
            raise InputError(f"mask_prob must be above 0 and at most 1, got {self.mask_prob}")
        shares = (self.mask_token_prob, self.random_token_prob)
        if min(shares) < 0 or sum(shares) > 1 + 1e-9:
            raise InputError(
                "mask_token_prob and random_token_prob must not be negative nor exceed 1 together, "
                f"got {shares[0]} and {shares[1]}"
            )

    @cached_property
    def ordinary_ids(self) -> IntArray:
        """The ids that `is_ordinary` marks, sorted."""
        return np.flatnonzero(self.is_ordinary)


def mask_tokens(
    input_ids: IntArray, is_token: BoolArray, example_ids: IntArray, masking: Masking, seed: int, epoch: int
) -> tuple[IntArray, IntArray]:
    """Masks a batch of sequences.

    Args:
        input_ids: token ids, shape (B, T).
        is_token: False on padding, shape (B, T).
        example_ids: a number for each sequence that is its own in the data set, shape (B,), each >= 0.
        masking: probabilities and vocabulary.
        seed: chooses among independent maskings, any integer.
        epoch: as the seed; 0 for evaluation, whose masks stay the same.

    Returns:
        The ids that the model reads and the labels, both of shape (B, T): a label is the original id where a position
        is scored and `IGNORE_INDEX` elsewhere.
    """
    keys = _keys(seed, epoch, example_ids, input_ids.shape[1])
    maskable = is_token & masking.is_ordinary[np.where(is_token, input_ids, masking.mask_id)]
    scored = maskable & (_uniform(keys, _SELECT) < masking.mask_prob)
    labels = np.where(scored, input_ids, IGNORE_INDEX)
    action = _uniform(keys, _REPLACE)
    draws = masking.ordinary_ids[(_uniform(keys, _DRAW) * len(masking.ordinary_ids)).astype(np.int64)]
    masked = np.where(scored & (action < masking.mask_token_prob), masking.mask_id, input_ids)
    is_random = scored & (action >= masking.mask_token_prob)
    is_random &= action < masking.mask_token_prob + masking.random_token_prob
    return np.where(is_random, draws, masked), labels


def fingerprint_masks(batches: Iterable[tuple[IntArray, IntArray, BoolArray]]) -> str:
    """SHA-256 (hex) of masked sequences, in their order, whatever batches they come in.

    Args:
        batches: for each batch the masked ids, the labels and which positions are tokens, each of shape (B, T).
    """
    digest = hashlib.sha256()
    for masked_ids, labels, is_token in batches:
        digest.update(np.stack([masked_ids[is_token], labels[is_token]], axis=1).astype("<i8").tobytes())
    return digest.hexdigest()


def _keys(seed: int, epoch: int, example_ids: IntArray, width: int) -> UIntArray:
    """One 64-bit key for each position, shape (B, T)."""
    key = _mix(_mix(np.array([seed & (2**64 - 1)], dtype=np.uint64)) ^ np.uint64(epoch))
    rows = _mix(key ^ example_ids.astype(np.uint64))
    return _mix(rows[:, None] ^ np.arange(width, dtype=np.uint64))


def _uniform(keys: UIntArray, purpose: np.uint64) -> npt.NDArray[np.float64]:
    """A number in [0, 1) with 53 random bits for each key."""
    return (_mix(keys ^ purpose) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(values: UIntArray) -> UIntArray:
    """The step and finaliser of SplitMix64, a bijection of 64-bit numbers; multiplication wraps around by design."""
    z = values + _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
