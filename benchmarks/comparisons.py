"""How often `python -m lit_mlm compare` is wrong: simulated evaluations of two models whose difference is known.

    python -m benchmarks.comparisons

Prints, for each kind of evaluation, how often equal models get p <= 0.05, and how often the 95 % interval of models
that differ contains their difference, beside the percentiles of the bootstrap (units resampled, and with several seeds
these too).
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from lit_mlm.metrics.paired import METRICS, PairedMetric, compare_sides, randomise
from lit_mlm.text.arrays import FloatArray
from lit_mlm.text.tables import format_table

Draw = Callable[[np.random.Generator, int, int, float], tuple[FloatArray, FloatArray]]
"""Draws the sums of two models, shape (S, U, C) each, given U, S and the expected difference of their metric."""


NUM_DRAWN = 300
"""Resamples of a bootstrap."""


def draw_entities(
    rng: np.random.Generator,
    num_units: int,
    num_seeds: int,
    difference: float,
    quality: float = 0.85,
    correlation: float = 0.2,
    num_sentences: int = 1,
    seed_deviation: float = 0.0,
) -> tuple[FloatArray, FloatArray]:
    """Correct, predicted and gold entities of two models with F1 `quality` and `quality` + `difference`.

    A sentence has 1.5 entities on average. How easy a unit is has a Beta distribution and is the same for both models.
    Of the entities that are not correct half have a wrong boundary, half are missed, and half as many are spurious. The
    share of errors of a seed has a log-normal distribution.
    """
    size = (1 - correlation) / correlation
    easy = rng.beta(quality * size, (1 - quality) * size, num_units)
    gold = rng.poisson(1.5 * num_sentences, num_units)
    sides = []
    for gain in (0.0, difference):
        seeds = np.exp(seed_deviation * rng.normal(size=(num_seeds, 1)) - seed_deviation**2 / 2)
        wrong = np.minimum((1 - easy) * (1 - gain / (1 - quality)) * seeds, 1.0)
        correct = rng.binomial(gold, 1 - wrong)
        predicted = correct + rng.binomial(gold - correct, 0.5) + rng.poisson(0.75 * num_sentences * wrong)
        sides.append(np.stack([correct, predicted, np.broadcast_to(gold, correct.shape)], axis=-1).astype(np.float64))
    return sides[0], sides[1]


def draw_nats(
    rng: np.random.Generator,
    num_units: int,
    num_seeds: int,
    difference: float,
    size_deviation: float = 0.7,
    unit_deviation: float = 0.2,
    seed_deviation: float = 0.0,
    noise: float = 0.1,
) -> tuple[FloatArray, FloatArray]:
    """Nats and scored tokens of documents with log-normal lengths, of two models whose losses differ.

    Args:
        rng: source of randomness.
        num_units: U.
        num_seeds: S.
        difference: of the losses, second - first.
        size_deviation: of the logarithm of a document's tokens.
        unit_deviation: of the difference of two models over documents.
        seed_deviation: of the loss over seeds.
        noise: deviation over seeds and documents.
    """
    tokens = np.maximum(1, rng.lognormal(3, size_deviation, num_units).round())
    level, change = rng.normal(2.5, 0.5, num_units), difference + unit_deviation * rng.normal(size=num_units)
    sides = []
    for sign in (-0.5, 0.5):
        losses = level + sign * change + seed_deviation * rng.normal(size=(num_seeds, 1))
        losses = losses + noise * rng.normal(size=(num_seeds, num_units))
        sides.append(np.stack([losses * tokens, np.broadcast_to(tokens, losses.shape)], axis=-1))
    return sides[0], sides[1]


def find_percentiles(sides: Sequence[FloatArray], metric: PairedMetric, rng: np.random.Generator) -> FloatArray:
    """The percentiles of the difference over resampled units and seeds, the usual (hierarchical) bootstrap."""
    num_units, found = sides[0].shape[1], []
    counts = rng.multinomial(num_units, np.full(num_units, 1 / num_units), NUM_DRAWN).astype(np.float64)
    for side in sides:
        scores = metric.compute(counts @ side)  # (S, R)
        found.append(np.take_along_axis(scores, rng.integers(0, len(side), scores.shape), axis=0).mean(axis=0))
    percentiles: FloatArray = np.quantile(found[1] - found[0], [0.025, 0.975])
    return percentiles


def measure_errors(
    draw: Draw, metric: PairedMetric, num_units: int, num_seeds: int, num_texts: int, num_resamples: int = 499
) -> float:
    """How often equal models get p <= 0.05, in [0, 1]."""
    rng, num_wrong = np.random.default_rng(num_units), 0
    for seed in range(num_texts):
        sides = draw(rng, num_units, num_seeds, 0.0)
        if num_seeds == 1:
            p = randomise(sides[0][0], sides[1][0], metric, num_resamples, seed)
        else:
            p = compare_sides(*sides, metric, NUM_DRAWN, seed).p
        num_wrong += p <= 0.05
    return num_wrong / num_texts


def measure_coverage(
    draw: Draw, metric: PairedMetric, num_units: int, num_seeds: int, difference: float, num_texts: int
) -> tuple[float, float]:
    """How often the 95 % interval, and the percentiles, contain the difference, in [0, 1]."""
    rng, hits = np.random.default_rng(num_units), np.zeros(2)
    for seed in range(num_texts):
        sides = draw(rng, num_units, num_seeds, difference)
        test = compare_sides(*sides, metric, NUM_DRAWN, seed)
        low, high = find_percentiles(sides, metric, rng)
        hits += test.low <= difference <= test.high, low <= difference <= high
    ours, percentiles = (hits / num_texts).tolist()
    return ours, percentiles


def list_rows(num_texts: int) -> Iterator[list[str]]:
    """Yields a row for each kind of evaluation."""
    documents = partial(draw_entities, quality=0.9, num_sentences=10)
    cases: list[tuple[str, Draw, str, float, tuple[int, ...], int]] = [
        ("F1 0.85, sentences", draw_entities, "f1", 0.03, (20, 200, 1000), 1),
        ("F1 0.95, sentences", partial(draw_entities, quality=0.95), "f1", 0.02, (50, 200), 1),
        ("F1 0.9, documents of 10 sentences", documents, "f1", 0.02, (20, 50), 1),
        ("nats, documents", draw_nats, "loss", -0.1, (20, 50, 200), 1),
        ("nats, documents of very unequal length", partial(draw_nats, size_deviation=1.2), "loss", -0.1, (20, 200), 1),
    ]
    for num_seeds in (2, 3, 5):
        entities = partial(documents, seed_deviation=0.1)
        cases.append(("F1 0.9, documents, seeds vary by 0.01", entities, "f1", 0.02, (50,), num_seeds))
        for deviation in (0.02, 0.1):
            seeds = partial(draw_nats, seed_deviation=deviation)
            cases.append((f"nats, seeds vary by {deviation}", seeds, "loss", -0.1, (50,), num_seeds))
    for name, draw, metric, difference, sizes, num_seeds in cases:
        for size in sizes:
            options = METRICS[metric], size, num_seeds
            error = measure_errors(draw, *options, num_texts)
            ours, percentiles = measure_coverage(draw, *options, difference, num_texts)
            yield [name, f"{size:,}", str(num_seeds), f"{error:.1%}", f"{ours:.1%}", f"{percentiles:.1%}"]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num_texts", type=int, default=2000, help="simulated evaluations of each kind")
    args = parser.parse_args()
    head = ["evaluation", "units", "seeds", "p <= 0.05", "in our interval", "in percentiles"]
    rows = []
    for row in list_rows(args.num_texts):
        print(*row, file=sys.stderr, flush=True)
        rows.append(row)
    print("\n".join(format_table([head, *rows], "<>>>>>")))


if __name__ == "__main__":
    main()
