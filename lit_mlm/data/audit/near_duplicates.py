"""Near-duplicates: candidates by MinHash LSH over shingles, confirmed by their exact Jaccard similarity.

Broder 1997, "On the resemblance and containment of documents", SEQUENCES: the resemblance of two texts is the Jaccard
similarity of their sets of shingles, J = |A and B| / |A or B|, the probability that their min-hashes are equal. Banding
(Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", section 3.4): with B bands of R min-hashes, two texts share
a band with probability 1 - (1 - J^R)^B.

Shapes: S shingles of a text, B bands, R hashes in a band, N texts, P pairs.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from lit_mlm.text.arrays import IntArray, UInt64Array
from lit_mlm.text.tagging.words import UNSPACED

NUM_HASHES = 128
"""Maximum number of min-hashes per text; 128 gives a recall of 99 % at any threshold of at least 0.3."""

MAX_COMPARED = 4
"""Each text is paired with this many of the first texts in its bucket of a band, and with as many right before it."""

_WORD = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+")
_CHUNK = 1024
"""Shingles hashed at once: 1 MiB for all hash functions."""


@dataclass(frozen=True)
class Banding:
    """B x R hash functions in bands, the same on every machine and in every process.

    Attributes:
        num_bands: B.
        num_rows: R.
    """

    num_bands: int
    num_rows: int

    def compute_recall(self, similarity: float) -> float:
        """Returns the probability that two texts of a similarity share a band."""
        return 1 - (1 - float(similarity) ** self.num_rows) ** self.num_bands

    def hash_bands(self, shingles: UInt64Array) -> UInt64Array:
        """Hashes each band of min-hashes of a text, shape (B,).

        Args:
            shingles: from `hash_shingles`, at least one, shape (S,).
        """
        factors, terms = _draw_functions(self.num_bands * self.num_rows)
        minima = np.full(len(factors), np.iinfo(np.uint64).max, dtype=np.uint64)
        for start in range(0, len(shingles), _CHUNK):
            hashes = factors[:, None] * shingles[start : start + _CHUNK] + terms[:, None]  # modulo 2^64
            np.minimum(minima, hashes.min(axis=1), out=minima)
        return _hash_rows(minima.reshape(self.num_bands, self.num_rows))


def choose_banding(threshold: float, recall: float = 0.99, num_hashes: int = NUM_HASHES) -> Banding:
    """Returns the banding with the fewest false candidates that reaches a recall at the threshold.

    Args:
        threshold: Jaccard similarity, above 0 and at most 1.
        recall: minimum probability of a pair at the threshold to share a band. If no banding reaches it, R is 1.
        num_hashes: maximum of B x R.
    """
    bandings = [Banding(num_hashes // rows, rows) for rows in range(num_hashes, 0, -1)]
    return next((banding for banding in bandings if banding.compute_recall(threshold) >= recall), bandings[-1])


def hash_shingles(text: str, size: int = 5) -> UInt64Array:
    """Hashes the shingles of a text (its n-grams of `size` words) to 64 bits.

    Words are sequences of letters and digits, lower-cased; each kana or Han character is a word; punctuation is
    ignored. A text of fewer than `size` words is one shingle; one without words has none.

    Returns:
        Distinct hashes, sorted, shape (S,).
    """
    words = _WORD.findall(text.lower())
    if not words:
        return np.zeros(0, dtype=np.uint64)
    codes = np.fromiter((crc32(word.encode("utf-8", "surrogatepass")) for word in words), np.uint64, count=len(words))
    return np.unique(_hash_rows(np.lib.stride_tricks.sliding_window_view(codes, min(size, len(codes)))))


def measure_similarity(first: UInt64Array, second: UInt64Array) -> float:
    """Returns the Jaccard similarity of two sets of shingles, in [0, 1]; 0 if both are empty.

    Args:
        first: from `hash_shingles`.
        second: from `hash_shingles`.
    """
    num_shared = len(np.intersect1d(first, second, assume_unique=True))
    return num_shared / max(1, len(first) + len(second) - num_shared)


def propose_pairs(bands: Sequence[UInt64Array]) -> IntArray:
    """Returns pairs of texts that share a band.

    Linear in N: in each bucket (equal hashes of a band), a text is paired only with the `MAX_COMPARED` first texts and
    as many right before it. A bucket of 10 or more texts therefore gives some but not all pairs.

    Args:
        bands: hashes of all texts for each band, shape (N,).

    Returns:
        Distinct pairs of indices, the lower one first, sorted, shape (P, 2).
    """
    pairs = [np.zeros((0, 2), dtype=np.int64)]
    for hashes in bands:
        order = np.argsort(hashes, kind="stable")
        is_new = np.append(True, hashes[order][1:] != hashes[order][:-1])[: len(order)]
        positions = np.arange(len(order))
        starts = np.maximum.accumulate(np.where(is_new, positions, 0))
        for step in range(MAX_COMPARED):
            for others in (starts + step, positions - 1 - step):
                is_pair = (others >= starts) & (others < positions)
                pairs.append(np.stack([order[others[is_pair]], order[positions[is_pair]]], axis=1))
    return np.unique(np.concatenate(pairs), axis=0)


def _draw_functions(num: int) -> tuple[UInt64Array, UInt64Array]:
    rng = np.random.default_rng(1997)
    draws = rng.integers(0, 2**64, (2, num), dtype=np.uint64)
    return draws[0] | np.uint64(1), draws[1]


def _hash_rows(rows: UInt64Array) -> UInt64Array:
    """Hashes each row to one number, with the finaliser of splitmix64 (Steele et al. 2014, OOPSLA)."""
    hashes = np.zeros(len(rows), dtype=np.uint64)
    for column in rows.T:
        hashes = (hashes ^ column) + np.uint64(0x9E3779B97F4A7C15)
        hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        hashes = hashes ^ (hashes >> np.uint64(31))
    return hashes
