"""What each worker of a stream reads, and when."""

from collections import Counter
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest

from lit_mlm.data.reading.files import BadRecordError, OnBad
from lit_mlm.data.streams.shards import (
    Cursor,
    Shard,
    ShardSlice,
    StreamSource,
    WorkerCursor,
    deal_shards,
    draw_sources,
    find_read_shards,
    number_examples,
    read_chunks,
    shuffle_chunk,
)
from lit_mlm.errors import InputError


def make_shard(num_rows: int, bad: tuple[int, ...] = ()) -> Shard:
    def read(on_bad: OnBad) -> Iterator[str]:
        for i in range(num_rows):
            if i in bad:
                on_bad(BadRecordError(f"row {i} is bad"))
            else:
                yield f"text {i}"

    return Shard("a.jsonl", "", read)


@pytest.mark.parametrize(("num_ranks", "num_workers"), [*product([1, 2, 3], [0, 1, 2, 3])])
@pytest.mark.parametrize("num_shards", [1, 2, 3, 4, 5])
def test_each_chunk_of_a_pass_is_one_consumer_s(num_shards: int, num_ranks: int, num_workers: int) -> None:
    """Whatever the number of chunks is: fewer than those who share a shard, too, or none."""
    num_workers, num_chunks = num_ranks * max(1, num_workers), (7, 1, 0, 3, 2)
    for epochs in range(3):
        found: Counter[tuple[int, int]] = Counter()
        for worker in range(num_workers):
            for part in deal_shards(num_shards, 5, epochs, 0, worker, num_workers):
                shard = make_shard(2 * num_chunks[part.shard])
                found.update((part.shard, number) for number, *_ in read_chunks(shard, part, 2, skip_bad=False))
        assert found == Counter((shard, i) for shard in range(num_shards) for i in range(num_chunks[shard]))


def test_whole_shards_are_dealt_in_an_order_of_seed_pass_and_source() -> None:
    def deal(seed: int, epochs: int, source: int) -> list[int]:
        return [part.shard for part in deal_shards(40, seed, epochs, source, 1, 4)]

    assert deal(1, 2, 3) == deal(1, 2, 3)
    assert len({tuple(deal(*place)) for place in ((1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 0))}) == 4
    assert deal(1, 2, 3) == np.random.default_rng((1, 2, 3)).permutation(40)[1::4].tolist()


def test_nobody_is_always_left_without_a_chunk() -> None:
    """One chunk, three who share it: each has it in one of three epochs."""
    firsts = [[deal_shards(1, 0, epochs, 0, worker, 3)[0].first for worker in range(3)] for epochs in range(3)]
    assert [sorted(taken) for taken in firsts] == [[0, 1, 2]] * 3
    assert [sorted(taken) for taken in zip(*firsts, strict=True)] == [[0, 1, 2]] * 3


def test_chunks_of_a_part_from_a_place_on() -> None:
    read = list(read_chunks(make_shard(11), ShardSlice(0, 1, 2), 2, skip_bad=False, start=3))
    assert read == [(3, ["text 6", "text 7"], []), (5, ["text 10"], [])]
    assert [number for number, *_ in read_chunks(make_shard(8), ShardSlice(0), 4, skip_bad=False)] == [0, 1]
    assert list(read_chunks(make_shard(0), ShardSlice(0), 4, skip_bad=False)) == []


def test_what_cannot_be_read_stops_or_is_left_out_of_its_chunk() -> None:
    shard = make_shard(6, bad=(1, 4))
    with pytest.raises(InputError, match=r"row 1 is bad; set data.skip_bad true"):
        list(read_chunks(shard, ShardSlice(0), 2, skip_bad=False))
    read = list(read_chunks(shard, ShardSlice(0), 2, skip_bad=True))
    assert [texts for _, texts, _ in read] == [["text 0", "text 2"], ["text 3", "text 5"]]
    assert [list(map(str, bad)) for *_, bad in read] == [["row 1 is bad"], ["row 4 is bad"]]
    others = make_shard(6, bad=(1,))
    assert len(list(read_chunks(others, ShardSlice(0, 1, 2), 2, skip_bad=False))) == 1


def test_a_chunk_is_read_when_it_is_asked_for() -> None:
    num_read = 0

    def read(_: OnBad) -> Iterator[str]:
        nonlocal num_read
        for i in range(1000):
            num_read += 1
            yield str(i)

    next(read_chunks(Shard("", "", read), ShardSlice(0), 10, skip_bad=False))
    assert num_read == 10


def test_blocks_are_shuffled_by_all_that_a_chunk_is() -> None:
    orders = [shuffle_chunk(50, *place).tolist() for place in np.eye(5, dtype=int).tolist()]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len(set(map(tuple, orders))) == 5


def test_example_ids_are_their_own() -> None:
    ids = np.concatenate([number_examples(*place, 100) for place in product(range(3), range(5), range(40))])
    assert len(np.unique(ids)) == 60_000
    assert ids.min() >= 0
    assert ids.dtype == np.int64
    assert np.array_equal(number_examples(1, 2, 3, 50), number_examples(1, 2, 3, 100)[:50])


def test_sources_have_their_shares() -> None:
    weights = [source.weight for source in (StreamSource([], 3), StreamSource([], 1), StreamSource([], 0.5))]
    drawn = draw_sources(weights, 7, 2, 0, 100_000)
    shares = np.bincount(drawn) / len(drawn)
    assert np.abs(shares - np.array(weights) / 4.5).max() < 4 * np.sqrt(0.25 / 100_000)
    parts = [draw_sources(weights, 7, 2, start, 250) for start in range(0, 1000, 250)]
    assert np.array_equal(np.concatenate(parts), drawn[:1000])
    assert not np.array_equal(drawn[:1000], draw_sources(weights, 7, 3, 0, 1000))
    assert not np.array_equal(drawn[:1000], draw_sources(weights, 8, 2, 0, 1000))
    assert draw_sources([2.0], 7, 2, 5, 3).tolist() == [0, 0, 0]


def test_shards_that_were_read_are_those_before_the_cursors() -> None:
    """A worker in its second pass has read all its shards of the first, and of a shared shard only its part."""
    first = [[part.shard for part in deal_shards(5, 7, 0, 0, worker, 2)] for worker in range(2)]
    cursors = [WorkerCursor(0, 9, (Cursor(0, 1, 2, 3), Cursor())), WorkerCursor(1, 9, (Cursor(1), Cursor(0, 1)))]
    found = find_read_shards(cursors, [5, 1], 7, 2)
    assert found == {(0, first[0][0]), *((0, shard) for shard in first[1]), (1, 0)}
    assert find_read_shards([WorkerCursor(0)], [5, 1], 7, 2) == set()
