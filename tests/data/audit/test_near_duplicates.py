"""Near-duplicates, held against every pair of texts."""

import random
import re
from itertools import combinations

import numpy as np
import pytest

from lit_mlm.data.audit.near_duplicates import (
    MAX_COMPARED,
    choose_banding,
    hash_shingles,
    measure_similarity,
    propose_pairs,
)

WORDS = [f"{a}{b}{c}" for a in "btkl" for b in "aeiou" for c in "mnrst"]


def shingle_slowly(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"[^\W_]+", text.lower())
    return {tuple(words[i : i + 5]) for i in range(max(1, len(words) - 4))} if words else set()


def compare_slowly(texts: list[str]) -> dict[tuple[int, int], float]:
    sets = [shingle_slowly(text) for text in texts]
    return {(i, j): len(sets[i] & sets[j]) / len(sets[i] | sets[j]) for i, j in combinations(range(len(texts)), 2)}


def make_texts(num: int = 300, num_planted: int = 100) -> list[str]:
    """Random texts, and copies of some of them with one to eight words changed."""
    rng = random.Random(0)
    texts = [" ".join(rng.choices(WORDS, k=rng.randrange(40, 300))) for _ in range(num)]
    for _ in range(num_planted):
        words = rng.choice(texts).split()
        for _ in range(rng.randrange(1, 9)):
            words[rng.randrange(len(words))] = rng.choice(WORDS)
        texts.append(" ".join(words))
    return texts


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.9])
def test_recall_against_every_pair(threshold: float) -> None:
    texts = make_texts()
    truth = {pair: similarity for pair, similarity in compare_slowly(texts).items() if similarity >= threshold}
    shingles = [hash_shingles(text) for text in texts]
    banding = choose_banding(threshold)
    bands = np.stack([banding.hash_bands(s) for s in shingles])
    proposed = propose_pairs(list(bands.T))
    found = {(i, j): measure_similarity(shingles[i], shingles[j]) for i, j in proposed.tolist()}
    confirmed = {pair for pair, similarity in found.items() if similarity >= threshold}
    assert len(truth) > 10
    assert confirmed <= set(truth)
    assert len(confirmed) >= 0.99 * len(truth)
    assert all(found[pair] == pytest.approx(truth[pair], abs=1e-12) for pair in confirmed)
    assert len(proposed) < 0.02 * len(texts) ** 2 / 2


def test_chance_to_share_a_hash_is_the_similarity() -> None:
    first = hash_shingles(" ".join(f"a{i}" for i in range(604)))
    second = hash_shingles(" ".join(f"a{i}" for i in range(200, 804)))
    banding = choose_banding(0.01, num_hashes=4000)
    assert banding.num_rows == 1
    shared = np.mean(banding.hash_bands(first) == banding.hash_bands(second))
    assert measure_similarity(first, second) == pytest.approx(0.5, abs=1e-12)
    assert shared == pytest.approx(0.5, abs=0.03)  # four deviations


@pytest.mark.parametrize(("threshold", "rows"), [(0.3, 2), (0.5, 3), (0.8, 6), (0.95, 16), (1.0, 128)])
def test_banding_reaches_its_recall_with_the_most_rows(threshold: float, rows: int) -> None:
    banding = choose_banding(threshold)
    assert banding.num_rows == rows
    assert banding.num_bands * rows <= 128
    assert banding.compute_recall(threshold) >= 0.99


def test_words_of_shingles() -> None:
    def is_same(first: str, second: str) -> bool:
        return np.array_equal(hash_shingles(first), hash_shingles(second))

    assert is_same("One two, three\nFOUR - five six.", "one two three four five six")
    assert not is_same("one two three", "one two three four")
    assert not is_same("one two three four five", "two one three four five")
    assert len(hash_shingles("\u4eca\u5929\u5929\u6c14\u5f88\u597d")) == 2  # six characters
    assert len(hash_shingles("one two")) == 1
    assert len(hash_shingles("... !")) == 0
    assert measure_similarity(hash_shingles(""), hash_shingles("...")) == 0


def test_hashes_are_the_same_everywhere() -> None:
    assert hash_shingles("one two three four five").tolist() == [6226707165997093668]
    bands = choose_banding(0.8).hash_bands(hash_shingles("one two three four five six"))
    assert bands[:2].tolist() == [15202153492270091249, 489355786179890899]


def test_bands_that_many_share_propose_linearly_many() -> None:
    num = 1000
    pairs = propose_pairs([np.zeros(num, dtype=np.uint64)])
    assert len(pairs) <= 2 * MAX_COMPARED * num
    assert set(pairs[:, 1].tolist()) == set(range(1, num))  # each with an earlier one
    assert (pairs[:, 0] < pairs[:, 1]).all()
    few = propose_pairs([np.array([7, 3, 7, 7, 3], dtype=np.uint64)] * 2)
    assert few.tolist() == [[0, 2], [0, 3], [1, 4], [2, 3]]
    assert propose_pairs([]).shape == propose_pairs([np.zeros(0, dtype=np.uint64)]).shape == (0, 2)
