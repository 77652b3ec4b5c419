"""Paired comparisons of runs that were scored on the same units: documents, sentences or texts.

Shapes: U units, S seeds, R resamples, C columns of sums, L labels of texts.
"""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

from lit_mlm.metrics.sums import TINY
from lit_mlm.text.arrays import FloatArray

CELLS = 2**20
"""Units x resamples that are in memory at once."""


class PairedMetric(NamedTuple):
    """A metric of totals.

    Attributes:
        columns: sums of each unit that it is computed from.
        compute: maps their totals, shape (..., C), to the metric, shape (...).
    """

    columns: tuple[str, ...]
    compute: Callable[[FloatArray], FloatArray]


def _divide(upper: FloatArray, lower: FloatArray) -> FloatArray:
    """Divides, where 0 / 0 is 0."""
    quotient: FloatArray = upper / np.maximum(lower, TINY)
    return quotient


METRICS = {
    "f1": PairedMetric(
        ("correct", "predicted", "gold"), lambda sums: _divide(2 * sums[..., 0], sums[..., 1] + sums[..., 2])
    ),
    "precision": PairedMetric(("correct", "predicted"), lambda sums: _divide(sums[..., 0], sums[..., 1])),
    "recall": PairedMetric(("correct", "gold"), lambda sums: _divide(sums[..., 0], sums[..., 1])),
    "accuracy": PairedMetric(("right", "words"), lambda sums: _divide(sums[..., 0], sums[..., 1])),
    "perplexity": PairedMetric(("nats", "scored"), lambda sums: np.exp(_divide(sums[..., 0], sums[..., 1]))),
    "loss": PairedMetric(("nats", "scored"), lambda sums: _divide(sums[..., 0], sums[..., 1])),
    "top1_accuracy": PairedMetric(("right", "scored"), lambda sums: _divide(sums[..., 0], sums[..., 1])),
    "bits_per_byte": PairedMetric(
        ("nats", "scored", "tokens", "bytes"),
        lambda sums: (
            _divide(sums[..., 0], sums[..., 1]) / math.log(2) * _divide(sums[..., 2], np.maximum(sums[..., 3], 1))
        ),
    ),
}
"""By name, as in ``metrics.json``; those of a task whose units have the columns."""

SIDES = ("correct", "predicted", "gold")
"""The columns of each label of texts, as in ``gold/pos``."""


def list_metrics(columns: Collection[str]) -> dict[str, PairedMetric]:
    """Returns the metrics of units that have certain columns, by name, that of the task first.

    Examples:
        >>> units = {"texts": [1, 1], "right": [1, 0]}
        >>> units |= {"correct/pos": [1, 0], "predicted/pos": [1, 1], "gold/pos": [1, 0]}
        >>> units |= {"correct/neg": [0, 0], "predicted/neg": [0, 0], "gold/neg": [0, 1]}
        >>> totals = {name: float(sum(values)) for name, values in units.items()}
        >>> for name, metric in list_metrics(units).items():
        ...     print(name, round(float(metric.compute(np.array([totals[column] for column in metric.columns]))), 4))
        accuracy 0.5
        f1_micro 0.5
        f1_macro 0.3333
    """
    by_label = tuple(name for side in SIDES for name in columns if name.startswith(f"{side}/"))
    share = METRICS["accuracy"].compute
    of_texts = {
        "accuracy": PairedMetric(("right", "texts"), share),
        "f1_micro": PairedMetric(by_label, lambda sums: METRICS["f1"].compute(_split(sums).sum(axis=-1))),
        "f1_macro": PairedMetric(by_label, _compute_f1_macro),
        "exact_match": PairedMetric(("exact", "texts"), share),
    }
    metrics = of_texts if by_label else METRICS
    return {name: metric for name, metric in metrics.items() if set(metric.columns) <= set(columns)}


def _split(sums: FloatArray) -> FloatArray:
    """Totals of labels by side, shape (..., 3, L), from those of shape (..., 3 L)."""
    return sums.reshape(*sums.shape[:-1], len(SIDES), -1)


def _compute_f1_macro(sums: FloatArray) -> FloatArray:
    """The mean over the labels in gold or prediction."""
    by_label = np.moveaxis(_split(sums), -2, -1)
    num_labels = (by_label[..., 1:].sum(axis=-1) > 0).sum(axis=-1)
    return _divide(METRICS["f1"].compute(by_label).sum(axis=-1), num_labels)


class Difference(NamedTuple):
    """The difference of two sides.

    Attributes:
        value: metric of the second side - metric of the first; of several seeds the difference of their means.
        low: lower end of its confidence interval.
        high: upper end.
        p: two-sided, of no difference, in [0, 1]; 0 only for seeds without any variance.
    """

    value: float
    low: float
    high: float
    p: float


