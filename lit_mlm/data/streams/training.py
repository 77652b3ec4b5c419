"""Corpora larger than the disk: the training text is read as a stream, and nothing of it is kept."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from datasets import Dataset
from torch.utils.data import DataLoader

from lit_mlm.data.masked.dataset import MaskedBlocks
from lit_mlm.data.masked.module import BlocksDataModule
from lit_mlm.data.reading.documents import make_documents
from lit_mlm.data.streams.chunks import ChunkCutter
from lit_mlm.data.streams.dataset import StreamedBlocks
from lit_mlm.data.streams.sampler import StreamLoader, StreamSampler
from lit_mlm.data.streams.shards import Cursor, StreamSource, WorkerCursor, number_examples
from lit_mlm.errors import InputError
from lit_mlm.options import Count
from lit_mlm.text.blocks import IntArray
from lit_mlm.text.special_tokens import find_pad_id

CHUNK_DOCUMENTS = 1000
"""The default of `data.chunk_documents`."""

WHOLE_TEXT_OPTIONS = {
    "vocab_size": "trains a tokenizer on the whole text: train one on a part of it, and give data.tokenizer",
    "num_new_words": "counts the words of the whole text: find them in a part of it, and give data.new_words",
    "num_train_blocks": "is a sample of all blocks: give trainer.max_steps",
    "pack_length": "packs the whole text: leave it out",
    "map_batch_size": "is for text that is cut as a whole: give data.chunk_documents",
}
"""Options that need the whole training text at once, and what to do instead."""


@dataclass(frozen=True)
class StreamOptions:
    """The options of a data module that can stream; those of the same names."""

    streaming: bool = False
    chunk_documents: Count | None = None

    def __post_init__(self) -> None:
        """Refuses options that don't fit together."""
        if self.chunk_documents is not None and not self.streaming:
            raise InputError(f"data.chunk_documents ({self.chunk_documents}) has no effect without data.streaming true")

    @property
    def size(self) -> int:
        """Documents in a chunk."""
        return self.chunk_documents or CHUNK_DOCUMENTS


