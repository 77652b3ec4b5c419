"""Masks: statistics, independence of batching, and a reference in plain Python integers."""

from typing import Any

import numpy as np
import pytest

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.text.arrays import BoolArray, IntArray
from lit_mlm.text.masking.masking import Masking, fingerprint_masks, mask_tokens

VOCAB_SIZE, NUM_SPECIAL, MASK_ID = 1000, 5, 4


def make_masking(**options: Any) -> Masking:
    is_ordinary = np.arange(VOCAB_SIZE) >= NUM_SPECIAL
    return Masking(MASK_ID, is_ordinary, **options)


def make_batch(num: int = 800, length: int = 128) -> tuple[IntArray, BoolArray, IntArray]:
    rng = np.random.default_rng(0)
    ids = rng.integers(NUM_SPECIAL, VOCAB_SIZE, (num, length))
    return ids, np.ones(ids.shape, dtype=bool), np.arange(num)


def hash_reference(seed: int, epoch: int, example: int, position: int, purpose: int) -> float:
    """The number in [0, 1) at a position, in Python integers."""
    bits = 2**64 - 1

    def mix(x: int) -> int:
        z = (x + 0x9E3779B97F4A7C15) & bits
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & bits
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & bits
        return z ^ (z >> 31)

    key = mix(mix(mix(mix(seed & bits) ^ epoch) ^ example) ^ position)
    return (mix(key ^ purpose) >> 11) * 2.0**-53


def test_equal_to_reference() -> None:
    ids, is_token, examples = make_batch(5, 40)
    masked, labels = mask_tokens(ids, is_token, examples + 7, make_masking(), seed=-3, epoch=2)
    for row in range(5):
        for column in range(40):
            select, action, draw = (hash_reference(-3, 2, row + 7, column, purpose) for purpose in (1, 2, 3))
            original, expected = int(ids[row, column]), int(ids[row, column])
            if select < 0.15 and action < 0.8:
                expected = MASK_ID
            elif select < 0.15 and action < 0.9:
                expected = NUM_SPECIAL + int(draw * (VOCAB_SIZE - NUM_SPECIAL))
            assert masked[row, column] == expected
            assert labels[row, column] == (original if select < 0.15 else IGNORE_INDEX)


