"""Streams training text that may exceed the disk, without storing it."""

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
from lit_mlm.data.reading.documents import hash_texts, make_documents
from lit_mlm.data.streams.chunks import ChunkCutter
from lit_mlm.data.streams.dataset import StreamedBlocks
from lit_mlm.data.streams.sampler import StreamLoader, StreamSampler
from lit_mlm.data.streams.shards import Cursor, StreamSource, WorkerCursor, find_read_shards, number_examples
from lit_mlm.errors import InputError
from lit_mlm.options import Count, DataOptions
from lit_mlm.text.arrays import IntArray
from lit_mlm.text.special_tokens import find_pad_id

CHUNK_DOCUMENTS = 1000  # by default


@dataclass(frozen=True)
class StreamOptions(DataOptions):
    """Streaming options of a data module."""

    streaming: bool = False
    chunk_documents: Count | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.chunk_documents is not None and not self.streaming:
            raise InputError(f"data.chunk_documents ({self.chunk_documents}) has no effect without data.streaming true")

    @property
    def size(self) -> int:
        """Documents per chunk."""
        return self.chunk_documents or CHUNK_DOCUMENTS


class TrainingStream:
    """Streams the training text of a data module, whose other text is read as usual.

    Args:
        data: provides tokenizer, blocks and masks; no option may need the whole training text.
        options: with streaming on.
        load_sources: returns the corpora and their shards.
        skip_bad: skips bad records.
    """

    def __init__(
        self,
        data: BlocksDataModule,
        options: StreamOptions,
        load_sources: Callable[[], Sequence[StreamSource]],
        skip_bad: bool,
    ) -> None:
        _refuse_whole_text_options(data)
        self._data, self._options, self._load_sources, self._skip_bad = data, options, load_sources, skip_bad
        self._sources: Sequence[StreamSource] = []
        self._blocks: StreamedBlocks | None = None
        self._num_batches: int | None = None
        self._restored: dict[int, WorkerCursor] = {}

    def open(self) -> None:
        """Finds the corpora and the end of training, before text is tokenised."""
        if self._data.trainer is not None:  # before `SaveCheckpoints` changes the trainer's end
            self._num_batches = count_batches(self._data.trainer)
        self._sources = self._load_sources()

    def begin(self) -> None:
        """Makes the first examples, so that a bad record is found here rather than in a worker."""
        data, cutter = self._data, self._data.cutter
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
    def shard_keys(self) -> list[list[str]]:
        """A hash of the names and sizes of the files of each shard of each source, and how they are read."""
        return [[hash_texts([shard.key])[:16] for shard in source.shards] for source in self._sources]

    def make_key(self, shard_keys: Sequence[Sequence[str]]) -> str:
        """SHA-256 (hex) of the shards by their keys, and how they are read.

        `skip_bad` is not part of it: it changes nothing until a bad record is met, and a run may then resume with it.
        """
        sources = [[source.weight, keys] for source, keys in zip(self._sources, shard_keys, strict=True)]
        return hashlib.sha256(json.dumps(["streamed", sources, self._options.size]).encode()).hexdigest()

    def find_changed(
        self, shard_keys: Sequence[Sequence[str]], cursors: Sequence[dict[int, Any]]
    ) -> tuple[list[str], list[str]]:
        """Finds the shards that changed since a checkpoint.

        What was read of a shard before the checkpoint is compared as its workers resume.

        Args:
            shard_keys: those of the checkpoint.
            cursors: of each rank.

        Returns:
            The names of changed shards that were read to their ends, and of the others.
        """
        workers = [cursor for rank in cursors for cursor in _restore_cursors(rank).values()]
        num_workers = len(cursors) * max(1, self._data.num_workers)
        num_shards = [len(source.shards) for source in self._sources]
        read = find_read_shards(workers, num_shards, self._data.train_seed, num_workers)
        names: tuple[list[str], list[str]] = [], []
        for number, (source, old, new) in enumerate(zip(self._sources, shard_keys, self.shard_keys, strict=True)):
            for index, shard in enumerate(source.shards):
                if old[index] != new[index]:
                    names[(number, index) not in read].append(shard.name)
        return names

    @property
    def order_options(self) -> dict[str, Any]:
        """The options that determine the order of training."""
        data, schedule = self._data, self._data.masks.schedule
        changes = schedule is not None and schedule.changes
        return {
            "num_workers": data.num_workers,
            "batch_size": data.batch_size,
            "streaming (devices)": data.rank[1],
        } | ({"mask_schedule (batches)": self._num_batches} if changes else {})

    def make_loader(self) -> DataLoader[Any]:
        """Builds a loader of the whole training."""
        if self._num_batches is None or self._blocks is None:
            raise InputError("data.streaming needs a trainer, which sets the end of the stream")
        data, rank, num_ranks = self._data, *self._data.rank
        get_start, get_cursors = data.count_seen_batches, lambda: self._restored
        sampler = StreamSampler(self._num_batches, data.num_workers, rank, num_ranks, get_start, get_cursors)
        num_workers = num_ranks * sampler.num_workers
        options: dict[str, Any] = {"packs": data.packs, "max_width": data.max_length}
        blocks = replace(self._blocks, num_workers=num_workers, num_batches=self._num_batches, **options)
        return data.make_loader(blocks, sampler, StreamLoader)

    @property
    def cursors(self) -> dict[int, Any]:
        """The cursors of this rank's workers after the batches returned so far, as plain data."""
        loader = self._data.trainer.train_dataloader if self._data.trainer else None
        found = self._restored | (loader.cursors if isinstance(loader, StreamLoader) else {})
        return {number: astuple(cursor) for number, cursor in found.items()}

    def restore(self, cursors: dict[int, Any]) -> None:
        """Restores the stream from `cursors`."""
        self._restored = _restore_cursors(cursors)

    def describe(self) -> str:
        """Describes the stream in a few words."""
        num_shards, weights = sum(len(source.shards) for source in self._sources), self._data.source_weights
        text = f"streamed: {num_shards:,} shard{'s' * (num_shards > 1)}, chunks of {self._options.size:,} documents"
        shares = ", ".join(f"{name} {weight / sum(weights.values()):.1%}" for name, weight in weights.items())
        return text + (f", mixed: {shares}" if shares else "")

    def find_shown(self) -> tuple[str, Dataset, IntArray, MaskedBlocks]:
        """The title, documents, token counts and examples of the first chunk, for `lit_mlm.data.show`."""
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


