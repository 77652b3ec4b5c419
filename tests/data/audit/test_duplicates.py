"""Texts that stand twice, held against every pair of documents."""

import random
from itertools import combinations

import pytest

from lit_mlm.data.audit.duplicates import DuplicateFinder, Overlap
from tests.data.audit.test_near_duplicates import make_texts, shingle_slowly


def find(splits: dict[str, list[str]], threshold: float = 0.8, num_examples: int = 3) -> dict[tuple[str, str], Overlap]:
    finder = DuplicateFinder(threshold)
    for split, texts in splits.items():
        for start in range(0, len(texts), 7):
            finder.add(split, texts[start : start + 7])
    found = finder.find(lambda split, number: splits[split][number], num_examples)
    return {(overlap.first, overlap.second): overlap for overlap in found}


def count_slowly(splits: dict[str, list[str]], first: str, second: str, threshold: float) -> tuple[int, int]:
    """Texts of the second split that stand in the first (earlier, if that is the same), exactly and else nearly."""
    sets = {text: shingle_slowly(text) for texts in splits.values() for text in texts}
    num_exact = num_near = 0
    for number, text in enumerate(splits[second]):
        others = splits[first][:number] if first == second else splits[first]
        if any(other.split() == text.split() for other in others):
            num_exact += 1
        else:
            a = sets[text]
            num_near += any(len(a & sets[other]) / max(1, len(a | sets[other])) >= threshold for other in others)
    return num_exact, num_near


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_counts_equal_those_of_every_pair(threshold: float) -> None:
    rng = random.Random(1)
    texts = make_texts(150, 80)
    texts += [text.replace(" ", "\n  ") for text in rng.sample(texts, 40)] + ["...", "..."]
    rng.shuffle(texts)
    splits = {"train": texts[:180], "val": texts[180:230], "test": texts[230:]}
    found = find(splits, threshold)
    names = list(splits)
    couples = [(name, name) for name in names] + list(combinations(names, 2))
    assert list(found) == couples
    counts = {pair: (overlap.num_exact, overlap.num_near) for pair, overlap in found.items()}
    assert counts == {pair: count_slowly(splits, *pair, threshold) for pair in couples}
    assert all(sum(counts[pair]) for pair in (("train", "train"), ("train", "val"), ("train", "test")))


def test_examples_are_named() -> None:
    long = " ".join(f"word{i}" for i in range(100))
    near, nearer = long.replace("word50", "other"), long.replace("word99", "other")
    splits = {"train": ["a b", "c", long, "a  b"], "val": ["d", near, "c\n", nearer, "c"]}
    found = find(splits)
    (repeated,) = found["train", "train"].exact
    assert (repeated.first, repeated.second, repeated.similarity) == (0, 3, 1.0)
    across = found["train", "val"]
    assert (across.num_exact, across.num_near) == (2, 2)
    assert [(pair.first, pair.second) for pair in across.exact] == [(1, 2), (1, 4)]
    assert [(pair.first, pair.second) for pair in across.near] == [(2, 3), (2, 1)]
    assert [pair.similarity for pair in across.near] == pytest.approx([95 / 97, 91 / 101])
    within = found["val", "val"]
    assert (within.num_exact, within.num_near, within.near[0].second) == (1, 1, 3)
    assert find(splits, num_examples=0)["train", "val"].exact == []


def test_without_any() -> None:
    (overlap,) = find({"train": ["one two", "three"]}).values()
    assert (overlap.num_exact, overlap.num_near) == (0, 0)
