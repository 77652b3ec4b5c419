"""Texts that stand twice, within a split and in two splits: the same text, and nearly the same."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from lit_mlm.data.audit.near_duplicates import (
    HashArray,
    choose_banding,
    hash_shingles,
    measure_similarity,
    propose_pairs,
)
from lit_mlm.text.blocks import IntArray


@dataclass(frozen=True)
class Pair:
    """Two texts.

    Attributes:
        first: the number of one in its split, from 0.
        second: of the other; the later one, if both are of one split.
        similarity: Jaccard similarity of their shingles; 1 of the same text.
    """

    first: int
    second: int
    similarity: float


@dataclass(frozen=True)
class Overlap:
    """How many texts of a split stand in another, or stand earlier in the same one.

    Attributes:
        first: the split that is looked in.
        second: the split whose texts are counted; the same one for repetitions within it.
        num_exact: texts that are there as they are, but for white space.
        num_near: others that are there nearly as they are.
        exact: examples of these pairs, in the order of the second split.
        near: examples, the most similar ones first.
    """

    first: str
    second: str
    num_exact: int
    num_near: int
    exact: list[Pair]
    near: list[Pair]


class DuplicateFinder:
    """Takes texts one by one, and keeps their hashes alone: 8 bytes and 8 for each band (21 bands at 0.8) a text.

    The same text means the same 64-bit hash: of ten million texts some pair is mistaken for one text with a
    probability of 3e-6. Near-duplicates are as likely missed as `choose_banding` says, and never wrongly found, since
    each proposed pair is compared.

    Args:
        threshold: least Jaccard similarity of near-duplicates' shingles, above 0 and at most 1.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._banding = choose_banding(threshold)
        self._hashes: dict[str, bytearray] = {}
        self._bands: list[HashArray] = []
        self._has_words = bytearray()

    def add(self, split: str, texts: Sequence[str]) -> None:
        """Takes the next texts of a split; those of one split come one after the other."""
        rows = np.zeros((len(texts), self._banding.num_bands), dtype=np.uint64)
        for row, text in zip(rows, texts, strict=True):
            content = " ".join(text.split()).encode("utf-8", "surrogatepass")
            self._hashes.setdefault(split, bytearray()).extend(hashlib.blake2b(content, digest_size=8).digest())
            shingles = hash_shingles(text)
            self._has_words.append(len(shingles) > 0)
            if len(shingles):
                row[:] = self._banding.hash_bands(shingles)
        self._bands.append(rows)

    def find(self, get_text: Callable[[str, int], str], num_examples: int) -> list[Overlap]:
        """Finds duplicates within each split and then between each two, in the order in which they were added.

        Args:
            get_text: the text of a split with a number, for comparison.
            num_examples: of each kind, at least 0.
        """
        parts = [np.frombuffer(hashes, dtype=np.uint64) for hashes in self._hashes.values()]
        _, firsts, unique = np.unique(np.concatenate(parts), return_index=True, return_inverse=True)
        ends = np.cumsum([len(part) for part in parts])
        starts = ends - [len(part) for part in parts]
        names = list(self._hashes)

        @lru_cache(maxsize=1024)
        def read(text: int) -> HashArray:
            place = int(np.searchsorted(ends, firsts[text], side="right"))
            return hash_shingles(get_text(names[place], int(firsts[text] - starts[place])))

        proposed = self._propose(firsts)
        similarities = np.array([measure_similarity(read(a), read(b)) for a, b in proposed.tolist()])
        is_near = similarities >= self._threshold
        near = _NearPairs(proposed[is_near, 0], proposed[is_near, 1], similarities[is_near])
        texts = {name: unique[start:end] for name, start, end in zip(names, starts, ends, strict=True)}
        members = {name: _Members.of(numbers, len(firsts)) for name, numbers in texts.items()}
        couples = [(name, name) for name in names]
        couples += [(first, second) for i, first in enumerate(names) for second in names[i + 1 :]]
        return [
            _find_within(name, members[name], texts[name], near, num_examples)
            if name == other
            else _find_across((name, other), (members[name], members[other]), texts[other], near, num_examples)
            for name, other in couples
        ]

    def _propose(self, firsts: IntArray) -> IntArray:
        """Pairs of distinct texts that may be near-duplicates, each by its number among these, shape (P, 2)."""
        has_words = np.frombuffer(self._has_words, dtype=np.uint8)[firsts] > 0
        order = np.argsort(firsts)  # pairs are proposed among neighbours, which are to be of one split
        order = order[has_words[order]]
        bands = np.concatenate(self._bands)[firsts[order]]
        return order[propose_pairs(list(bands.T))]


@dataclass(frozen=True)
class _NearPairs:
    """Pairs of distinct texts by their numbers among all distinct ones, shape (P,) each."""

    one: IntArray
    other: IntArray
    similarities: npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Members:
    """The distinct texts of a split.

    Attributes:
        first: index of the first occurrence of each distinct text in this split, -1 if there is none, shape (U,).
        counts: how often, shape (U,).
    """

    first: IntArray
    counts: IntArray

    @classmethod
    def of(cls, texts: IntArray, num_distinct: int) -> "_Members":
        first = np.full(num_distinct, -1)
        first[texts[::-1]] = np.arange(len(texts))[::-1]
        return cls(first, np.bincount(texts, minlength=num_distinct))


def _find_within(name: str, split: _Members, texts: IntArray, near: _NearPairs, num_examples: int) -> Overlap:
    repeated = np.flatnonzero(split.first[texts] < np.arange(len(texts)))
    exact = [Pair(int(split.first[texts[i]]), int(i), 1.0) for i in repeated[:num_examples]]
    places = np.stack([split.first[near.one], split.first[near.other]])
    is_here = (places >= 0).all(axis=0)
    earlier, later = np.sort(places[:, is_here], axis=0)
    pairs = _choose_best(earlier, later, near.similarities[is_here])
    return Overlap(name, name, len(repeated), len(pairs), exact, pairs[:num_examples])


def _find_across(
    names: tuple[str, str], splits: tuple[_Members, _Members], texts: IntArray, near: _NearPairs, num_examples: int
) -> Overlap:
    first, second = splits
    shared = np.flatnonzero(first.counts[texts] > 0)
    exact = [Pair(int(first.first[texts[i]]), int(i), 1.0) for i in shared[:num_examples]]
    sources, targets = np.append(near.one, near.other), np.append(near.other, near.one)
    # A text that is in the first split as it is counts as exact alone.
    is_here = (first.counts[sources] > 0) & (second.counts[targets] > 0) & (first.counts[targets] == 0)
    sources, targets = sources[is_here], targets[is_here]
    similarities = np.append(near.similarities, near.similarities)[is_here]
    pairs = _choose_best(first.first[sources], second.first[targets], similarities)
    num_near = int(second.counts[np.unique(targets)].sum())
    return Overlap(*names, len(shared), num_near, exact, pairs[:num_examples])


def _choose_best(firsts: IntArray, seconds: IntArray, similarities: npt.NDArray[np.float64]) -> list[Pair]:
    """For each second text its most similar first one; the most similar pairs stand first."""
    found: dict[int, Pair] = {}
    for i in np.lexsort((firsts, seconds, -similarities)).tolist():
        found.setdefault(int(seconds[i]), Pair(int(firsts[i]), int(seconds[i]), float(similarities[i])))
    return list(found.values())
