"""Paired comparisons against slow loops and scipy, and by simulation."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product

import numpy as np
import pytest
from scipy import stats

from benchmarks.comparisons import draw_entities, draw_nats, measure_coverage, measure_errors
from lit_mlm.metrics import paired
from lit_mlm.metrics.paired import METRICS, adjust_holm, compare_sides, randomise
from lit_mlm.text.arrays import FloatArray, IntArray


def draw(metric: str, num_units: int, num_seeds: int = 1, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """Two models that differ, as `METRICS` takes them."""
    rng = np.random.default_rng(seed)
    if metric in ("f1", "precision", "recall"):
        sides = draw_entities(rng, num_units, num_seeds, 0.04, num_sentences=3, seed_deviation=0.1)
        columns = [("correct", "predicted", "gold").index(name) for name in METRICS[metric].columns]
    else:
        sides, columns = draw_nats(rng, num_units, num_seeds, -0.1, seed_deviation=0.05), [0, 1]
    first, second = (side[..., columns] for side in sides)
    return first, second


@pytest.mark.parametrize("metric", ["f1", "precision", "recall", "loss", "perplexity"])
def test_randomisation_equals_all_assignments_and_scipy(metric: str) -> None:
    """Of 9 units all 512 assignments can be listed, by a slow loop and by scipy."""
    (first,), (second,) = draw(metric, 9)
    compute = METRICS[metric].compute
    observed = abs(compute(second.sum(axis=0)) - compute(first.sum(axis=0)))
    num_as_large = 0.0
    for swaps in product([False, True], repeat=9):
        sums = np.zeros((2, first.shape[1]))
        for swap, *rows in zip(swaps, first, second, strict=True):
            sums[0] += rows[swap]
            sums[1] += rows[not swap]
        num_as_large += float(abs(compute(sums[1]) - compute(sums[0])) >= observed - 1e-12)
    exact = num_as_large / 512
    both = np.concatenate([first, second])

    def measure(ours: IntArray, theirs: IntArray) -> float:
        return float(compute(both[theirs].sum(axis=0)) - compute(both[ours].sum(axis=0)))

    reference = stats.permutation_test(
        (np.arange(9), np.arange(9, 18)), measure, permutation_type="samples", vectorized=False, n_resamples=np.inf
    )
    assert exact == reference.pvalue
    assert 0.02 < exact < 0.9
    num = 40_000
    found = randomise(first, second, METRICS[metric], num, seed=1)
    assert found == pytest.approx((exact * num + 1) / (num + 1), abs=4 * math.sqrt(exact * (1 - exact) / num))


@pytest.mark.parametrize("metric", ["f1", "loss"])
def test_interval_has_the_standard_error_of_scipy_s_bootstrap(metric: str) -> None:
    first, second = draw(metric, 60)
    compute = METRICS[metric].compute

    def measure(indices: IntArray) -> float:
        return float(compute(second[0, indices].sum(axis=0)) - compute(first[0, indices].sum(axis=0)))

    reference = stats.bootstrap((np.arange(60),), measure, vectorized=False, n_resamples=3000, method="percentile")
    found = compare_sides(first, second, METRICS[metric])
    error = reference.standard_error * math.sqrt(60 / 59)
    assert found.value == pytest.approx(measure(np.arange(60)), rel=1e-9)
    assert (found.high - found.low) / 2 == pytest.approx(stats.t.ppf(0.975, 59) * error, rel=0.06)
    assert (found.low + found.high) / 2 == pytest.approx(found.value)
    assert found.p == randomise(first[0], second[0], METRICS[metric], 10_000, 42)


def estimate_slowly(sides: Sequence[FloatArray], compute: Callable[[FloatArray], FloatArray]) -> tuple[float, float]:
    """Standard error of the difference by the jackknife over units and by the seeds; degrees of freedom.

    What seeds get wrong on single units is in the variance over units and in that over seeds, so it is subtracted once.
    """
    num_units, parts = sides[0].shape[1], []
    middles = np.zeros(num_units)
    for sign, side in zip((-1, 1), sides, strict=True):
        left_out = [[np.delete(run, unit, axis=0).sum(axis=0) for unit in range(num_units)] for run in side]
        without, num = compute(np.array(left_out)), len(side)
        middles += sign * without.mean(axis=0)
        scores = [float(compute(run.sum(axis=0))) for run in side]
        parts.append((float(np.var(scores, ddof=1)) / num, num - 1, 1))
        of_both = sum(float(np.var(row)) for row in without - without.mean(axis=0)) * (num_units - 1)
        parts.append((of_both / (num - 1) / num, (num_units - 1) * (num - 1), -1))
    parts.append((float(np.var(middles)) * (num_units - 1), num_units - 1, 1))
    variance = max(sum(sign * part for part, _, sign in parts), parts[-1][0])
    return math.sqrt(variance), variance**2 / sum(part**2 / freedom for part, freedom, _ in parts)


@pytest.mark.parametrize("metric", ["f1", "perplexity"])
def test_several_seeds_equal_a_slow_computation(metric: str) -> None:
    """Student's with the jackknife's variances, which the bootstrap's approach, and those of the seeds."""
    first, second = draw(metric, 80, 3)
    second = np.concatenate([second, draw(metric, 80, 1, seed=0)[1]])  # 3 seeds against 4
    compute = METRICS[metric].compute
    means = [np.mean([compute(run.sum(axis=0)) for run in side]) for side in (first, second)]
    error, freedom = estimate_slowly((first, second), compute)
    found = compare_sides(first, second, METRICS[metric])
    assert found.value == pytest.approx(means[1] - means[0], rel=1e-12)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(found.value) / error, freedom), rel=0.1)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, freedom) * error, rel=0.03)


