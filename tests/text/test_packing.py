"""Packing: against a packer that looks at every row for every sequence."""

import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from lit_mlm.errors import InputError
from lit_mlm.text.arrays import IntArray
from lit_mlm.text.packing import PackedRows, find_padding, pack_batch, pack_rows, place_tokens


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


@pytest.mark.parametrize("max_width", [None, 80, 64])
def test_batches_cost_little_more_than_their_tokens(max_width: int | None) -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        lengths = np.clip(rng.lognormal(3, 0.7, rng.integers(8, 40)), 1, 64).astype(np.int64)
        longest, rows = int(lengths.max()), pack_batch(lengths, max_width)
        assert rows is not None
        assert sorted(rows.sequences) == list(range(len(lengths)))
        sizes = np.add.reduceat(lengths[rows.sequences], rows.boundaries[:-1])
        assert sizes.max() <= rows.capacity <= min(2 * longest, max_width or 128)
        assert rows.padding_fraction < 0.25 < find_padding([lengths])
        assert find_padding([lengths], True, max_width) == rows.padding_fraction


def test_batches_without_padding_stay() -> None:
    for lengths in ([7], [30, 30, 29], [128] * 32, [64, 1, 1]):
        assert (pack_batch(np.array(lengths)) is None) == (lengths != [64, 1, 1])


def test_tokens_are_placed_one_behind_the_other() -> None:
    rows = PackedRows(np.array([2, 0, 1, 3]), np.array([0, 3, 4]), 7, 6)
    placed = place_tokens(rows, np.array([3, 1, 2, 1]), 4)
    assert placed.tolist() == [[8, 9, 0, 1, 2, 4], [12, -1, -1, -1, -1, -1]]
