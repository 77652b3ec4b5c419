"""The examples of a stream: their order, their masks, and how they go on."""

import logging
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import count, islice, product
from typing import Any

import numpy as np
import pytest

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.data.reading.files import BadRecordError, OnBad, refuse
from lit_mlm.data.streams.dataset import StreamWorker
from lit_mlm.data.streams.sampler import StreamKey
from lit_mlm.data.streams.shards import Cursor, Shard, StreamSource, WorkerCursor, draw_sources
from lit_mlm.errors import InputError
from lit_mlm.text.blocks import cut_blocks
from lit_mlm.text.masking.schedule import MaskSchedule
from lit_mlm.text.masking.strategies import WordMasking
from tests.data.streams.streams import BLOCK, CHUNK, SEED, cut, make_source, make_stream, read_rows, run_rank, tokenize

Block = tuple[int, ...]

SOURCES = [make_source(0, (10, 3, 0, 7), 3.0), make_source(1, (8, 5), 1.0)]


def iterate_slowly(source: int, worker: int, num_workers: int) -> Iterator[tuple[int, Block]]:
    """The order of a source for a worker, as the documentation has it: epochs and blocks."""
    shards = SOURCES[source].shards
    for epochs in count():
        order = list(np.random.default_rng((SEED, epochs, source)).permutation(len(shards)))
        for place, shard in enumerate(order):
            sharers = [c for c in range(num_workers) if c % len(shards) == place % num_workers % len(shards)]
            if len(shards) >= num_workers:
                sharers = [place % num_workers]
            texts = list(shards[shard].read(refuse))
            for chunk in range(-(-len(texts) // CHUNK)):
                if sharers[(chunk - epochs) % len(sharers)] != worker:
                    continue
                documents = texts[chunk * CHUNK : (chunk + 1) * CHUNK]
                ids = [i for text in documents for i in tokenize(str(text))]
                blocks = [tuple(ids[i : i + BLOCK]) for i in range(0, len(ids), BLOCK)]
                for i in np.random.default_rng((SEED, epochs, source, shard, chunk)).permutation(len(blocks)):
                    yield epochs, blocks[i]


@pytest.mark.parametrize("num_workers", [1, 2, 3, 5, 9])
def test_order_is_that_of_a_slow_reference(num_workers: int) -> None:
    for worker in range(num_workers):
        slow = [iterate_slowly(source, worker, num_workers) for source in range(2)]
        stream = make_stream(*SOURCES, num_workers=num_workers)
        found, place = [], WorkerCursor(worker)
        for number in range(30):
            batch = stream[StreamKey(number, place if number == 0 else None)]
            assert not isinstance(batch, InputError)
            place = batch.cursor
            found += [block for block, *_ in read_rows(batch.tensors)]
        expected = [next(slow[source]) for source in draw_sources([3, 1], SEED, worker, 0, 150)]
        assert found == [block for _, block in expected]
        assert (place.worker, place.num_examples) == (worker, 150)
        assert place.sources[0].epoch == max(p for p, block in expected if block[0] < 1800) > 0


@pytest.mark.parametrize(("num_ranks", "num_workers"), [*product([1, 2, 3], [0, 1, 2, 3])])
@pytest.mark.parametrize("num_shards", [1, 2, 3, 4, 5])
def test_a_pass_has_each_block_once(num_shards: int, num_ranks: int, num_workers: int) -> None:
    source = make_source(0, (13, 1, 6, 0, 9)[:num_shards])
    num_workers = num_ranks * max(1, num_workers)
    stream = make_stream(source, num_workers=num_workers)
    found: list[Counter[Block]] = [Counter(), Counter()]
    for worker in range(num_workers):
        for example, _ in stream.iterate(0, worker, Cursor()):
            if example.epoch > 1:
                break
            found[example.epoch][tuple(example.ids.tolist())] += 1
    texts = [[str(text) for text in shard.read(refuse)] for shard in source.shards]
    chunks = [cut(part[i : i + CHUNK]) for part in texts for i in range(0, len(part), CHUNK)]
    blocks = [tuple(c.ids[a:b].tolist()) for c in chunks for a, b in zip(c.table.starts, c.table.ends, strict=True)]
    assert found == [Counter(blocks)] * 2


def test_masks_are_the_same_for_any_consumers_and_batches_and_others_in_each_pass() -> None:
    masks: dict[tuple[int, int], Counter[tuple[Block, Block]]] = {}
    for num_workers, size in ((1, 5), (3, 2), (4, 7)):
        for worker in range(num_workers):
            stream = make_stream(*SOURCES, num_workers=num_workers, batch_size=size)
            shadow = StreamWorker(stream, WorkerCursor(worker))
            for number in range(200 // size):
                batch = stream[StreamKey(number, WorkerCursor(worker) if number == 0 else None)]
                assert not isinstance(batch, InputError)
                for example, (block, *mask) in zip(shadow.take(size), read_rows(batch.tensors), strict=True):
                    assert tuple(example.ids.tolist()) == block
                    masks.setdefault((example.example_id, example.epoch), Counter())[tuple(mask)] += 1  # type: ignore[index]
    assert {len(found) for found in masks.values()} == {1}
    assert sum(found.total() == 3 for found in masks.values()) > 50  # of all three
    epochs = [
        (next(iter(masks[i, 0])), next(iter(masks[i, 1]))) for i, number in masks if number == 0 and (i, 1) in masks
    ]
    assert sum(first != second for first, second in epochs) > 0.8 * len(epochs) > 20


@pytest.mark.parametrize(("num_ranks", "num_workers"), [(1, 0), (1, 2), (2, 0), (2, 2), (1, 3)])
def test_a_run_goes_on_from_each_batch(num_ranks: int, num_workers: int) -> None:
    num_batches = 14
    for rank in range(num_ranks):
        place = (SOURCES, rank, num_ranks, num_workers, num_batches)
        whole = run_rank(*place)
        assert len(whole) == num_batches
        for start in range(num_batches):
            cursors = {batch.cursor.worker: batch.cursor for batch in whole[:start]}
            rest = run_rank(*place, start, cursors)
            assert [batch.cursor for batch in rest] == [batch.cursor for batch in whole[start:]]
            assert [read_rows(b.tensors) for b in rest] == [read_rows(b.tensors) for b in whole[start:]]


def test_words_are_kept() -> None:
    """Every second token begins a word, so those that don't share the fate of the one before."""
    stream = make_stream(*SOURCES)
    masking = replace(stream.make_blocks.keywords["masking"], strategy=WordMasking())  # type: ignore[attr-defined]
    stream = replace(stream, make_blocks=partial(stream.make_blocks, masking=masking))
    batch = stream[StreamKey(0, WorkerCursor(0))]
    assert not isinstance(batch, InputError)
    num_words = 0
    for block, _, labels in read_rows(batch.tensors):
        for i in range(1, len(block)):
            if block[i] % 2 == 1:
                assert (labels[i] == IGNORE_INDEX) == (labels[i - 1] == IGNORE_INDEX)
                num_words += 1
    assert num_words > 3


def test_schedule_goes_by_the_number_of_the_batch() -> None:
    stream = make_stream(*SOURCES, num_batches=10)
    schedule = MaskSchedule("steps", [0.2, 1.0])
    stream = replace(stream, make_blocks=partial(stream.make_blocks, schedule=schedule))
    shares = []
    for number in range(10):
        batch = stream[StreamKey(number, WorkerCursor(0) if number == 0 else None)]
        assert not isinstance(batch, InputError)
        labels, is_token = batch.tensors["labels"], batch.tensors["attention_mask"]
        shares.append(float((labels != IGNORE_INDEX).sum() / is_token.sum()))
    assert shares[5:] == [1.0] * 5
    assert np.mean(shares[:5]) < 0.5


# Text that is not there, or can't be read


def test_shards_without_text_are_passed_over_and_none_at_all_is_a_mistake() -> None:
    one = make_source(0, (0, 2, 0))
    assert len(run_rank([one], 0, 1, 3, 12)) == 12  # three workers, one chunk
    with pytest.raises(InputError, match=r"data.streaming: 0/0 and 1 more: no block to train on: there is no text"):
        list(make_stream(make_source(0, (0, 0))).iterate(0, 0, Cursor()))
    with pytest.raises(InputError, match=r"data.streaming: 0/0: no block to train on"):
        list(make_stream(make_source(0, (1,)), cut=drop_all).iterate(0, 0, Cursor()))


def test_text_of_others_is_not_cut() -> None:
    """A small source among many workers is cut by the one whose turn it is."""
    num_cuts = 0

    def count_cuts(texts: Any) -> Any:
        nonlocal num_cuts
        num_cuts += 1
        return cut(texts)

    stream = make_stream(make_source(0, (1,)), num_workers=4, cut=count_cuts)
    num_blocks = len(cut(["0"]).table)
    found = list(islice(stream.iterate(0, 2, Cursor()), 3 * num_blocks))
    assert [example.epoch for example, _ in found] == [p for p in (2, 6, 10) for _ in range(num_blocks)]
    assert num_cuts == 3


def drop_all(texts: Any) -> Any:
    chunk = cut(texts)
    return replace(chunk, table=cut_blocks(chunk.document_lengths, 1000, drop_tail=True))


def make_bad(num: int) -> StreamSource:
    def read(on_bad: OnBad) -> Iterator[str]:
        for i in range(num):
            if i % 4 == 3:
                on_bad(BadRecordError(f"a.jsonl, line {i + 1}: not a JSON object"))
            else:
                yield str(i)

    return StreamSource([Shard("a.jsonl", "", read)])


def test_bad_line_is_a_mistake_where_it_is_met() -> None:
    stream = make_stream(make_bad(20), batch_size=2)
    assert not isinstance(stream[StreamKey(0, WorkerCursor(0))], InputError)
    found = next(x for x in (stream[StreamKey(number)] for number in count(1)) if isinstance(x, InputError))
    assert str(found) == "a.jsonl, line 4: not a JSON object; set data.skip_bad true to skip bad records"


def test_bad_lines_are_left_out_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    stream = make_stream(make_bad(20), skip_bad=True)
    found = list(islice(stream.iterate(0, 0, Cursor()), 60))
    numbers = {token // 6 for example, _ in found for token in example.ids.tolist()}
    assert numbers == {i for i in range(20) if i % 4 != 3}
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "a.jsonl, line 4: not a JSON object; skipped, as are all other bad records"
    ]


def test_first_chunk_is_the_first_that_has_blocks() -> None:
    shard, number, chunk = make_stream(make_source(0, (0, 4))).read_first_chunk()
    assert (shard, number, chunk.documents) == (1, 0, ["30", "31", "32"])


def test_memory_is_that_of_a_chunk() -> None:
    def read(num: int, on_bad: OnBad) -> Iterator[str]:
        return (f"{i}{' ' * 10_000}" for i in range(num))

    peaks = []
    for num in (100, 1000):
        stream = make_stream(StreamSource([Shard("", "", partial(read, num))]), chunk_documents=50)
        tracemalloc.start()
        for _, place in stream.iterate(0, 0, Cursor()):
            if place.epoch == 1:
                break
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] > 50 * 10_000
    assert peaks[1] < 1.2 * peaks[0]
