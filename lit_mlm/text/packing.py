"""Packs short sequences into rows.

Shapes: N sequences, S of them in a batch, R rows, T tokens per row.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lit_mlm.errors import InputError
from lit_mlm.text.arrays import IntArray


@dataclass(frozen=True)
class PackedRows:
    """Assigns each sequence to one row.

    Attributes:
        sequences: sequence indices, row after row, shape (N,).
        boundaries: the slice of `sequences` of row i is ``boundaries[i] : boundaries[i + 1]``, shape (R + 1,).
        num_tokens: total of all sequences.
        capacity: tokens per row.
    """

    sequences: IntArray
    boundaries: IntArray
    num_tokens: int
    capacity: int

    def __len__(self) -> int:
        return len(self.boundaries) - 1

    @property
    def padding_fraction(self) -> float:
        """The fraction of positions that are padding, in [0, 1)."""
        return 1 - self.num_tokens / (len(self) * self.capacity) if len(self) else 0.0

    def find(self, rows: IntArray) -> tuple[IntArray, IntArray]:
        """Returns the sequences of `rows`, row after row, and the index in `rows` of each; both of shape (S,)."""
        starts = self.boundaries[rows]
        sizes = self.boundaries[rows + 1] - starts
        row_of = np.repeat(np.arange(len(rows)), sizes)
        indices = np.arange(sizes.sum()) + (starts - np.cumsum(sizes) + sizes)[row_of]
        return self.sequences[indices], row_of


def pack_rows(lengths: IntArray, capacity: int) -> PackedRows:
    """Packs sequences into few rows by best-fit decreasing.

    The longest sequences go first, each into the fullest row that still has room, which needs at most 11/9 of the
    optimal number of rows plus one (Johnson et al. 1974, "Worst-case performance bounds for simple one-dimensional
    packing algorithms"). Sequences of one length are placed together, so the cost is about that of sorting. Ties are
    broken by a fixed random permutation, so that neighbours in a corpus do not share a row in each epoch.

    Args:
        lengths: tokens of each sequence, shape (N,), each >= 1 and <= `capacity`.
        capacity: tokens per row.

    Returns:
        The rows, ordered by their first sequences.

    Examples:
        >>> rows = pack_rows(np.array([5, 2, 3, 4]), capacity=7)
        >>> np.split(rows.sequences, rows.boundaries[1:-1])
        [array([0, 1]), array([2, 3])]
    """
    longest = int(lengths.max(initial=0))
    if longest > capacity:
        raise InputError(f"a row of {capacity} tokens can't hold a sequence of {longest}")
    order = np.random.default_rng(0).permutation(len(lengths))
    order = order[np.argsort(-lengths[order], kind="stable")]
    kinds, counts = np.unique(-lengths, return_counts=True)
    row_of, opened = np.empty(len(lengths), dtype=np.int64), _OpenRows(capacity)
    start = 0
    for length, count in zip((-kinds).tolist(), counts.tolist(), strict=True):
        row_of[order[start : start + count]] = opened.fill(length, count)
        start += count
    sequences = np.argsort(row_of, kind="stable")
    sizes = np.bincount(row_of)
    firsts = sequences[np.cumsum(sizes) - sizes]
    rank = np.empty_like(firsts)  # of each row, by its first sequence
    rank[np.argsort(firsts)] = np.arange(len(firsts))
    boundaries = np.concatenate([[0], np.cumsum(sizes[np.argsort(rank)])])
    return PackedRows(np.argsort(rank[row_of], kind="stable"), boundaries, int(lengths.sum()), capacity)


class _OpenRows:
    """Open rows, grouped by the room they have left."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.num_rows = 0
        self.rooms: list[int] = []  # sorted, without duplicates
        self.rows: dict[int, list[IntArray]] = {}

    def fill(self, length: int, count: int) -> IntArray:
        """Places `count` sequences of one length and returns their rows, shape (count,)."""
        found: list[IntArray] = []
        while count:
            place = bisect_left(self.rooms, length)
            room = self.rooms.pop(place) if place < len(self.rooms) else self.capacity
            num_each = room // length  # a row that took one is the best fit for the next
            if room in self.rows:
                rows = np.concatenate(self.rows.pop(room))
            else:
                rows = np.arange(self.num_rows, self.num_rows - (-count // num_each))
                self.num_rows += len(rows)
            num_full = min(len(rows), count // num_each)
            rest = min(count - num_full * num_each, num_each) if num_full < len(rows) else 0
            found += [np.repeat(rows[:num_full], num_each), np.repeat(rows[num_full : num_full + 1], rest)]
            self._put(room - num_each * length, rows[:num_full])
            self._put(room - rest * length, rows[num_full : num_full + 1])
            self._put(room, rows[num_full + 1 :])
            count -= num_full * num_each + rest
        return np.concatenate(found)

    def _put(self, room: int, rows: IntArray) -> None:
        if not len(rows) or not room:
            return
        if room not in self.rows:
            insort(self.rooms, room)
        self.rows.setdefault(room, []).append(rows)


def join_rows(
    arrays: dict[str, npt.NDArray[np.int64]],
    fill: dict[str, int],
    is_token: npt.NDArray[np.bool_],
    row_of: IntArray,
    num_rows: int,
    width: int,
) -> dict[str, npt.NDArray[np.int64]]:
    """Concatenates the sequences of each row.

    Args:
        arrays: named arrays of the sequences, shape (S, T) each, padded on the right.
        fill: the padding value of each array.
        is_token: False on padding, shape (S, T).
        row_of: the row of each sequence, non-decreasing, shape (S,).
        num_rows: R.
        width: tokens per row.

    Returns:
        The arrays, shape (R, width) each, and ``segments``: 0 on padding, 1, 2, ... on the sequences of a row.
    """
    lengths = is_token.sum(axis=1)
    token_rows = np.repeat(row_of, lengths)
    row_ends = np.cumsum(np.bincount(token_rows, minlength=num_rows))
    row_starts = np.concatenate([[0], row_ends[:-1]])
    columns = np.arange(len(token_rows)) - row_starts[token_rows]
    first_sequences = np.searchsorted(row_of, np.arange(num_rows))
    segments = np.arange(len(row_of)) - first_sequences[row_of] + 1
    joined = {"segments": np.zeros((num_rows, width), dtype=np.int64)}
    joined["segments"][token_rows, columns] = np.repeat(segments, lengths)
    for name, array in arrays.items():
        joined[name] = np.full((num_rows, width), fill[name], dtype=np.int64)
        joined[name][token_rows, columns] = array[is_token]
    return joined
