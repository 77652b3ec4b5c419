"""Packs short sequences into rows.

Shapes: N sequences, S of them in a batch, R rows, T tokens per row.
"""

import sys
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from lit_mlm.errors import InputError
from lit_mlm.text.arrays import IntArray

WORK_PER_TOKEN = 700
"""The work of a net on a position, without attention, in units of its attention to one other position.

Measured on a BERT of 384 units on a CPU, where a dense mask is read, and probabilities are dropped out. It grows with
the hidden size, but only decides between rows of nearly the same cost.
"""

MOST_COST = 0.95
"""Of packed rows, relative to padded sequences; above it they are not worth the mask."""

MAX_WIDTHS = 32
"""Most widths of rows that are tried for a batch."""


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


def pack_batch(lengths: IntArray, max_width: int | None = None) -> PackedRows | None:
    """Packs the sequences of a batch into the rows that cost least, or not at all where padding costs hardly more.

    The longest sequences go first, each into the first row that still has room (first-fit decreasing; Johnson et al.
    1974, as above). Rows are as wide as the longest sequence or up to twice that.

    Args:
        lengths: tokens of each sequence, shape (S,), S >= 1, each >= 1.
        max_width: most tokens of a row; unlimited by default.

    Returns:
        The rows, or None.

    Examples:
        >>> rows = pack_batch(np.array([2, 5, 3, 4]))
        >>> rows.sequences, rows.boundaries, rows.capacity
        (array([1, 0, 3, 2]), array([0, 2, 4]), 7)
    """
    longest = int(lengths.max())
    widest = min(2 * longest, max(longest, max_width or sys.maxsize))
    order = np.argsort(-lengths, kind="stable")
    sizes = lengths[order].tolist()
    best, rows_of, capacity = MOST_COST * _find_cost(len(sizes), longest), list[int](), 0
    for width in range(longest, widest + 1, -(-longest // MAX_WIDTHS)):
        if _find_cost(-(-sum(sizes) // width), width) >= best:
            continue
        found = _fit_first(sizes, width)
        cost = _find_cost(max(found) + 1, width)
        if cost < best:
            best, rows_of, capacity = cost, found, width
    if not rows_of:
        return None
    by_row = np.argsort(rows_of, kind="stable")
    boundaries = np.append(0, np.cumsum(np.bincount(rows_of)))
    return PackedRows(order[by_row], boundaries, sum(sizes), capacity)


def find_padding(batches: Iterable[IntArray], packs: bool = False, max_width: int | None = None) -> float:
    """Returns the fraction of padding in what a net computes for batches, in [0, 1).

    Args:
        batches: tokens of each sequence, by batch.
        packs: whether batches are packed by `pack_batch`, where that pays; else they are padded.
        max_width: as in `pack_batch`.
    """
    num_tokens = num_positions = 0
    for lengths in batches:
        rows = pack_batch(lengths, max_width) if packs else None
        num_tokens += int(lengths.sum())
        num_positions += len(lengths) * int(lengths.max()) if rows is None else len(rows) * rows.capacity
    return 1 - num_tokens / num_positions if num_positions else 0.0


def _find_cost(num_rows: int, width: int) -> int:
    return num_rows * width * (WORK_PER_TOKEN + width)


def _fit_first(sizes: Sequence[int], width: int) -> list[int]:
    """The row of each sequence, longest first."""
    rooms: list[int] = []
    rows: list[int] = []
    for size in sizes:
        row = next((i for i, room in enumerate(rooms) if room >= size), len(rooms))
        if row == len(rooms):
            rooms.append(width)
        rooms[row] -= size
        rows.append(row)
    return rows


def place_tokens(rows: PackedRows, lengths: IntArray, num_columns: int) -> IntArray:
    """Returns which position of the padded sequences each position of their packed rows takes its token from.

    Args:
        rows: of the S sequences.
        lengths: tokens of each sequence, shape (S,).
        num_columns: T, the columns of the padded sequences.

    Returns:
        Indices into the flattened positions of shape (S, T), -1 on padding, shape (R, `rows.capacity`).

    Examples:
        >>> place_tokens(PackedRows(np.array([1, 0, 2]), np.array([0, 2, 3]), 6, 4), np.array([1, 3, 2]), 3)
        array([[ 3,  4,  5,  0],
               [ 6,  7, -1, -1]])
    """
    packed = lengths[rows.sequences]
    ends = np.cumsum(packed)
    columns = np.arange(ends[-1]) - np.repeat(ends - packed, packed)
    sizes = np.add.reduceat(packed, rows.boundaries[:-1])
    places = np.full((len(rows), rows.capacity), -1, dtype=np.int64)
    places[np.arange(rows.capacity) < sizes[:, None]] = np.repeat(rows.sequences * num_columns, packed) + columns
    return places
