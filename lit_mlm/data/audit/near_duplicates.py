"""Texts that are nearly the same: MinHash over shingles, banded, and exact Jaccard similarity of what it proposes.

Broder 1997, "On the resemblance and containment of documents", SEQUENCES: the resemblance of two texts is the Jaccard
similarity of their sets of shingles, J = |A and B| / |A or B|, and the chance that the least hash of both sets is the
same is J. Banding (Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", section 3.4): of B bands of R least
hashes each, two texts share a whole band with probability 1 - (1 - J^R)^B.

Shapes: S shingles of a text, B bands, R hashes in a band, N texts, P pairs.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import numpy.typing as npt

from lit_mlm.text.blocks import IntArray
from lit_mlm.text.tagging.words import UNSPACED

HashArray = npt.NDArray[np.uint64]

NUM_HASHES = 128
"""Least hashes of a text, at most: 128 proposes 99 % of the pairs at any threshold of 0.3 or more."""

MAX_COMPARED = 4
"""A text is held against so many of the first that share a band with it, and as many right before it."""

_WORD = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+")
_CHUNK = 1024
"""Shingles hashed at once: 1 MiB for all hashes."""


@dataclass(frozen=True)
class Banding:
    """The hash functions, in bands; the same on every machine and in every process.

    Attributes:
        num_bands: B.
        num_rows: R.
    """

    num_bands: int
    num_rows: int

    def find_recall(self, similarity: float) -> float:
        """The chance that two texts of a similarity share a band."""
        return 1 - (1 - float(similarity) ** self.num_rows) ** self.num_bands

    def hash_bands(self, shingles: HashArray) -> HashArray:
        """One number for each band of a text's least hashes, shape (B,): equal where the whole band is.

        Args:
            shingles: of `hash_shingles`, at least one, shape (S,).
        """
        factors, terms = _draw_functions(self.num_bands * self.num_rows)
        least = np.full(len(factors), np.iinfo(np.uint64).max, dtype=np.uint64)
        for start in range(0, len(shingles), _CHUNK):
            hashes = factors[:, None] * shingles[start : start + _CHUNK] + terms[:, None]  # modulo 2^64
            np.minimum(least, hashes.min(axis=1), out=least)
        return _fold(least.reshape(self.num_bands, self.num_rows))


def choose_banding(threshold: float, recall: float = 0.99, num_hashes: int = NUM_HASHES) -> Banding:
    """The banding with the fewest false proposals that finds pairs at the threshold with a probability.

    Args:
        threshold: Jaccard similarity, above 0 and at most 1.
        recall: of pairs exactly at the threshold; more similar ones are found more often. Where no banding reaches it,
            bands have one row.
        num_hashes: B x R at most.
    """
    bandings = [Banding(num_hashes // rows, rows) for rows in range(num_hashes, 0, -1)]
    return next((banding for banding in bandings if banding.find_recall(threshold) >= recall), bandings[-1])


def hash_shingles(text: str, size: int = 5) -> HashArray:
    """The set of a text's shingles: runs of `size` words, hashed to 64 bits.

    Words are runs of letters and digits, in lower case; kana and Han characters are words by themselves; punctuation is
    left out. A text with fewer words than `size` is one shingle, one without words has none.

    Returns:
        Distinct hashes, ascending, shape (S,).
    """
    words = _WORD.findall(text.lower())
    if not words:
        return np.zeros(0, dtype=np.uint64)
    codes = np.fromiter((crc32(word.encode("utf-8", "surrogatepass")) for word in words), np.uint64, count=len(words))
    return np.unique(_fold(np.lib.stride_tricks.sliding_window_view(codes, min(size, len(codes)))))


def measure_similarity(first: HashArray, second: HashArray) -> float:
    """The Jaccard similarity of two sets of shingles, between 0 and 1; 0 if both are empty.

    Args:
        first: of `hash_shingles`.
        second: of `hash_shingles`.
    """
    num_shared = len(np.intersect1d(first, second, assume_unique=True))
    return num_shared / max(1, len(first) + len(second) - num_shared)


def propose_pairs(bands: Sequence[HashArray]) -> IntArray:
    """The texts that share a band, each pair once.

    In time and memory linear in N: of texts that share a band each is held against `MAX_COMPARED` first ones and as
    many right before it. So of a band that 10 texts or more share not every pair is proposed, but each text with
    others.

    Args:
        bands: for each band the numbers of all texts, shape (N,).

    Returns:
        Numbers of texts, the lower one first, ascending, shape (P, 2).
    """
    pairs = [np.zeros((0, 2), dtype=np.int64)]
    for numbers in bands:
        order = np.argsort(numbers, kind="stable")
        is_new = np.append(True, numbers[order][1:] != numbers[order][:-1])[: len(order)]
        places = np.arange(len(order))
        starts = np.maximum.accumulate(np.where(is_new, places, 0))
        for step in range(MAX_COMPARED):
            for others in (starts + step, places - 1 - step):
                is_pair = (others >= starts) & (others < places)
                pairs.append(np.stack([order[others[is_pair]], order[places[is_pair]]], axis=1))
    return np.unique(np.concatenate(pairs), axis=0)


def _draw_functions(number: int) -> tuple[HashArray, HashArray]:
    rng = np.random.default_rng(1997)
    draws = rng.integers(0, 2**64, (2, number), dtype=np.uint64)
    return draws[0] | np.uint64(1), draws[1]


def _fold(rows: HashArray) -> HashArray:
    """One well mixed number for each row of numbers, by the finaliser of splitmix64 (Steele et al. 2014, OOPSLA)."""
    folded = np.zeros(len(rows), dtype=np.uint64)
    for column in rows.T:
        folded = (folded ^ column) + np.uint64(0x9E3779B97F4A7C15)
        folded = (folded ^ (folded >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        folded = (folded ^ (folded >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        folded = folded ^ (folded >> np.uint64(31))
    return folded