def test_seeds_that_agree_on_every_unit_leave_welch_s_test() -> None:
    """Without variance over units the seeds alone remain, as in scipy."""
    scores = [[2.0, 2.2, 2.1], [2.5, 2.3, 2.4, 2.8]]
    first, second = (np.array([[[score * 7, 7.0]] * 30 for score in side]) for side in scores)
    found, reference = (
        compare_sides(first, second, METRICS["loss"]),
        stats.ttest_ind(scores[1], scores[0], equal_var=False),
    )
    assert found.p == pytest.approx(reference.pvalue, rel=1e-6)
    assert (found.low, found.high) == pytest.approx(tuple(reference.confidence_interval()), rel=1e-6)


def test_equal_runs_do_not_differ() -> None:
    for num_seeds in (1, 3):
        side = draw("f1", 30)[0].repeat(num_seeds, axis=0)
        assert compare_sides(side, side, METRICS["f1"]) == pytest.approx((0, 0, 0, 1), abs=1e-12)
    first, second = draw("loss", 30)
    one, other = (compare_sides(*sides, METRICS["loss"]) for sides in ((first, second), (second, first)))
    assert (one.value, one.low, one.high, one.p) == pytest.approx((-other.value, -other.high, -other.low, other.p))


def test_all_right_differs_from_all_wrong() -> None:
    """Without variance over units the resamples decide: of 2^50 assignments two are as extreme."""
    counts = np.array([[[0.0, 0.0, 1.0]] * 50]), np.array([[[1.0, 1.0, 1.0]] * 50])
    found = compare_sides(*counts, METRICS["f1"], 999)
    assert found == pytest.approx((1, 1, 1, 1 / 1000), abs=1e-12)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer resamples at a time give the same interval."""
    first, second = draw("f1", 50)
    expected = compare_sides(first, second, METRICS["f1"], 1000)
    monkeypatch.setattr(paired, "CELLS", 120)
    found = compare_sides(first, second, METRICS["f1"], 1000)
    assert found[:3] == pytest.approx(expected[:3])
    assert found.p == pytest.approx(expected.p, abs=0.05)


def test_metrics_by_hand() -> None:
    sums = {"correct": 2, "predicted": 5, "gold": 3, "right": 8, "words": 10, "nats": 6, "scored": 4}
    sums |= {"tokens": 20, "bytes": 80}
    expected = {
        "f1": 0.5,
        "precision": 0.4,
        "recall": 2 / 3,
        "accuracy": 0.8,
        "loss": 1.5,
        "perplexity": math.exp(1.5),
        "top1_accuracy": 2,
        "bits_per_byte": 1.5 / math.log(2) / 4,
    }
    for name, metric in METRICS.items():
        totals = np.array([sums[column] for column in metric.columns], dtype=np.float64)
        assert float(metric.compute(totals)) == pytest.approx(expected[name])
        assert float(metric.compute(np.zeros(len(metric.columns)))) == (1 if name == "perplexity" else 0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.2], [0.2]), ([0.04, 0.01, 0.03, 0.5], [0.09, 0.04, 0.09, 0.5]), ([0.6, 0.7], [1, 1]), ([], [])],
)
def test_holm_by_hand(values: list[float], expected: list[float]) -> None:
    assert adjust_holm(values) == pytest.approx(expected)


def test_equal_models_are_rarely_told_apart() -> None:
    """At 5 %, in 1,000 evaluations; docs/results.md has more."""
    assert 0.04 <= measure_errors(draw_nats, METRICS["loss"], 50, 1, 1000) <= 0.06


def test_intervals_cover_where_percentiles_do_not() -> None:
    """Few units, and few seeds that vary much."""
    ours, _ = measure_coverage(draw_nats, METRICS["loss"], 40, 1, -0.1, 200)
    assert 0.92 <= ours <= 0.98
    varied = partial(draw_nats, seed_deviation=0.1)
    ours, percentiles = measure_coverage(varied, METRICS["loss"], 40, 3, -0.1, 200)
    assert percentiles < 0.9 < 0.93 <= ours