def test_statistics_on_100_000_tokens() -> None:
    """Shares lie within five standard deviations of what was asked for."""
    ids, is_token, examples = make_batch()
    masked, labels = mask_tokens(ids, is_token, examples, make_masking(), seed=1, epoch=0)
    scored = labels != IGNORE_INDEX
    num = scored.sum()

    def assert_share(found: float, prob: float, count: float) -> None:
        assert abs(found - prob) < 5 * (prob * (1 - prob) / count) ** 0.5

    assert_share(scored.mean(), 0.15, ids.size)
    assert_share((masked[scored] == MASK_ID).mean(), 0.8, num)
    replaced = scored & (masked != MASK_ID) & (masked != ids)
    assert_share(replaced.sum() / num, 0.1 * (1 - 1 / (VOCAB_SIZE - NUM_SPECIAL)), num)
    assert_share((masked[scored] == ids[scored]).mean(), 0.1, num)
    assert np.array_equal(masked[~scored], ids[~scored])
    assert np.array_equal(labels[scored], ids[scored])
    # Random tokens: uniform over the vocabulary without special tokens (chi-square over 10 bins, 9 degrees, p = 1e-5).
    bins = np.bincount((masked[replaced] - NUM_SPECIAL) * 10 // (VOCAB_SIZE - NUM_SPECIAL), minlength=10)
    assert masked[replaced].min() >= NUM_SPECIAL
    assert ((bins - bins.mean()) ** 2 / bins.mean()).sum() < 39.4
    # Neighbours in position, example and epoch are independent.
    for a, b in ((scored[:, 1:], scored[:, :-1]), (scored[1:], scored[:-1])):
        assert_share((a & b).mean(), 0.15**2, a.size)
    other = mask_tokens(ids, is_token, examples, make_masking(), seed=1, epoch=1)[1] != IGNORE_INDEX
    assert_share((scored & other).mean(), 0.15**2, ids.size)


@pytest.mark.parametrize("shares", [(1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (0.5, 0.5)])
def test_options(shares: tuple[float, float]) -> None:
    ids, is_token, examples = make_batch()
    masking = make_masking(mask_prob=0.4, mask_token_prob=shares[0], random_token_prob=shares[1])
    masked, labels = mask_tokens(ids, is_token, examples, masking, seed=1, epoch=0)
    scored = labels != IGNORE_INDEX
    assert abs(scored.mean() - 0.4) < 0.01
    assert abs((masked[scored] == MASK_ID).mean() - shares[0]) < 0.015
    assert abs((masked[scored] == ids[scored]).mean() - (1 - sum(shares))) < 0.015


def test_special_tokens_and_padding_are_never_masked() -> None:
    ids, is_token, examples = make_batch()
    ids[:, ::3] = 2
    is_token[:, 100:] = False
    masked, labels = mask_tokens(ids, is_token, examples, make_masking(mask_prob=1.0), seed=1, epoch=0)
    never = (ids < NUM_SPECIAL) | ~is_token
    assert (labels[never] == IGNORE_INDEX).all()
    assert np.array_equal(masked[never], ids[never])
    assert (labels[~never] == ids[~never]).all()


def test_independent_of_batching_and_order() -> None:
    ids, is_token, examples = make_batch(60, 32)
    whole = np.stack(mask_tokens(ids, is_token, examples, make_masking(), seed=9, epoch=3), axis=-1)
    order = np.random.default_rng(1).permutation(60)
    for size in (1, 7, 60):
        parts = [order[i : i + size] for i in range(0, 60, size)]
        masked = [mask_tokens(ids[p], is_token[p], examples[p], make_masking(), seed=9, epoch=3) for p in parts]
        assert np.array_equal(np.concatenate([np.stack(pair, axis=-1) for pair in masked]), whole[order])


def test_each_sequence_may_have_an_epoch_of_its_own() -> None:
    ids, is_token, examples = make_batch(num=40)
    epochs = np.arange(40) % 3
    mixed = np.stack(mask_tokens(ids, is_token, examples, make_masking(), seed=9, epoch=epochs))
    for epoch in range(3):
        whole = np.stack(mask_tokens(ids, is_token, examples, make_masking(), seed=9, epoch=epoch))
        np.testing.assert_array_equal(mixed[:, epochs == epoch], whole[:, epochs == epoch])


def test_seed_and_epoch_change_masks() -> None:
    ids, is_token, examples = make_batch(10)
    masks = {
        mask_tokens(ids, is_token, examples, make_masking(), seed, epoch)[1].tobytes()
        for seed in (0, 1, -1, 2**40)
        for epoch in (0, 1)
    }
    assert len(masks) == 8


def test_fingerprint_is_independent_of_batches_and_padding() -> None:
    ids, is_token, examples = make_batch(20, 16)
    is_token[3:, 10:] = False
    one = [(*mask_tokens(ids, is_token, examples, make_masking(), 1, 0), is_token)]
    rows = [slice(0, 3), slice(3, 20)]
    two = [
        (*mask_tokens(ids[r, :w], is_token[r, :w], examples[r], make_masking(), 1, 0), is_token[r, :w])
        for r, w in zip(rows, (16, 10), strict=True)
    ]
    assert fingerprint_masks(one) == fingerprint_masks(two)
    assert fingerprint_masks(one) != fingerprint_masks(two[:1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask_prob": 0.0}, "mask_prob must be above 0 and at most 1, got 0.0"),
        ({"mask_prob": 1.1}, "got 1.1"),
        ({"mask_token_prob": 0.8, "random_token_prob": 0.3}, "exceed 1 together, got 0.8 and 0.3"),
        ({"mask_token_prob": -0.1}, "must not be negative"),
    ],
)
def test_impossible_probabilities_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_masking(**options)