class TrainingStream:
    """Training text that is read while training goes on; of a data module whose other text is read as ever.

    Args:
        data: whose tokenizer, blocks and masks it has.
        options: with streaming on.
        load_sources: gives the corpora and their shards.
        skip_bad: leaves out what can't be read.

    Raises:
        InputError: if the data has an option that needs the whole training text.
    """

    def __init__(
        self,
        data: BlocksDataModule,
        options: StreamOptions,
        load_sources: Callable[[], Sequence[StreamSource]],
        skip_bad: bool,
    ) -> None:
        for name, value in {
            "vocab_size": data.tokenizer_options.vocab_size,
            "num_new_words": data.reader.words.num_new_words,
            "num_train_blocks": data.samples.num_train_blocks,
            "pack_length": data.pack_length,
            "map_batch_size": data.blocks.map_batch_size,
        }.items():
            if value is not None:
                raise InputError(f"data.streaming: data.{name} {value} {WHOLE_TEXT_OPTIONS[name]}")
        if data.samples.val_source == "train_blocks":
            raise InputError("data.streaming: data.val_source train_blocks holds out blocks of the whole training text")
        self._data, self._options, self._load_sources, self._skip_bad = data, options, load_sources, skip_bad
        self._sources: Sequence[StreamSource] = []
        self._blocks: StreamedBlocks | None = None
        self._num_batches: int | None = None
        self._restored: dict[int, WorkerCursor] = {}

    def open(self) -> None:
        """Finds the corpora and the end of training, before text is tokenised."""
        if self._data.trainer is not None:  # later `SaveCheckpoints` may have set its end aside
            self._num_batches = count_batches(self._data.trainer)
        self._sources = self._load_sources()

    def begin(self) -> None:
        """Makes the first examples, with the tokenizer: a bad record is better met here than in a worker."""
        data, cutter = self._data, self._data.split_maker.cutter
        make_blocks = partial(
            MaskedBlocks,
            special_tokens=cutter.special_tokens,
            masking=data.masks.make_masking(data.tokenizer),
            seed=data.train_seed,
            pad_id=find_pad_id(data.tokenizer),
            schedule=data.masks.schedule,
        )
        cut = ChunkCutter(data.tokenizer, cutter, data.finds_words, data.masks.segmenter)
        size, skip_bad = self._options.size, self._skip_bad
        self._blocks = StreamedBlocks(self._sources, size, cut, make_blocks, data.train_seed, data.batch_size, skip_bad)
        for number in range(len(self._sources)):
            self._blocks.read_first_chunk(number)

    @property
    def has_begun(self) -> bool:
        """Whether `begin` was called."""
        return self._blocks is not None

    @property
    def key(self) -> str:
        """SHA-256 (hex) that represents the text by the names and sizes of its files, and how it is read.

        Not `skip_bad`: until a bad line is met it changes nothing, and then a run may resume without it.
        """
        sources = [[source.weight, [shard.key for shard in source.shards]] for source in self._sources]
        return hashlib.sha256(json.dumps(["streamed", sources, self._options.size]).encode()).hexdigest()

    @property
    def order_options(self) -> dict[str, Any]:
        """What the order depends on."""
        data, schedule = self._data, self._data.masks.schedule
        changes = schedule is not None and schedule.changes
        return {
            "num_workers": data.num_workers,
            "batch_size": data.batch_size,
            "streaming over so many devices:": data.rank[1],
        } | ({"mask_schedule over so many batches:": self._num_batches} if changes else {})

    def make_loader(self) -> DataLoader[Any]:
        """Batches of the whole training."""
        if self._num_batches is None or self._blocks is None:
            raise InputError("data.streaming needs a trainer, which knows the end of the stream")
        data, rank, num_ranks = self._data, *self._data.rank
        get_start, get_cursors = data.count_seen_batches, lambda: self._restored
        sampler = StreamSampler(self._num_batches, data.num_workers, rank, num_ranks, get_start, get_cursors)
        num_workers = num_ranks * sampler.num_workers
        blocks = replace(self._blocks, num_workers=num_workers, num_batches=self._num_batches)
        return data.make_loader(blocks, sampler, StreamLoader)

    @property
    def cursors(self) -> dict[int, Any]:
        """The cursors of this rank's workers after the batches that were handed out, as plain data."""
        loader = self._data.trainer.train_dataloader if self._data.trainer else None
        found = self._restored | (loader.cursors if isinstance(loader, StreamLoader) else {})
        return {number: astuple(cursor) for number, cursor in found.items()}

    def restore(self, cursors: dict[int, Any]) -> None:
        """Has the stream resume from what `cursors` gave."""
        self._restored = {
            number: WorkerCursor(worker, num_examples, tuple(Cursor(*cursor) for cursor in sources))
            for number, (worker, num_examples, sources) in cursors.items()
        }

    def describe(self) -> str:
        """What is streamed, in a few words."""
        num_shards, weights = sum(len(source.shards) for source in self._sources), self._data.source_weights
        text = f"streamed: {num_shards:,} shard{'s' * (num_shards > 1)}, chunks of {self._options.size:,} documents"
        shares = ", ".join(f"{name} {weight / sum(weights.values()):.1%}" for name, weight in weights.items())
        return text + (f", mixed: {shares}" if shares else "")

    def find_shown(self) -> tuple[str, Dataset, IntArray, MaskedBlocks]:
        """What `lit_mlm.data.show` describes, of the first chunk: title, documents, tokens of each, and examples."""
        if self._blocks is None:
            raise RuntimeError("the stream has not begun")
        shard, number, chunk = self._blocks.read_first_chunk()
        examples = self._blocks.make_blocks(
            stream=chunk.ids,
            table=chunk.table,
            chosen=np.arange(len(chunk.table)),
            word_starts=chunk.word_starts,
            example_ids=number_examples(0, shard, number, len(chunk.table)),
        )
        title = f"train, chunk {number} of {self._sources[0].shards[shard].name}"
        return title, make_documents(chunk.documents), chunk.document_lengths, examples


def count_batches(trainer: Any) -> int:
    """The batches of a rank in the whole training, which is one epoch.

    Args:
        trainer: of Lightning.

    Raises:
        InputError: if there is no end, or an epoch that ends before it.
    """
    if trainer.max_steps < 1:
        raise InputError("data.streaming: a stream has no end: give trainer.max_steps")
    num_batches: int = trainer.max_steps * trainer.accumulate_grad_batches
    limit = trainer.limit_train_batches
    is_cut = limit < num_batches if isinstance(limit, int) else limit < 1
    if is_cut and not trainer.fast_dev_run:
        raise InputError(
            f"data.streaming: trainer.limit_train_batches {limit} would end an epoch, and a stream has but one: "
            "leave it out, trainer.max_steps says where the training ends"
        )
    return num_batches
