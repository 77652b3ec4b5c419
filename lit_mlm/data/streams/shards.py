"""Which documents of a streamed corpus are read when, and by which worker: a pure function of (seed, epoch, worker).

A corpus is read again and again, epoch after epoch. It lies in shards, and the documents of a shard are read in chunks,
one after the other. A worker here is a loader's worker of one rank, numbered over all ranks.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice

import numpy as np

from lit_mlm.data.reading.files import BadRecordError, OnBad
from lit_mlm.errors import InputError
from lit_mlm.text.blocks import IntArray
from lit_mlm.text.masking.counter_hash import SOURCE, draw_uniform, hash_examples


@dataclass(frozen=True)
class Shard:
    """A part of a corpus that can be read from its beginning.

    Attributes:
        name: the file, or the place on the Hub, for messages.
        key: represents its content in a fingerprint: names and sizes, as the texts were never read as a whole.
        read: gives its documents, and leaves what can't be read to what it is given.
    """

    name: str
    key: str
    read: Callable[[OnBad], Iterator[str]]


@dataclass(frozen=True)
class StreamSource:
    """A corpus that is streamed.

    Attributes:
        shards: of the corpus, at least one.
        weight: of its examples among those of all sources, above 0.
    """

    shards: Sequence[Shard]
    weight: float = 1.0


@dataclass(frozen=True)
class ShardSlice:
    """What a worker reads of a shard in an epoch: the chunks `first`, `first + step`, `first + 2 x step`, ...

    Attributes:
        shard: its number in the source.
        first: number of the first chunk.
        step: from a chunk to the next.
    """

    shard: int
    first: int = 0
    step: int = 1


@dataclass(frozen=True)
class Cursor:
    """How far a worker has read a source; with it and the options alone its examples continue.

    Attributes:
        epoch: number of the epoch of the source.
        slice: number of the shard slice among those of the worker in this epoch.
        chunk: number of the chunk in its shard.
        offset: examples of the chunk that have been given out.
    """

    epoch: int = 0
    slice: int = 0
    chunk: int = 0
    offset: int = 0


@dataclass(frozen=True)
class WorkerCursor:
    """How far a worker has read.

    Attributes:
        worker: its number.
        num_examples: that it has given out.
        sources: how far it has read each; empty at the start.
    """

    worker: int
    num_examples: int = 0
    sources: tuple[Cursor, ...] = ()


def deal_shards(num_shards: int, seed: int, epoch: int, source: int, worker: int, num_workers: int) -> list[ShardSlice]:
    """What a worker reads of a source in an epoch, in its order.

    The shards are permuted, and worker w of W reads shards w, w + W, w + 2 x W, ... Fewer shards than workers are
    shared: the workers of a shard take its chunks in turn, and the one that takes the first changes from epoch to
    epoch, so that none is always left without. All workers together read each chunk once.

    Args:
        num_shards: at least 1.
        seed: of the permutation.
        epoch: from 0.
        source: number of the source.
        worker: from 0.
        num_workers: of all ranks.
    """
    order = np.random.default_rng((seed, epoch, source)).permutation(num_shards).tolist()
    if num_shards >= num_workers:
        return [ShardSlice(shard) for shard in order[worker::num_workers]]
    turn, index = divmod(worker, num_shards)
    num_sharers = -(-(num_workers - index) // num_shards)
    return [ShardSlice(order[index], (turn + epoch) % num_sharers, num_sharers)]


def read_chunks(
    shard: Shard, part: ShardSlice, size: int, skip_bad: bool, start: int = 0
) -> Iterator[tuple[int, list[str], list[BadRecordError]]]:
    """Reads the chunks of a shard slice, one at a time.

    Args:
        shard: that the slice is of.
        part: which chunks.
        size: documents in a chunk; the last one may have fewer.
        skip_bad: leaves out what can't be read.
        start: number of the chunk to begin with; chunks before it are read and dropped.

    Yields:
        The number of a chunk in its shard, its documents, and what was left out.
    """
    bad: list[BadRecordError] = []
    texts = shard.read(bad.append)
    for number in count():
        bad.clear()
        chunk = islice(texts, size)
        is_ours = number >= start and number % part.step == part.first
        read = list(chunk) if is_ours else []
        if is_ours and bad and not skip_bad:
            raise InputError(f"{bad[0]}; data.skip_bad true leaves out what can't be read")
        if not (read or sum(1 for _ in chunk)):
            return
        if is_ours:
            yield number, read, list(bad)


def shuffle_chunk(num_blocks: int, seed: int, epoch: int, source: int, shard: int, chunk: int) -> IntArray:
    """The order of the blocks of a chunk in an epoch, shape (num_blocks,)."""
    return np.random.default_rng((seed, epoch, source, shard, chunk)).permutation(num_blocks)


def number_examples(source: int, shard: int, chunk: int, num_blocks: int) -> IntArray:
    """The example ids of the blocks of a chunk, shape (num_blocks,): hashes of their positions, each at least 0.

    Two of n examples have the same with a probability of n^2 / 2^64, and the same random numbers for their masks then.
    """
    key = hash_examples(source, shard, np.array([chunk]))[0]
    return (hash_examples(int(key), 0, np.arange(num_blocks)) >> np.uint64(1)).astype(np.int64)


def draw_sources(weights: Sequence[float], seed: int, worker: int, first: int, num: int) -> IntArray:
    """The sources that examples of a worker come from, with probabilities in proportion to their weights.

    Args:
        weights: of the sources, each above 0.
        seed: of the draw.
        worker: its number.
        first: examples that it has given out before.
        num: of examples.

    Returns:
        Numbers of sources, shape (num,); without a draw where there is only one.
    """
    if len(weights) == 1:
        return np.zeros(num, np.int64)
    boundaries = np.cumsum(weights)[:-1] / np.sum(weights)
    uniform = draw_uniform(hash_examples(seed, worker, first + np.arange(num)), np.zeros(1, np.int64), SOURCE)
    return np.searchsorted(boundaries, uniform, side="right")
