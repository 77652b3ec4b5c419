"""Intervals cover the truth as often as they say, by simulation."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from lit_mlm.metrics.intervals import (
    estimate_f1_interval,
    estimate_macro_f1_interval,
    estimate_ratio_interval,
    estimate_share_interval,
    format_estimate,
)
from lit_mlm.metrics.sums import estimate_interval
from lit_mlm.text.arrays import IntArray


def draw_units(num_texts: int, num_units: int, num_sentences: int, quality: float, correlation: float) -> IntArray:
    """Counts of the units of several texts, shape (num_texts, num_units, 3), whose true F1 is the quality.

    A sentence has 1.5 entities on average. One is correct with a probability that is Beta-distributed over the units,
    with a mean and a correlation within units; half of the others have a wrong boundary, half are missed, and there are
    half as many spurious ones.
    """
    rng = np.random.default_rng(1)
    shape = num_texts, num_units, num_sentences
    right = np.full((num_texts, num_units, 1), quality)
    if correlation:
        size = (1 - correlation) / correlation
        right = rng.beta(quality * size, (1 - quality) * size, right.shape)
    gold = rng.poisson(1.5, shape)
    correct = rng.binomial(gold, np.broadcast_to(right, shape))
    predicted = correct + rng.binomial(gold - correct, 0.5) + rng.poisson(np.broadcast_to(0.75 * (1 - right), shape))
    counts: IntArray = np.stack([correct, predicted, gold], axis=-1).sum(axis=2)
    return counts


@pytest.mark.parametrize(
    ("num_units", "num_sentences", "quality", "correlation"),
    [
        *((num, 1, quality, 0) for num in (20, 50, 200, 1000) for quality in (0.5, 0.85, 0.95, 0.985, 0.995)),
        *((20, 15, quality, 0.2) for quality in (0.6, 0.9, 0.985)),
        *((50, 10, quality, 0.1) for quality in (0.6, 0.9, 0.985)),
        (200, 5, 0.95, 0.2),
    ],
)
def test_coverage_of_f1(num_units: int, num_sentences: int, quality: float, correlation: float) -> None:
    texts = draw_units(800, num_units, num_sentences, quality, correlation)
    intervals = np.array([estimate_f1_interval(units) for units in texts])
    assert (intervals[:, 0] < intervals[:, 1]).all()
    assert 0.93 <= ((intervals[:, 0] <= quality) & (quality <= intervals[:, 1])).mean() <= 0.98


def test_sentences_of_documents_are_no_units() -> None:
    """Where errors of a document go together, intervals over sentences are too narrow."""
    counts = draw_units(400, 20, 15, 0.9, 0.2)
    sentences = [np.array([split_evenly(unit, 15) for unit in units]).reshape(-1, 3) for units in counts]
    of_sentences, of_documents = (
        np.mean([low <= 0.9 <= high for low, high in map(estimate_f1_interval, units)]) for units in (sentences, counts)
    )
    assert of_sentences < 0.8 < 0.91 < of_documents


def split_evenly(counts: IntArray, num: int) -> IntArray:
    """Splits counts into a number of rows with the same sum."""
    return np.diff(np.arange(num + 1)[:, None] * counts // num, axis=0)


def test_independent_entities_have_wilson_s_interval() -> None:
    for right, num in ((900, 1000), (9990, 10_000), (500, 1000)):
        units = np.array([[1, 1, 1]] * right + [[0, 0, 1]] * (num - right))
        share = binomtest(right, num).proportion_ci(method="wilson")
        expected = [2 * end / (1 + end) for end in (share.low, share.high)]
        assert estimate_f1_interval(units) == pytest.approx(expected, abs=0.08 * (expected[1] - expected[0]))


def test_perfect_and_useless_results_have_a_width() -> None:
    for num, least in ((1, 0.0), (20, 0.85), (1000, 0.997)):
        low, high = estimate_f1_interval(np.array([[2, 2, 2]] * num))
        assert least < low < high == 1
        low, high = estimate_f1_interval(np.array([[0, 1, 2]] * num))
        assert 0 == low < high < (1 if num == 1 else 3 * (1 - least))
    assert estimate_f1_interval(np.zeros((0, 3), dtype=np.int64)) == (0, 0)
    assert estimate_f1_interval(np.zeros((5, 3), dtype=np.int64)) == (0, 0)


def test_order_and_empty_units_do_not_matter() -> None:
    units = draw_units(1, 200, 1, 0.8, 0)[0]
    low, high = estimate_f1_interval(units)
    assert estimate_f1_interval(units[::-1]) == (low, high)
    assert estimate_f1_interval(np.concatenate([units, np.zeros((50, 3), dtype=np.int64)])) == (low, high)
    narrow = estimate_f1_interval(units, confidence=0.5)
    assert low < narrow[0] < narrow[1] < high


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        ((0.83641, 0.82411, 0.84802), ("0.836", "0.824 to 0.848")),
        ((93.8712, 93.2, 94.6), ("93.87", "93.20 to 94.60")),
        ((4275.94, 3100.0, 5900.0), ("4,276", "3,100 to 5,900")),
        ((0.9, 0.1, 1.0), ("0.90", "0.10 to 1.00")),
        ((4275.94,), ("4,276", "")),
        ((0.0002224,), ("0.0002224", "")),
        ((-1.23456,), ("-1.235", "")),
        ((0.0,), ("0", "")),
        ((1.0, 1.0, 1.0), ("1.000", "")),
        ((2.0, None, 3.0), ("2.000", "")),
        ((2.0, 1.0, math.inf), ("2.000", "")),
        ((None,), ("not finite", "")),
        ((math.nan,), ("not finite", "")),
    ],
)
def test_estimates_have_the_digits_that_their_intervals_allow(
    estimate: tuple[float | None, ...], expected: tuple[str, str]
) -> None:
    assert format_estimate(*estimate) == expected


def test_share_has_wilson_s_interval() -> None:
    for right, number in ((0, 1), (3, 7), (950, 1000), (67_000, 67_000)):
        expected = binomtest(right, number).proportion_ci(method="wilson")
        assert estimate_share_interval(right, number) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("num_units", [20, 100, 1000])
def test_coverage_of_a_ratio(num_units: int) -> None:
    """Of nats per token, whose sentences have levels of their own."""
    rng = np.random.default_rng(2)
    sizes = rng.integers(3, 40, (800, num_units)).astype(float)
    sums = sizes * rng.normal(2.5, 0.5, sizes.shape) + np.sqrt(sizes) * rng.normal(0, 1.5, sizes.shape)
    intervals = np.array([estimate_ratio_interval(*units) for units in zip(sums, sizes, strict=True)])
    assert 0.92 <= ((intervals[:, 0] < 2.5) & (intervals[:, 1] > 2.5)).mean() <= 0.97


def test_ratio_of_equal_sizes_is_a_mean() -> None:
    values = np.array([1.0, 2.5, 3.0, 7.0])
    expected = [end / 4 for end in estimate_interval(values.tolist())]
    assert estimate_ratio_interval(values, np.full(4, 4.0)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("num_labels", "skew", "share", "num_texts"),
    [(2, 0, 0.8, 100), (2, 1, 0.95, 200), (4, 1, 0.9, 200), (20, 0, 0.7, 400)],
)
def test_the_interval_of_macro_f1_covers_it(num_labels: int, skew: int, share: float, num_texts: int) -> None:
    rng = np.random.default_rng(0)
    prior = 1 / np.arange(1, num_labels + 1) ** skew
    prior /= prior.sum()
    cells = prior[:, None] * prior * (1 - share) / (1 - prior[:, None])  # gold, found
    np.fill_diagonal(cells, prior * share)
    truth = float((2 * np.diag(cells) / (cells.sum(axis=0) + cells.sum(axis=1))).mean())
    names, num_covered = np.eye(num_labels, dtype=bool), 0
    for drawn in rng.choice(num_labels**2, (400, num_texts), p=cells.ravel()):
        low, high = estimate_macro_f1_interval(names[drawn % num_labels], names[drawn // num_labels])
        num_covered += low <= truth <= high
    assert 0.92 <= num_covered / 400 <= 0.99


def test_macro_f1_without_errors_or_texts_has_an_interval() -> None:
    gold = np.eye(2, dtype=bool)[[0, 1] * 50]
    low, high = estimate_macro_f1_interval(gold, gold)
    assert 0.95 < low < high == 1
    low, high = estimate_macro_f1_interval(~gold, gold)
    assert 0 == low < high < 0.05
    assert estimate_macro_f1_interval(gold[:0], gold[:0]) == (0.0, 0.0)
