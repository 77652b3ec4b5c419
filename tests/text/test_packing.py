"""Packing: against a packer that looks at every row for every sequence."""

import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from lit_mlm.errors import InputError
from lit_mlm.text.arrays import IntArray
from lit_mlm.text.packing import PackedRows, join_rows, pack_rows


def pack_slowly(lengths: IntArray, capacity: int) -> list[int]:
    """What each row holds, by best-fit decreasing as textbooks have it."""
    rooms: list[int] = []
    for length in sorted(lengths.tolist(), reverse=True):
        fitting = [i for i, room in enumerate(rooms) if room >= length]
        if fitting:
            rooms[min(fitting, key=lambda i: rooms[i])] -= length
        else:
            rooms.append(capacity - length)
    return sorted(capacity - room for room in rooms)


def list_rows(rows: PackedRows) -> list[list[int]]:
    return [rows.find(np.array([i]))[0].tolist() for i in range(len(rows))]


DRAWS: dict[str, Callable[[np.random.Generator, int], IntArray]] = {
    "even": lambda rng, n: rng.integers(1, 65, n),
    "short": lambda rng, n: rng.integers(1, 9, n),
    "long": lambda rng, n: rng.integers(30, 65, n),
    "skewed": lambda rng, n: np.minimum(rng.geometric(0.07, n), 64),
    "same": lambda rng, n: np.full(n, 7),
    "full": lambda rng, n: np.full(n, 64),
}


@pytest.mark.parametrize("kind", DRAWS)
@pytest.mark.parametrize("num", [1, 2, 57, 400])
def test_rows_are_those_of_best_fit_decreasing(kind: str, num: int) -> None:
    lengths = DRAWS[kind](np.random.default_rng(num), num)
    rows = pack_rows(lengths, 64)
    found = list_rows(rows)
    assert sorted(i for row in found for i in row) == list(range(num))
    assert sorted(int(lengths[row].sum()) for row in found) == pack_slowly(lengths, 64)
    assert all(row == sorted(row) for row in found)
    assert [row[0] for row in found] == sorted(row[0] for row in found)
    assert rows.padding_fraction == pytest.approx(1 - lengths.sum() / (64 * len(found)))
    again = pack_rows(lengths, 64)
    assert np.array_equal(again.sequences, rows.sequences)
    assert np.array_equal(again.boundaries, rows.boundaries)


def test_a_million_sequences() -> None:
    lengths = np.minimum(np.random.default_rng(0).geometric(0.02, 1_000_000), 512)
    start = time.perf_counter()
    rows = pack_rows(lengths, 512)
    assert time.perf_counter() - start < 10  # about half a second on one core
    assert rows.padding_fraction < 0.001
    assert np.add.reduceat(lengths[rows.sequences], rows.boundaries[:-1]).max() <= 512
    assert np.array_equal(np.sort(rows.sequences), np.arange(1_000_000))


def test_neighbours_of_the_same_length_are_apart() -> None:
    rows = pack_rows(np.full(1000, 8), 64)
    gaps = np.concatenate([np.diff(row) for row in list_rows(rows)])
    assert (gaps == 1).mean() < 0.05


def test_a_sequence_longer_than_a_row_is_refused() -> None:
    with pytest.raises(InputError, match="a row of 8 tokens can't hold a sequence of 9"):
        pack_rows(np.array([3, 9]), 8)
    assert len(pack_rows(np.zeros(0, dtype=np.int64), 8)) == 0


def test_rows_are_found_in_any_order() -> None:
    rows = pack_rows(np.array([5, 9, 6, 1, 4]), 10)
    assert list_rows(rows) == [[0], [1, 3], [2, 4]]
    sequences, row_of = rows.find(np.array([2, 0, 2]))
    assert sequences.tolist() == [2, 4, 0, 2, 4]
    assert row_of.tolist() == [0, 0, 1, 2, 2]
    sequences, row_of = rows.find(np.zeros(0, dtype=np.int64))
    assert len(sequences) == len(row_of) == 0


def test_finding_rows_costs_nothing_for_the_others() -> None:
    rows = PackedRows(np.arange(10**6), np.arange(10**6 + 1), 10**6, 1)
    tracemalloc.start()
    rows.find(np.arange(64))
    assert tracemalloc.get_traced_memory()[1] < 10**5
    tracemalloc.stop()


def test_sequences_stand_one_behind_the_other() -> None:
    ids = np.array([[1, 2, 3], [4, 0, 0], [5, 6, 0], [7, 0, 0]])
    joined = join_rows({"ids": ids}, {"ids": -1}, ids != 0, np.array([0, 0, 1, 2]), 3, 5)
    assert joined["ids"].tolist() == [[1, 2, 3, 4, -1], [5, 6, -1, -1, -1], [7, -1, -1, -1, -1]]
    assert joined["segments"].tolist() == [[1, 1, 1, 2, 0], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]]
