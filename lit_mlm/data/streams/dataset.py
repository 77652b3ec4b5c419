"""Training examples of a corpus that is streamed over and over."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from lit_mlm.data.batches import BatchKey
from lit_mlm.data.masked.dataset import MaskedBlocks
from lit_mlm.data.packed import pack
from lit_mlm.data.reading.documents import hash_texts
from lit_mlm.data.streams.chunks import Chunk
from lit_mlm.data.streams.sampler import StreamedBatch, StreamKey
from lit_mlm.data.streams.shards import (
    Cursor,
    ShardSlice,
    StreamSource,
    WorkerCursor,
    deal_shards,
    draw_sources,
    number_examples,
    read_chunks,
    shuffle_chunk,
)
from lit_mlm.errors import InputError
from lit_mlm.text.arrays import BoolArray
from lit_mlm.text.blocks import BlockTable

log = logging.getLogger(__name__)


class Example(NamedTuple):
    """A block to be put into a batch.

    Attributes:
        ids: token ids, shape (num_tokens,).
        word_starts: whether each token begins a word, shape (num_tokens,), if recorded.
        example_id: hash of its source, shard, chunk and index.
        epoch: of its source.
    """

    ids: npt.NDArray[np.int32]
    word_starts: BoolArray | None
    example_id: int
    epoch: int


@dataclass
class StreamedBlocks(Dataset[Any]):
    """Makes the batches of a worker, which must be requested in order.

    The number of workers affects what a batch holds, but not how an example is masked: that is a function of the seed,
    the source's epoch and the example's position in the corpus.

    Attributes:
        sources: corpora.
        chunk_documents: documents read and shuffled at a time.
        cut: makes blocks of documents.
        make_blocks: `MaskedBlocks` with its options, called with the tokens of a batch.
        seed: of the order.
        batch_size: examples per batch.
        skip_bad: skips bad records.
        num_workers: of all ranks, among which the sources are dealt.
        num_batches: of a rank in the whole training, the length of a mask schedule.
        packs: whether batches are packed, in rows of at most `max_width` tokens.
    """

    sources: Sequence[StreamSource]
    chunk_documents: int
    cut: Callable[[Sequence[str]], Chunk]
    make_blocks: Callable[..., MaskedBlocks]
    seed: int
    batch_size: int
    skip_bad: bool = False
    num_workers: int = 1
    num_batches: int = 1
    packs: bool = False
    max_width: int | None = None
    _worker: "StreamWorker | None" = field(default=None, init=False, repr=False)
    _has_warned: bool = field(default=False, init=False, repr=False)

    def __getitem__(self, key: StreamKey) -> StreamedBatch | InputError:
        """The batch and the worker's cursor after it, or a bad record for the loader to raise.

        An error raised in a worker process would arrive with its traceback as text.
        """
        try:
            if key.begin is not None:
                if get_worker_info() is not None:  # a forked process lacks the tokenizer's threads
                    os.environ["TOKENIZERS_PARALLELISM"] = "false"
                self._worker = StreamWorker(self, key.begin)
            if self._worker is None:
                raise RuntimeError(f"batch {key.number} was requested before the stream has begun")
            examples = self._worker.take(self.batch_size)
            return StreamedBatch(self._mask(key.number, examples), self._worker.cursor)
        except InputError as error:
            return error

    def iterate(self, source: int, worker: int, cursor: Cursor) -> Iterator[tuple[Example, Cursor]]:
        """Yields a worker's examples of a source endlessly from a cursor, each with the cursor after it."""
        num_shards, num_empty = len(self.sources[source].shards), 0
        for epoch in count(cursor.epoch):
            slices = deal_shards(num_shards, self.seed, epoch, source, worker, self.num_workers)
            is_empty = cursor == Cursor(epoch)
            for number in range(cursor.slice, len(slices)):
                start = cursor if number == cursor.slice else Cursor(epoch, number)
                for found in self._iterate_slice(source, slices[number], start):
                    is_empty = False
                    yield found
            num_empty = num_empty + 1 if is_empty else 0
            if num_empty == self.num_workers:  # before, other workers may have had all the text
                self.read_first_chunk(source)
                num_empty = 0
            cursor = Cursor(epoch + 1)

    def read_first_chunk(self, source: int = 0) -> tuple[int, int, Chunk]:
        """The first chunk with blocks, in the order of the shards: its shard, its number there, and itself."""
        shards = self.sources[source].shards
        for shard in range(len(shards)):
            for number, texts, _ in read_chunks(shards[shard], ShardSlice(shard), self.chunk_documents, self.skip_bad):
                chunk = self.cut(texts)
                if len(chunk.table):
                    return shard, number, chunk
        more = f" and {len(shards) - 1:,} more" if len(shards) > 1 else ""
        reason = "there is no text, or data.drop_tail drops all of it"
        raise InputError(f"data.streaming: {shards[0].name}{more}: no block to train on: {reason}")

    def _iterate_slice(self, source: int, part: ShardSlice, start: Cursor) -> Iterator[tuple[Example, Cursor]]:
        shard = self.sources[source].shards[part.shard]
        for number, texts, bad in read_chunks(shard, part, self.chunk_documents, self.skip_bad, start.chunk):
            if bad and not self._has_warned:
                log.warning("%s; skipped, as are all other bad records", bad[0])
                self._has_warned = True
            chunk_hash = hash_texts(texts)[:16]
            if number == start.chunk and start.chunk_hash not in ("", chunk_hash):
                place = (
                    f"documents {number * self.chunk_documents + 1:,} to {number * self.chunk_documents + len(texts):,}"
                )
                raise InputError(
                    f"data.streaming: {shard.name}: {place} are not those that the checkpoint has read; only what "
                    "comes after them may change"
                )
            chunk, position = self.cut(texts), (source, part.shard, number)
            ids = number_examples(*position, len(chunk.table))
            order = shuffle_chunk(len(chunk.table), self.seed, start.epoch, *position)
            for offset in range(start.offset if number == start.chunk else 0, len(order)):
                block = order[offset]
                tokens = slice(chunk.table.starts[block], chunk.table.ends[block])
                words = None if chunk.word_starts is None else chunk.word_starts[tokens]
                example = Example(chunk.ids[tokens], words, int(ids[block]), start.epoch)
                yield example, Cursor(start.epoch, start.slice, number, offset + 1, chunk_hash)

    def _mask(self, number: int, examples: Sequence[Example]) -> dict[str, Tensor]:
        """The batch of some examples; a mask schedule counts each batch as an epoch."""
        ends = np.cumsum([len(example.ids) for example in examples])
        starts = np.concatenate([[0], ends[:-1]])
        words = [example.word_starts for example in examples if example.word_starts is not None]
        blocks = self.make_blocks(
            stream=np.concatenate([example.ids for example in examples]),
            table=BlockTable(starts, ends, num_dropped_tokens=0),
            chosen=np.arange(len(examples)),
            word_starts=np.concatenate(words) if words else None,
            example_ids=np.array([example.example_id for example in examples]),
            num_epochs=self.num_batches,
        )
        source_epochs = np.array([example.epoch for example in examples])
        batch = blocks[BatchKey(number, blocks.chosen, source_epochs=source_epochs)]
        return pack(batch, self.max_width) if self.packs else batch


class StreamWorker:
    """Takes examples from the sources in turn; `cursor` is its position."""

    def __init__(self, blocks: StreamedBlocks, begin: WorkerCursor) -> None:
        cursors = begin.sources or (Cursor(),) * len(blocks.sources)
        self.cursor = replace(begin, sources=cursors)
        self._seed, self._weights = blocks.seed, [source.weight for source in blocks.sources]
        self._examples = [blocks.iterate(i, begin.worker, cursor) for i, cursor in enumerate(cursors)]

    def take(self, num: int) -> list[Example]:
        """The next examples."""
        cursor, examples = self.cursor, []
        cursors = list(cursor.sources)
        for source in draw_sources(self._weights, self._seed, cursor.worker, cursor.num_examples, num):
            example, cursors[source] = next(self._examples[source])
            examples.append(example)
        self.cursor = WorkerCursor(cursor.worker, cursor.num_examples + num, tuple(cursors))
        return examples
