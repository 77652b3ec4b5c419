"""Which part of a streamed corpus comes when, and to whom: a pure function of (seed, pass, consumer).

A corpus is read again and again, pass after pass. It lies in shards, and the documents of a shard are read in chunks,
one after the other. Whoever reads is a consumer: a worker of a rank.
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
        name: of the file, or of the place on the Hub, for messages.
        key: stands for what is in it, in a fingerprint: names and sizes rather than the texts, which nobody has read.
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
class Part:
    """What a consumer takes of a shard in a pass: the chunks `first`, `first + step`, `first + 2 x step`, ...

    Attributes:
        shard: its number in the source.
        first: number of the first chunk.
        step: from a chunk to the next.
    """

    shard: int
    first: int = 0
    step: int = 1


@dataclass(frozen=True)
class Place:
    """Where a consumer stands in a source; with it and the options alone the examples go on.

    Attributes:
        passes: through the source before this one.
        part: number of the part among those that are the consumer's in this pass.
        chunk: number of the chunk in its shard.
        offset: examples of the chunk that have been given out.
    """

    passes: int = 0
    part: int = 0
    chunk: int = 0
    offset: int = 0


@dataclass(frozen=True)
class StreamPlace:
    """Where a consumer stands.

    Attributes:
        consumer: its number.
        num_examples: that it has given out.
        sources: where it stands in each; empty at the start.
    """

    consumer: int
    num_examples: int = 0
    sources: tuple[Place, ...] = ()


def deal_shards(num_shards: int, seed: int, passes: int, source: int, consumer: int, num_consumers: int) -> list[Part]:
    """What a consumer takes of a source in a pass, in its order.

    The shards are permuted, and consumer c of C takes shards c, c + C, c + 2 x C, ... Of fewer shards than consumers
    each is shared: those who share it take its chunks in turn, and who takes the first one changes from pass to pass,
    so that nobody is always left without. All consumers together take each chunk once.

    Args:
        num_shards: at least 1.
        seed: of the permutation.
        passes: number of the pass, from 0.
        source: number of the source.
        consumer: from 0.
        num_consumers: how many there are.
    """
    order = np.random.default_rng((seed, passes, source)).permutation(num_shards).tolist()
    if num_shards >= num_consumers:
        return [Part(shard) for shard in order[consumer::num_consumers]]
    turn, place = divmod(consumer, num_shards)
    num_sharers = -(-(num_consumers - place) // num_shards)
    return [Part(order[place], (turn + passes) % num_sharers, num_sharers)]


def read_chunks(
    shard: Shard, part: Part, size: int, skip_bad: bool, start: int = 0
) -> Iterator[tuple[int, list[str], list[BadRecordError]]]:
    """Reads the chunks of a part, one at a time.

    Args:
        shard: that the part is of.
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


def shuffle_chunk(num_blocks: int, seed: int, passes: int, source: int, shard: int, chunk: int) -> IntArray:
    """The order of the blocks of a chunk in a pass, shape (num_blocks,)."""
    return np.random.default_rng((seed, passes, source, shard, chunk)).permutation(num_blocks)


def number_examples(source: int, shard: int, chunk: int, num_blocks: int) -> IntArray:
    """The example ids of the blocks of a chunk, shape (num_blocks,): hashes of where they stand, each at least 0.

    Two of n examples have the same with a probability of n^2 / 2^64, and the same random numbers for their masks then.
    """
    key = hash_examples(source, shard, np.array([chunk]))[0]
    return (hash_examples(int(key), 0, np.arange(num_blocks)) >> np.uint64(1)).astype(np.int64)


def draw_sources(weights: Sequence[float], seed: int, consumer: int, first: int, num: int) -> IntArray:
    """The sources that examples of a consumer come from, with probabilities in proportion to their weights.

    Args:
        weights: of the sources, each above 0.
        seed: of the draw.
        consumer: its number.
        first: examples that it has given out before.
        num: of examples.

    Returns:
        Numbers of sources, shape (num,); without a draw where there is only one.
    """
    if len(weights) == 1:
        return np.zeros(num, np.int64)
    boundaries = np.cumsum(weights)[:-1] / np.sum(weights)
    uniform = draw_uniform(hash_examples(seed, consumer, first + np.arange(num)), np.zeros(1, np.int64), SOURCE)
    return np.searchsorted(boundaries, uniform, side="right")
