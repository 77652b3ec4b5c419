"""Shares of sources, and the order that they make, against references that go through Python lists."""

from collections import Counter
from fractions import Fraction
from functools import partial

import numpy as np
import pytest

from lit_mlm.data.masked.mixture import Mixture, apportion, find_sources, mix_examples
from lit_mlm.errors import InputError
from lit_mlm.text.masking.counter_hash import ORDER, draw_uniform, hash_examples

SOURCES = np.array([0] * 7 + [1] * 20 + [2] * 3)
QUOTAS = [15, 5, 10]


def mix_slowly(sources: list[int], quotas: list[int], seed: int, epoch: int) -> list[tuple[int, int]]:
    """The slow reference: each source's whole sequence from the first pass on, of which the epoch takes its part."""

    def rate(number: int, example: int) -> float:
        return float(draw_uniform(hash_examples(seed, number, np.array([example])), np.zeros(1), ORDER)[0])

    taken = []
    for source, quota in enumerate(quotas):
        examples = [i for i, s in enumerate(sources) if s == source]
        sequence: list[tuple[int, int]] = []
        while len(sequence) < (epoch + 1) * quota:
            number = len(sequence) // len(examples)
            sequence += [(example, number) for example in sorted(examples, key=partial(rate, number))]
        taken += sequence[epoch * quota : (epoch + 1) * quota]
    return [taken[i] for i in np.random.default_rng((seed, epoch)).permutation(len(taken))]


@pytest.mark.parametrize("epoch", [0, 1, 6])
@pytest.mark.parametrize(
    ("sources", "quotas"),
    [
        (SOURCES, QUOTAS),
        (SOURCES, [28, 1, 1]),
        (SOURCES, [7, 20, 3]),
        (np.array([2, 0, 1, 2, 2, 0, 1]), [1, 3, 3]),
        (np.array([0]), [1]),
    ],
)
def test_order_is_that_of_the_slow_reference(sources: np.ndarray, quotas: list[int], epoch: int) -> None:
    examples, passes = mix_examples(sources, quotas, 5, epoch)
    expected = mix_slowly(sources.tolist(), quotas, 5, epoch)
    assert list(zip(examples.tolist(), passes.tolist(), strict=True)) == expected


def test_shares_are_exact_and_no_block_comes_again_before_the_others_of_its_source() -> None:
    seen: Counter[int] = Counter()
    for epoch in range(9):
        examples, passes = mix_examples(SOURCES, QUOTAS, 3, epoch)
        assert np.bincount(SOURCES[examples]).tolist() == QUOTAS
        # Within an epoch the passes of a source are mixed; each example comes once in each.
        for example, number in sorted(zip(examples.tolist(), passes.tolist(), strict=True), key=lambda pair: pair[1]):
            assert seen[example] == number
            seen[example] += 1
        for source in range(3):
            counts = [seen[i] for i in np.flatnonzero(source == SOURCES).tolist()]
            assert max(counts) - min(counts) <= 1
            assert sum(counts) == (epoch + 1) * QUOTAS[source]


def test_order_is_a_pure_function_of_seed_and_epoch() -> None:
    orders = {
        (seed, epoch): mix_examples(SOURCES, QUOTAS, seed, epoch)[0].tobytes() for seed in (1, 2) for epoch in (0, 1)
    }
    assert len(set(orders.values())) == 4
    assert mix_examples(SOURCES, QUOTAS, 2, 1)[0].tobytes() == orders[2, 1]


def test_passes_are_permutations_of_chance() -> None:
    """One example an epoch: over 2,000 passes each of 5 examples takes each place about as often."""
    sources = np.zeros(5, np.int64)
    sequence = np.array([mix_examples(sources, [1], 1, epoch)[0][0] for epoch in range(10_000)]).reshape(-1, 5)
    assert (np.sort(sequence, axis=1) == np.arange(5)).all()
    counts = np.array([np.bincount(sequence[:, place], minlength=5) for place in range(5)])
    assert (np.abs(counts - 400) < 5 * (2000 * 0.2 * 0.8) ** 0.5).all()


@pytest.mark.parametrize("total", [1, 7, 100, 2436])
@pytest.mark.parametrize("weights", [[3.0, 1.0], [1.0, 1.0, 1.0], [0.1, 0.2, 0.7], [1e308, 1e308, 1e-9], [5.0]])
def test_shares_are_those_of_the_largest_remainder(total: int, weights: list[float]) -> None:
    shares = apportion(total, weights)
    exact = [total * Fraction(weight) / sum(map(Fraction, weights)) for weight in weights]
    assert sum(shares) == total
    rounded_up = [share > e for share, e in zip(shares, exact, strict=True)]
    assert all(abs(share - e) < 1 for share, e in zip(shares, exact, strict=True))
    remainders = [e - int(e) for e in exact]
    ups = [r for r, up in zip(remainders, rounded_up, strict=True) if up]
    downs = [r for r, up in zip(remainders, rounded_up, strict=True) if not up]
    assert not ups or not downs or min(ups) >= max(downs)


def test_first_of_equal_remainders_is_rounded_up() -> None:
    assert apportion(7, [1.0, 1.0]) == [4, 3]
    assert apportion(100, [1.0, 1.0, 1.0]) == [34, 33, 33]


def test_description() -> None:
    mixture = Mixture({"reviews": 3.0, "news": 1.0, "speeches": 4.0}, np.repeat([0, 1, 2], [1000, 4000, 8]))
    assert str(mixture) == (
        "mixed: reviews 37.5% (1,000 blocks, 1.9 times per epoch), news 12.5% (4,000 blocks, 0.16 times per epoch), "
        "speeches 50.0% (8 blocks, 313 times per epoch)"
    )
    assert np.bincount(mixture.sources[mixture.draw_epoch(1, 2)[0]]).tolist() == mixture.quotas == [1878, 626, 2504]


def test_sources_without_examples_are_refused() -> None:
    with pytest.raises(InputError, match=r"data.sources.b has no block to train on"):
        Mixture({"a": 1.0, "b": 1.0}, np.zeros(4, np.int64))
    with pytest.raises(InputError, match=r"data.sources.b.weight 0.01 gives it none of the 10 blocks of an epoch"):
        Mixture({"a": 1.0, "b": 0.01}, np.repeat([0, 1], 5))


def test_source_of_each_block() -> None:
    lengths = np.array([4, 0, 3, 5, 1, 2])
    assert find_sources(np.array([0, 4, 5, 7, 12, 14]), lengths, [2, 0, 2, 2]).tolist() == [0, 2, 2, 2, 3, 3]
    assert find_sources(np.array([0, 14]), lengths, [6]).tolist() == [0, 0]
