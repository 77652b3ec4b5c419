"""Short sequences packed into rows, each beside others that it must not see.

Shapes: N sequences, S of them in a batch, P tokens, R rows, T tokens of one.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lit_mlm.errors import InputError
from lit_mlm.text.blocks import IntArray


@dataclass(frozen=True)
class PackedRows:
    """Which sequences stand in which row.

    Attributes:
        sequences: the sequences of all rows, row after row, shape (N,); each stands in one row.
        boundaries: where each row starts in `sequences`, and where the last one ends, shape (R + 1,).
        num_tokens: of all sequences.
        capacity: tokens that a row has room for.
    """

    sequences: IntArray
    boundaries: IntArray
    num_tokens: int
    capacity: int

    def __len__(self) -> int:
        return len(self.boundaries) - 1

    @property
    def padding_fraction(self) -> float:
        """The share of all rows that holds no token, in [0, 1)."""
        return 1 - self.num_tokens / (len(self) * self.capacity) if len(self) else 0.0

    def find(self, rows: IntArray) -> tuple[IntArray, IntArray]:
        """The sequences of some rows, row after row, and the place in `rows` of the row of each, both of shape (S,)."""
        starts = self.boundaries[rows]
        sizes = self.boundaries[rows + 1] - starts
        row_of = np.repeat(np.arange(len(rows)), sizes)
        places = np.arange(sizes.sum()) + (starts - np.cumsum(sizes) + sizes)[row_of]
        return self.sequences[places], row_of


def pack_rows(lengths: IntArray, capacity: int) -> PackedRows:
    """Packs sequences into few rows: the longest first, each into the row with the least room that still takes it.

    That is best-fit decreasing, which needs at most 11/9 of the best possible number of rows and one more (Johnson et
    al. 1974, "Worst-case performance bounds for simple one-dimensional packing algorithms"). Sequences of one length,
    and rows with as much room, are dealt with at once, so time hardly grows with N beyond that of sorting. Among
    sequences of one length a fixed draw decides, so that neighbours in a corpus don't stand together in each epoch.

    Args:
        lengths: tokens of each sequence, each >= 1, shape (N,).
        capacity: tokens of a row.

    Returns:
        The rows in the order of their first sequences, and the sequences of each in theirs: a pure function of the
        arguments.

    Raises:
        InputError: if a sequence is longer than a row.
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
    rank = np.empty_like(firsts)  # of each row by its first sequence
    rank[np.argsort(firsts)] = np.arange(len(firsts))
    boundaries = np.concatenate([[0], np.cumsum(sizes[np.argsort(rank)])])
    return PackedRows(np.argsort(rank[row_of], kind="stable"), boundaries, int(lengths.sum()), capacity)


class _OpenRows:
    """Rows by the room that they have."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.num_rows = 0
        self.rooms: list[int] = []  # sorted, each once
        self.rows: dict[int, list[IntArray]] = {}

    def fill(self, length: int, count: int) -> IntArray:
        """The rows of `count` sequences of one length, shape (count,)."""
        found: list[IntArray] = []
        while count:
            place = bisect_left(self.rooms, length)
            room = self.rooms.pop(place) if place < len(self.rooms) else self.capacity
            num_each = room // length  # a row that has taken one has the least room for the next
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
    """Lays sequences out in rows, one behind the other.

    Args:
        arrays: of the sequences, each of shape (S, T), padded on the right.
        fill: what stands on a row's padding, by the same names.
        is_token: False on the padding of a sequence, shape (S, T).
        row_of: the row of each sequence, never decreasing, shape (S,).
        num_rows: how many rows there are.
        width: tokens of a row.

    Returns:
        The arrays, each of shape (R, width), and ``segments``: 0 on padding, 1, 2, ... for each sequence of a row.
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
