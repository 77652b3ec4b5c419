"""Finds exact and near-duplicates within and across splits."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
import numpy.typing as npt

from lit_mlm.data.audit.near_duplicates import choose_banding, hash_shingles, measure_similarity, propose_pairs
from lit_mlm.text.arrays import IntArray, UInt64Array


@dataclass(frozen=True)
class Pair:
    """A pair of duplicates.

    Attributes:
        first: index of one text in its split.
        second: index of the other text; the higher one if both are in the same split.
        similarity: Jaccard similarity of their shingles; 1 for exact duplicates.
    """

    first: int
    second: int
    similarity: float


@dataclass(frozen=True)
class Overlap:
    """The texts of a split with duplicates in another split, or earlier in the same split.

    Attributes:
        first: the split that is searched.
        second: the split whose texts are counted; may be the same.
        num_exact: texts with an exact duplicate, up to white space.
        num_near: other texts with a near-duplicate.
        exact: examples of exact duplicates, in the order of the second split.
        near: examples of near-duplicates, by descending similarity.
    """

    first: str
    second: str
    num_exact: int
    num_near: int
    exact: list[Pair]
    near: list[Pair]


class DuplicateFinder:
    """Finds duplicates from hashes: 8 bytes per text and 8 per band (21 bands at 0.8).

    Exact duplicates have equal 64-bit hashes; any collision among ten million texts has probability 3e-6. The recall of
    near-duplicates is that of `choose_banding`; their precision is 1, since each candidate pair is compared.

    Args:
        threshold: minimum Jaccard similarity of the shingles of near-duplicates, above 0 and at most 1.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._banding = choose_banding(threshold)
        self._hashes: dict[str, bytearray] = {}
        self._bands: list[UInt64Array] = []
        self._has_words = bytearray()

    def add(self, split: str, texts: Sequence[str]) -> None:
        """Adds the next texts of a split; add all texts of a split before those of the next."""
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
        """Finds duplicates within each split, then across each pair of splits, in the order in which they were added.

        Args:
            get_text: returns a text by its split and index, for comparison.
            num_examples: maximum number of pairs to list, of each kind.
        """
        hashes = [np.frombuffer(split, dtype=np.uint64) for split in self._hashes.values()]
        _, firsts, unique = np.unique(np.concatenate(hashes), return_index=True, return_inverse=True)
        ends = np.cumsum([len(split) for split in hashes])
        starts = ends - [len(split) for split in hashes]
        names = list(self._hashes)

        @lru_cache(maxsize=1024)
        def get_shingles(text: int) -> UInt64Array:
            split = int(np.searchsorted(ends, firsts[text], side="right"))
            return hash_shingles(get_text(names[split], int(firsts[text] - starts[split])))

        candidates = self._propose_pairs(firsts)
        similarities = np.array([measure_similarity(get_shingles(a), get_shingles(b)) for a, b in candidates.tolist()])
        is_near = similarities >= self._threshold
        near = _NearPairs(candidates[is_near, 0], candidates[is_near, 1], similarities[is_near])
        texts = {name: unique[start:end] for name, start, end in zip(names, starts, ends, strict=True)}
        members = {name: _Members.from_texts(split, len(firsts)) for name, split in texts.items()}
        pairs = [*((name, name) for name in names), *combinations(names, 2)]
        return [
            _find_within(name, members[name], texts[name], near, num_examples)
            if name == other
            else _find_across((name, other), (members[name], members[other]), texts[other], near, num_examples)
            for name, other in pairs
        ]

    def _propose_pairs(self, firsts: IntArray) -> IntArray:
        """Returns candidate pairs of near-duplicates, as ids of distinct texts, shape (P, 2)."""
        has_words = np.frombuffer(self._has_words, dtype=np.uint8)[firsts] > 0
        order = np.argsort(firsts)  # candidates are neighbours: keep splits together
        order = order[has_words[order]]
        bands = np.concatenate(self._bands)[firsts[order]]
        return order[propose_pairs(list(bands.T))]


@dataclass(frozen=True)
class _NearPairs:
    """Pairs of near-duplicates as ids of distinct texts, shape (P,) each."""

    one: IntArray
    other: IntArray
    similarities: npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Members:
    """The distinct texts of a split.

    Attributes:
        first: index of the first occurrence of each distinct text in the split, -1 if missing, shape (U,).
        counts: number of occurrences, shape (U,).
    """

    first: IntArray
    counts: IntArray

    @classmethod
    def from_texts(cls, texts: IntArray, num_distinct: int) -> "_Members":
        first = np.full(num_distinct, -1)
        first[texts[::-1]] = np.arange(len(texts))[::-1]
        return cls(first, np.bincount(texts, minlength=num_distinct))


def _find_within(name: str, split: _Members, texts: IntArray, near: _NearPairs, num_examples: int) -> Overlap:
    repeated = np.flatnonzero(split.first[texts] < np.arange(len(texts)))
    exact = [Pair(int(split.first[texts[i]]), int(i), 1.0) for i in repeated[:num_examples]]
    indices = np.stack([split.first[near.one], split.first[near.other]])
    is_within = (indices >= 0).all(axis=0)
    earlier, later = np.sort(indices[:, is_within], axis=0)
    pairs = _choose_best(earlier, later, near.similarities[is_within])
    return Overlap(name, name, len(repeated), len(pairs), exact, pairs[:num_examples])


def _find_across(
    names: tuple[str, str], splits: tuple[_Members, _Members], texts: IntArray, near: _NearPairs, num_examples: int
) -> Overlap:
    first, second = splits
    shared = np.flatnonzero(first.counts[texts] > 0)
    exact = [Pair(int(first.first[texts[i]]), int(i), 1.0) for i in shared[:num_examples]]
    sources, targets = np.append(near.one, near.other), np.append(near.other, near.one)
    # A text with an exact duplicate is not counted as a near-duplicate.
    is_across = (first.counts[sources] > 0) & (second.counts[targets] > 0) & (first.counts[targets] == 0)
    sources, targets = sources[is_across], targets[is_across]
    similarities = np.append(near.similarities, near.similarities)[is_across]
    pairs = _choose_best(first.first[sources], second.first[targets], similarities)
    num_near = int(second.counts[np.unique(targets)].sum())
    return Overlap(*names, len(shared), num_near, exact, pairs[:num_examples])


def _choose_best(firsts: IntArray, seconds: IntArray, similarities: npt.NDArray[np.float64]) -> list[Pair]:
    """Returns the most similar first text for each second one, by descending similarity."""
    best: dict[int, Pair] = {}
    for i in np.lexsort((firsts, seconds, -similarities)).tolist():
        best.setdefault(int(seconds[i]), Pair(int(firsts[i]), int(seconds[i]), float(similarities[i])))
    return list(best.values())
