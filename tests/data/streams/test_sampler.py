"""The batches of a stream, out of the loader."""

import pickle
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import pytest

from lit_mlm.data.reading.files import BadRecordError, OnBad
from lit_mlm.data.streams.sampler import StreamKey, StreamLoader, StreamSampler
from lit_mlm.data.streams.shards import Cursor, Shard, StreamSource, WorkerCursor
from lit_mlm.errors import InputError
from tests.data.streams.streams import make_source, make_stream, read_rows, run_rank

SOURCES = [make_source(0, (10, 3, 7), 3.0), make_source(1, (8, 5), 1.0)]


def make_loader(
    sources: Sequence[StreamSource], num_workers: int, num_batches: int, start: int = 0, cursors: Any = None
) -> StreamLoader:
    order = StreamSampler(num_batches, num_workers, 0, 1, lambda: start, lambda: cursors)
    stream = make_stream(*sources, num_workers=order.num_workers)
    return StreamLoader(stream, batch_size=None, sampler=order, num_workers=num_workers)


def test_first_batch_of_each_consumer_says_where_it_begins() -> None:
    cursors = {1: WorkerCursor(1, 10, (Cursor(0, 1, 2, 3),)), 3: WorkerCursor(3, 15, (Cursor(),))}
    order = StreamSampler(8, 2, 1, 2, lambda: 5, lambda: cursors)
    assert list(order) == [StreamKey(5, cursors[3]), StreamKey(6, cursors[1]), StreamKey(7)]
    assert len(order) == 8
    assert list(StreamSampler(3, 0, 0, 1)) == [StreamKey(0, WorkerCursor(0)), StreamKey(1), StreamKey(2)]
    fresh = StreamSampler(2, 2, 0, 1, int, lambda: cursors)  # an epoch that begins anew begins at the beginning
    assert list(fresh) == [StreamKey(0, WorkerCursor(0)), StreamKey(1, WorkerCursor(1))]


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_workers_make_what_one_process_makes_and_go_on_exactly(num_workers: int) -> None:
    """What they have prefetched when a run ends is made again."""
    expected = [read_rows(batch.tensors) for batch in run_rank(SOURCES, 0, 1, num_workers, 13)]
    for start in (1, 5, 6):
        loader = make_loader(SOURCES, num_workers, 13)
        assert [read_rows(batch) for batch in islice(loader, start)] == expected[:start]
        assert len(loader.cursors) == min(start, max(1, num_workers))
        assert len(pickle.dumps(loader.cursors)) < 1000
        rest = make_loader(SOURCES, num_workers, 13, start, loader.cursors)
        assert [read_rows(batch) for batch in rest] == expected[start:]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_mistake_in_the_data_is_raised_at_its_batch_and_alone(num_workers: int) -> None:
    """A worker's error would have its traceback in the message."""

    def read(on_bad: OnBad) -> Iterator[str]:
        yield from map(str, range(9))
        on_bad(BadRecordError("b, line 10: bad"))

    bad = Shard("b", "", read)
    loader = iter(make_loader([StreamSource([bad] * max(1, num_workers))], num_workers, 30))
    assert len(read_rows(next(loader))) == 5
    with pytest.raises(InputError) as found:
        list(loader)
    assert str(found.value) == "b, line 10: bad; set data.skip_bad true to skip bad records"