def compare_sides(
    first: FloatArray,
    second: FloatArray,
    metric: PairedMetric,
    num_resamples: int = 10_000,
    seed: int = 42,
    confidence: float = 0.95,
) -> Difference:
    """Compares two runs, or two models that were trained with several seeds.

    The interval is Student's with the variance of a paired bootstrap over units (Efron and Tibshirani 1993, "An
    introduction to the bootstrap", chapters 6 and 12). Of two runs it is for the population of units, and p is that of
    `randomise`. Of several seeds it is for the populations of units and of seeds, which are crossed (Searle, Casella
    and McCulloch 1992, "Variance components", chapter 4): each side adds the variance of the mean of its seeds, less
    that of their errors on single units, which is in both. The degrees of freedom are Satterthwaite's (1946, "An
    approximate distribution of estimates of variance components", Biometrics Bulletin 2), and p is Student's.
    Percentiles of the bootstrap, with seeds resampled too, are too narrow for few units and seeds (docs/results.md).

    Args:
        first: sums of the units of each seed, shape (S, U, C), U at least 2; one seed, or at least two.
        second: those of the same units, whose number of seeds may differ unless it is one.
        metric: computed from the columns.
        num_resamples: R, of the bootstrap and of `randomise`.
        seed: of the resamples.
        confidence: probability that the interval contains the difference in the populations, in (0, 1).

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> words = rng.integers(5, 30, 200).astype(float)
        >>> runs = [np.stack([rng.binomial(words.astype(int), share), words], axis=-1)[None] for share in (0.8, 0.9)]
        >>> found = compare_sides(*runs, METRICS["accuracy"])
        >>> [round(value, 3) for value in found]
        [0.108, 0.091, 0.125, 0.0]
    """
    sides, num_units = (first, second), first.shape[1]
    scores = [np.array([metric.compute(run.sum(axis=0)) for run in side]) for side in sides]
    value = float(scores[1].mean() - scores[0].mean())
    resampled = _resample(sides, metric, num_resamples, seed)
    unbiased = num_units / (num_units - 1)
    of_units = unbiased * float(np.var(resampled[1].mean(axis=0) - resampled[0].mean(axis=0)))
    parts = [(of_units, num_units - 1)]
    variance, has_seeds = of_units, len(first) > 1
    if has_seeds:
        for found, score in zip(resampled, scores, strict=True):
            num_seeds, around = len(score), found - found.mean(axis=0)
            of_seeds = float(score.var(ddof=1)) / num_seeds
            of_both = unbiased * float(around.var(axis=1).sum()) / (num_seeds * (num_seeds - 1))
            parts += [(of_seeds, num_seeds - 1), (of_both, (num_seeds - 1) * (num_units - 1))]
            variance += of_seeds - of_both
    variance = max(variance, of_units)
    error = math.sqrt(variance)
    freedom = max(1.0, variance**2 / sum(part**2 / number for part, number in parts)) if error else 1.0
    margin = float(stdtrit(freedom, (1 + confidence) / 2)) * error
    if not has_seeds:
        p = randomise(first[0], second[0], metric, num_resamples, seed)
    elif error:
        p = 2 * float(stdtr(freedom, -abs(value) / error))
    else:
        p = float(value == 0)
    return Difference(value, value - margin, value + margin, p)


def randomise(first: FloatArray, second: FloatArray, metric: PairedMetric, num_resamples: int, seed: int) -> float:
    """Returns the p-value of approximate randomisation: how often a difference as large is random.

    Each resample exchanges the two runs' outputs of each unit with probability 1/2, and the metric is computed anew
    (Noreen 1989, "Computer-intensive methods for testing hypotheses", section 2.1; Yeh 2000, "More accurate tests for
    the statistical significance of result differences", COLING). The two runs are one of the possible assignments, so
    p is at least 1 / (R + 1).

    Args:
        first: sums of the units of a run, shape (U, C).
        second: sums of the same units of another run.
        metric: computed from the columns.
        num_resamples: R.
        seed: of the resamples.
    """
    totals = first.sum(axis=0), second.sum(axis=0)
    shift = (second - first)[(first != second).any(axis=1)]  # the other units do not matter
    observed = abs(float(metric.compute(totals[1]) - metric.compute(totals[0])))
    rng, num_as_large = np.random.default_rng(seed), 0
    for size in _iterate_sizes(num_resamples, len(shift)):
        moved = rng.integers(0, 2, (size, len(shift)), dtype=np.int8).astype(np.float64) @ shift
        found = np.abs(metric.compute(totals[1] - moved) - metric.compute(totals[0] + moved))
        num_as_large += int((found >= observed * (1 - 1e-9)).sum())
    return (num_as_large + 1) / (num_resamples + 1)


def adjust_holm(values: Sequence[float]) -> list[float]:
    """Returns p-values that are adjusted for their number.

    After Holm (1979, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6).

    Examples:
        >>> adjust_holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    adjusted, largest = [0.0] * len(values), 0.0
    for number, index in enumerate(sorted(range(len(values)), key=lambda index: values[index])):
        largest = max(largest, min(1.0, (len(values) - number) * values[index]))
        adjusted[index] = largest
    return adjusted


def _resample(
    sides: Sequence[FloatArray], metric: PairedMetric, num_resamples: int, seed: int
) -> tuple[FloatArray, FloatArray]:
    """The metric of each seed of two sides on units that are drawn with replacement, the same for all, shape (S, R)."""
    num_units, rng = sides[0].shape[1], np.random.default_rng(seed)
    found: tuple[list[FloatArray], list[FloatArray]] = ([], [])
    for size in _iterate_sizes(num_resamples, num_units):
        drawn = rng.integers(0, num_units, (size, num_units)) + num_units * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * num_units).reshape(size, num_units).astype(np.float64)
        for parts, side in zip(found, sides, strict=True):
            parts.append(metric.compute(counts @ side))
    return np.concatenate(found[0], axis=1), np.concatenate(found[1], axis=1)


def _iterate_sizes(num_resamples: int, num_units: int) -> Iterator[int]:
    """Yields how many resamples to draw at a time."""
    size = max(1, CELLS // max(num_units, 1))
    for start in range(0, num_resamples, size):
        yield min(size, num_resamples - start)
