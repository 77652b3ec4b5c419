"""Which worker reads which documents of a stream when, as a pure function of (seed, epoch, worker).

A corpus is read epoch after epoch. It consists of shards, whose documents are read in consecutive chunks. Workers are
the data loader workers, numbered over all ranks.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice

import numpy as np

from lit_mlm.data.reading.files import SKIP_ADVICE, BadRecordError, OnBad
from lit_mlm.errors import InputError
from lit_mlm.text.arrays import IntArray
from lit_mlm.text.masking.counter_hash import SOURCE, draw_uniform, hash_examples


@dataclass(frozen=True)
class Shard:
    """A part of a corpus that can be read from its start.

    Attributes:
        name: file or place on the Hub, for messages.
        key: represents the content in a fingerprint by names and sizes, since the texts are never read as a whole.
        read: yields documents and passes bad records to its argument.
    """

    name: str
    key: str
    read: Callable[[OnBad], Iterator[str]]


@dataclass(frozen=True)
class StreamSource:
    """A streamed corpus of at least one shard; `weight`, above 0, is the relative frequency of its examples."""

    shards: Sequence[Shard]
    weight: float = 1.0


@dataclass(frozen=True)
class ShardSlice:
    """The chunks of a shard that a worker reads in an epoch: `first`, `first + step`, `first + 2 x step`, ..."""

    shard: int
    first: int = 0
    step: int = 1


@dataclass(frozen=True)
class Cursor:
    """The position of a worker in a source.

    Attributes:
        epoch: of the source.
        slice: index of the shard slice among the worker's in this epoch.
        chunk: number of the chunk in its shard.
        offset: examples of the chunk already returned.
        chunk_hash: of the documents of the chunk, once examples of it were returned.
    """

    epoch: int = 0
    slice: int = 0
    chunk: int = 0
    offset: int = 0
    chunk_hash: str = ""


@dataclass(frozen=True)
class WorkerCursor:
    """The position of a worker.

    Attributes:
        worker: its number.
        num_examples: already returned.
        sources: position in each source; empty at the start.
    """

    worker: int
    num_examples: int = 0
    sources: tuple[Cursor, ...] = ()


def deal_shards(num_shards: int, seed: int, epoch: int, source: int, worker: int, num_workers: int) -> list[ShardSlice]:
    """The shard slices of a source that a worker reads in an epoch, in order.

    The shards are permuted, and worker w of W reads shards w, w + W, w + 2 x W, ... If there are fewer shards than
    workers, the workers of a shard take its chunks in turn; the first one changes each epoch, so that none is always
    left without. All workers together read each chunk once.

    >>> [deal_shards(1, seed=0, epoch=0, source=0, worker=worker, num_workers=2) for worker in (0, 1)]
    [[ShardSlice(shard=0, first=0, step=2)], [ShardSlice(shard=0, first=1, step=2)]]
    """
    order = np.random.default_rng((seed, epoch, source)).permutation(num_shards).tolist()
    if num_shards >= num_workers:
        return [ShardSlice(shard) for shard in order[worker::num_workers]]
    turn, index = divmod(worker, num_shards)
    num_sharers = -(-(num_workers - index) // num_shards)
    return [ShardSlice(order[index], (turn + epoch) % num_sharers, num_sharers)]


def find_read_shards(
    cursors: Iterable[WorkerCursor], num_shards: Sequence[int], seed: int, num_workers: int
) -> set[tuple[int, int]]:
    """The shards that workers have read to their ends, as pairs of source and shard.

    Args:
        cursors: of the workers that have begun.
        num_shards: of each source.
        seed: of the deal.
        num_workers: of all ranks.
    """
    read: set[tuple[int, int]] = set()
    for cursor in cursors:
        for source, place in enumerate(cursor.sources):
            for epoch in range(place.epoch + 1):
                slices = deal_shards(num_shards[source], seed, epoch, source, cursor.worker, num_workers)
                last = len(slices) if epoch < place.epoch else place.slice
                read |= {(source, part.shard) for part in slices[:last]}
    return read


def read_chunks(
    shard: Shard, part: ShardSlice, size: int, skip_bad: bool, start: int = 0
) -> Iterator[tuple[int, list[str], list[BadRecordError]]]:
    """Yields the chunks of a shard slice: number, documents and skipped bad records.

    Args:
        shard: of the slice.
        part: the slice.
        size: documents per chunk; the last one may have fewer.
        skip_bad: skips bad records.
        start: number of the first chunk; earlier ones are read and dropped.
    """
    bad: list[BadRecordError] = []
    texts = shard.read(bad.append)
    for number in count():
        bad.clear()
        chunk = islice(texts, size)
        is_ours = number >= start and number % part.step == part.first
        read = list(chunk) if is_ours else []
        if is_ours and bad and not skip_bad:
            raise InputError(f"{bad[0]}; {SKIP_ADVICE}")
        if not (read or sum(1 for _ in chunk)):
            return
        if is_ours:
            yield number, read, list(bad)


def shuffle_chunk(num_blocks: int, seed: int, epoch: int, source: int, shard: int, chunk: int) -> IntArray:
    """The order of the blocks of a chunk in an epoch, shape (num_blocks,)."""
    return np.random.default_rng((seed, epoch, source, shard, chunk)).permutation(num_blocks)


def number_examples(source: int, shard: int, chunk: int, num_blocks: int) -> IntArray:
    """The example ids of the blocks of a chunk, shape (num_blocks,): non-negative hashes of their positions.

    Two of n examples share an id, and thus the random numbers of their masks, with a probability of n^2 / 2^64.
    """
    key = hash_examples(source, shard, np.array([chunk]))[0]
    return (hash_examples(int(key), 0, np.arange(num_blocks)) >> np.uint64(1)).astype(np.int64)


def draw_sources(weights: Sequence[float], seed: int, worker: int, first: int, num: int) -> IntArray:
    """Draws the sources of a worker's next examples in proportion to their weights.

    Args:
        weights: of the sources, each above 0.
        seed: of the draw.
        worker: its number.
        first: examples already drawn.
        num: examples to draw.

    Returns:
        Indices of sources, shape (num,).
    """
    if len(weights) == 1:
        return np.zeros(num, np.int64)
    boundaries = np.cumsum(weights)[:-1] / np.sum(weights)
    uniform = draw_uniform(hash_examples(seed, worker, first + np.arange(num)), np.zeros(1, np.int64), SOURCE)
    return np.searchsorted(boundaries, uniform, side="right")
