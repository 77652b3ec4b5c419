"""Masks sequences as a pure function of (seed, epoch, example id, rate).

All random numbers come from `counter_hash`, so a mask does not depend on batch size, workers, ranks, order or restarts.

Shapes: B sequences, T tokens, V vocabulary.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.errors import InputError
from lit_mlm.text.arrays import BoolArray, FloatArray, IntArray, UInt64Array
from lit_mlm.text.masking.counter_hash import DRAW, REPLACE, draw_uniform, hash_examples
from lit_mlm.text.masking.strategies import MaskingStrategy, TokenMasking, Unit
from lit_mlm.text.masking.units import find_firsts


@dataclass(frozen=True)
class Masking:
    """How tokens are masked; the defaults are BERT's (Devlin et al. 2019, section 3.1).

    Attributes:
        mask_id: id of the mask token.
        is_ordinary: which ids may be masked or drawn: the vocabulary without special tokens, shape (V,).
        mask_prob: fraction of the ordinary tokens to score, in (0, 1]; the strategy reads it as a probability or a
            budget.
        mask_token_prob: fraction of scored positions that hold the mask token, in [0, 1].
        random_token_prob: fraction that hold a random token, in [0, 1]; the rest keep their own.
        strategy: selects the scored positions.
    """

    mask_id: int
    is_ordinary: BoolArray
    mask_prob: float = 0.15
    mask_token_prob: float = 0.8
    random_token_prob: float = 0.1
    strategy: MaskingStrategy = field(default_factory=TokenMasking)

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
    input_ids: IntArray,
    is_token: BoolArray,
    example_ids: IntArray,
    masking: Masking,
    seed: int,
    epoch: int | IntArray,
    word_starts: BoolArray | None = None,
    rate: FloatArray | None = None,
) -> tuple[IntArray, IntArray]:
    """Masks a batch of sequences.

    Args:
        input_ids: shape (B, T).
        is_token: False on padding, shape (B, T).
        example_ids: unique within the data set, shape (B,), each >= 0.
        masking: strategy, probabilities and vocabulary.
        seed: any integer; different seeds give independent masks.
        epoch: >= 0, one for all sequences or one each, shape (B,); evaluation uses 0, so its masks are fixed.
        word_starts: True at the first token of each word and at and after special tokens, shape (B, T); by default
            everywhere.
        rate: replaces `masking.mask_prob` for each sequence, shape (B,).

    Returns:
        The masked ids and the labels, both of shape (B, T); a label is the original id where a position is scored and
        `IGNORE_INDEX` elsewhere.

    Examples:
        >>> masking = Masking(4, is_ordinary=np.arange(10) > 4, mask_prob=0.5, mask_token_prob=1, random_token_prob=0)
        >>> ids = np.array([[2, 5, 6, 7, 8, 3]])
        >>> mask_tokens(ids, ids > 0, np.array([0]), masking, seed=0, epoch=0)
        (array([[2, 4, 6, 7, 8, 3]]), array([[-100,    5, -100, -100, -100, -100]]))
    """
    rate = np.full(len(input_ids), masking.mask_prob) if rate is None else rate
    starts = np.ones_like(is_token) if word_starts is None else word_starts.copy()
    starts[:, :1] = True  # a block may begin inside a word
    maskable = is_token & masking.is_ordinary[np.where(is_token, input_ids, masking.mask_id)]
    scored = maskable & masking.strategy.choose(input_ids, maskable, starts, example_ids, seed, epoch, rate)
    masked_ids = np.where(scored, masking.mask_id, input_ids)
    if masking.mask_token_prob < 1:
        _replace_others(masked_ids, input_ids, scored, starts, masking, hash_examples(seed, epoch, example_ids))
    return masked_ids, np.where(scored, input_ids, IGNORE_INDEX)


def _replace_others(
    masked_ids: IntArray, input_ids: IntArray, scored: BoolArray, starts: BoolArray, masking: Masking, keys: UInt64Array
) -> None:
    """Replaces some of the mask tokens by random tokens or by the original ones."""
    rows, columns = np.nonzero(scored)
    unit = masking.strategy.replace_per
    decisive = columns if unit == "token" else _find_deciders(unit, starts, scored)[rows, columns]
    action = draw_uniform(keys[rows], decisive, REPLACE)
    is_other = action >= masking.mask_token_prob
    rows, columns, action = rows[is_other], columns[is_other], action[is_other]
    draws = (draw_uniform(keys[rows], columns, DRAW) * len(masking.ordinary_ids)).astype(np.int64)
    is_random = action < masking.mask_token_prob + masking.random_token_prob
    masked_ids[rows, columns] = np.where(is_random, masking.ordinary_ids[draws], input_ids[rows, columns])


def _find_deciders(replace_per: Unit, word_starts: BoolArray, scored: BoolArray) -> IntArray:
    """Returns the position whose random number decides the replacement: the first of the word or span."""
    if replace_per == "word":
        return find_firsts(word_starts)
    begins = scored.copy()
    begins[:, 1:] &= ~scored[:, :-1]
    return find_firsts(begins)


def fingerprint_masks(batches: Iterable[tuple[IntArray, IntArray, BoolArray]]) -> str:
    """Returns the SHA-256 (hex) of masked ids, labels and token masks, shape (B, T) each, however they are batched."""
    digest = hashlib.sha256()
    for masked_ids, labels, is_token in batches:
        digest.update(np.stack([masked_ids[is_token], labels[is_token]], axis=1).astype("<i8").tobytes())
    return digest.hexdigest()