def _restore_cursors(cursors: dict[int, Any]) -> dict[int, WorkerCursor]:
    """The cursors of workers from plain data."""
    return {
        number: WorkerCursor(worker, num_examples, tuple(Cursor(*cursor) for cursor in sources))
        for number, (worker, num_examples, sources) in cursors.items()
    }


def _refuse_whole_text_options(data: BlocksDataModule) -> None:
    """Rejects options that need the whole training text."""
    vocab_size, num_new_words = data.tokenizer_options.vocab_size, data.reader.words.num_new_words
    for name, value, reason in (
        (
            "vocab_size",
            vocab_size,
            "trains a tokenizer on the whole text; give data.tokenizer, trained on a part of it",
        ),
        ("num_new_words", num_new_words, "counts the words of the whole text; give data.new_words, of a part of it"),
        ("num_train_blocks", data.samples.num_train_blocks, "samples all blocks; give trainer.max_steps"),
        ("pack_length", data.pack_length, "packs the whole text; remove it"),
        ("map_batch_size", data.blocks.map_batch_size, "cuts the text as a whole; give data.chunk_documents"),
    ):
        if value is not None:
            raise InputError(f"data.streaming: data.{name} {value} {reason}")
    if data.samples.val_source == "train_blocks":
        raise InputError("data.streaming: data.val_source train_blocks holds out blocks of the whole training text")


def count_batches(trainer: Any) -> int:
    """The batches of a rank in the whole training, which is a single epoch with a known end."""
    if trainer.max_steps < 1:
        raise InputError("data.streaming: a stream has no end; give trainer.max_steps")
    num_batches: int = trainer.max_steps * trainer.accumulate_grad_batches
    limit = trainer.limit_train_batches
    is_cut = limit < num_batches if isinstance(limit, int) else limit < 1
    if is_cut and not trainer.fast_dev_run:
        raise InputError(
            f"data.streaming: trainer.limit_train_batches {limit} would end the only epoch of a stream; use "
            "trainer.max_steps instead"
        )
    return num_batches
