"""Corpora larger than the disk: the training text is read as a stream, and nothing of it is kept."""

import hashlib
import json
import os
from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import astuple, replace
from functools import partial
from typing import Any

import numpy as np
from datasets import Dataset
from torch.utils.data import DataLoader

from lit_mlm.data.base import require_at_least
from lit_mlm.data.masked.corpus import CorpusDataModule
from lit_mlm.data.masked.dataset import MaskedBlocks
from lit_mlm.data.reading.documents import make_documents
from lit_mlm.data.streams.chunks import ChunkCutter
from lit_mlm.data.streams.dataset import StreamedBlocks
from lit_mlm.data.streams.order import StreamLoader, StreamOrder
from lit_mlm.data.streams.shards import Place, StreamPlace, StreamSource, number_examples
from lit_mlm.errors import InputError
from lit_mlm.text.blocks import IntArray
from lit_mlm.text.special_tokens import find_pad_id

WHOLE_TEXT_OPTIONS = {
    "vocab_size": "trains a tokenizer on the whole text: train one on a part of it, and give data.tokenizer",
    "num_new_words": "counts the words of the whole text: find them in a part of it, and give data.new_words",
    "num_train_blocks": "is a sample of all blocks: give trainer.max_steps",
    "pack_length": "packs the whole text: leave it out",
    "map_batch_size": "is for text that is cut as a whole: give data.chunk_documents",
}
"""Options that need the whole training text at once, and what to do instead."""


CHUNK_DOCUMENTS = 1000
"""The default of `data.chunk_documents`."""


class StreamingDataModule(CorpusDataModule):
    """Streams the training text on request; other text is read, tokenised and cached as ever.

    A data set that can be streamed is a subclass with two methods, `load_documents` and `load_sources`.

    Args:
        streaming: reads the training text while training goes on, over and over, and keeps nothing of it on the disk.
            `trainer.max_steps` says when it ends. Files are dealt to devices and workers; fewer files than these are
            read by several of them.
        chunk_documents: documents that are read at a time when streaming: they are cut by themselves and their blocks
            shuffled, while the chunks of a file come in its order. 1,000 by default.
    """

    def __init__(self, streaming: bool = False, chunk_documents: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        require_at_least(1, chunk_documents=chunk_documents)
        if chunk_documents is not None and not streaming:
            raise InputError(f"data.chunk_documents ({chunk_documents}) has no effect without data.streaming true")
        for name, advice in WHOLE_TEXT_OPTIONS.items() if streaming else ():
            if self.hparams[name] is not None:
                raise InputError(f"data.streaming: data.{name} {self.hparams[name]} {advice}")
        if streaming and self.hparams["val_source"] == "train_blocks":
            raise InputError("data.streaming: data.val_source train_blocks holds out blocks of the whole training text")
        self.save_hyperparameters(logger=False)
        self.streamed: StreamedBlocks | None = None
        self._sources: Sequence[StreamSource] = []
        self._restored: dict[int, StreamPlace] = {}
        self._num_batches: int | None = None

    @abstractmethod
    def load_sources(self) -> Sequence[StreamSource]:
        """The corpora that the training text is streamed from, and their shards.

        Raises:
            InputError: if one of them is not there.
        """

    def load_texts(self, splits: Collection[str]) -> dict[str, Dataset]:
        """Reads documents, but not those that are streamed.

        Raises:
            InputError: if they are asked for.
        """
        if self.hparams["streaming"] and "train" in splits:
            raise InputError(
                "data.streaming: the training text is never read as a whole; take --splits val, or look at a part of "
                "it with data.streaming false"
            )
        return super().load_texts(splits)

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of training blocks; of a stream as many as make the whole training."""
        if self.streamed is None:
            return super().train_dataloader()
        if self._num_batches is None:
            raise InputError("data.streaming needs a trainer, which knows the end of the stream")
        num_batches, num_workers = self._num_batches, self.num_workers
        rank, num_ranks = self._find_rank()
        order = StreamOrder(num_batches, num_workers, rank, num_ranks, self._count_seen_batches, lambda: self._restored)
        num_consumers = num_ranks * order.num_workers
        blocks = replace(self.streamed, num_consumers=num_consumers, num_batches=num_batches)
        return self._load_in_order(blocks, order, StreamLoader)

    @property
    def stream_places(self) -> dict[int, Any] | None:
        """Where the consumers of this rank stand behind the batches that were handed out, as plain data.

        None where nothing is streamed.
        """
        loader = self.trainer.train_dataloader if self.trainer else None
        if self.streamed is None or not isinstance(loader, StreamLoader):
            return None
        return {number: astuple(place) for number, place in (self._restored | loader.places).items()}

    def restore_stream(self, places: dict[int, Any]) -> None:
        """Has the stream go on from where `stream_places` says."""
        self._restored = {
            number: StreamPlace(consumer, num_examples, tuple(Place(*place) for place in sources))
            for number, (consumer, num_examples, sources) in places.items()
        }

    @property
    def sequence_length(self) -> int:
        """The length of the longest sequence in any batch, in tokens; of a stream the longest that may come."""
        return self._block_size if self.streamed is not None else super().sequence_length

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) as ever; of a streamed text the names and sizes of its files stand for it."""
        return super().fingerprint if self.streamed is None else self._fingerprint([*sorted(self.examples), "train"])

    @property
    def order_options(self) -> dict[str, Any]:
        """What the order of a stream depends on."""
        if self.streamed is None:
            return super().order_options
        changes = self.schedule is not None and self.schedule.changes
        return {
            "num_workers": self.num_workers,
            "batch_size": self.hparams["batch_size"],
            "streaming over so many devices:": self._find_rank()[1],
        } | ({"mask_schedule over so many batches:": self._num_batches} if changes else {})

    def describe(self) -> str:
        """Adds what is streamed."""
        return super().describe() + (f", train {self._describe_stream()}" if self.streamed is not None else "")

    def describe_streams(self) -> Iterator[str]:
        """Adds that there is nothing to be prepared of a streamed text."""
        if self.streamed is not None:
            yield f"train: {self._describe_stream()}, tokenised in the run"
        yield from super().describe_streams()

    def _find_splits(self, stage: str) -> tuple[str, ...]:
        splits = super()._find_splits(stage)
        return tuple(split for split in splits if split != "train") if self.hparams["streaming"] else splits

    def _load(self, stage: str) -> None:
        streams = self.hparams["streaming"] and stage == "fit"
        if streams and self.trainer is not None:  # later `SaveCheckpoints` may have set its end aside
            self._num_batches = self._count_batches()
        super()._load(stage)
        if streams:
            self._sources = self.load_sources()
            self._text_hashes["train"] = self._hash_sources()

    def _make_splits(self, stage: str) -> None:
        super()._make_splits(stage)
        if self.hparams["streaming"] and stage == "fit":
            self.streamed = self._make_streamed()
            for number in range(len(self._sources)):
                self.streamed.read_first_chunk(number)  # a mistake in the text is better met here than in a worker

    def _make_streamed(self) -> StreamedBlocks:
        options, seed = self.hparams, int(os.environ.get("PL_GLOBAL_SEED", "0"))
        cutter = ChunkCutter(
            self.tokenizer,
            self._find_room(),
            options["block_policy"],
            options["drop_tail"],
            options["truncate"],
            options["special_tokens"] == "document",
            self.finds_words,
            self.segmenter,
        )
        make_blocks = partial(
            MaskedBlocks,
            around=self._around,
            masking=self._make_masking(),
            seed=seed,
            pad_id=find_pad_id(self.tokenizer),
            schedule=self.schedule,
        )
        place = self._chunk_documents, cutter, make_blocks, seed, options["batch_size"], options["skip_bad"]
        return StreamedBlocks(self._sources, *place)

    def _hash_sources(self) -> str:
        """Stands for the text and for how it is read."""
        sources = [[source.weight, [shard.key for shard in source.shards]] for source in self._sources]
        # Not `skip_bad`: until a bad line is met it changes nothing, and then a run may go on without it.
        return hashlib.sha256(json.dumps(["streamed", sources, self._chunk_documents]).encode()).hexdigest()

    def find_shown(self, split: str) -> tuple[str, Dataset, IntArray, MaskedBlocks]:
        """Of a stream the first chunk."""
        if split != "train" or self.streamed is None:
            return super().find_shown(split)
        shard, number, chunk = self.streamed.read_first_chunk()
        example_ids = number_examples(0, shard, number, len(chunk.table))
        examples = self.streamed.make_blocks(
            stream=chunk.ids,
            table=chunk.table,
            chosen=np.arange(len(chunk.table)),
            word_starts=chunk.word_starts,
            example_ids=example_ids,
        )
        title = f"train, chunk {number} of {self._sources[0].shards[shard].name}"
        return title, make_documents(chunk.documents), chunk.document_lengths, examples

    def _describe_stream(self) -> str:
        num_shards = sum(len(source.shards) for source in self._sources)
        text = f"streamed: {num_shards:,} shard{'s' * (num_shards > 1)}, chunks of {self._chunk_documents:,} documents"
        total = sum(self.source_weights.values())
        shares = ", ".join(f"{name} {weight / total:.1%}" for name, weight in self.source_weights.items())
        return text + (f", mixed: {shares}" if shares else "")

    @property
    def _chunk_documents(self) -> int:
        return self.hparams["chunk_documents"] or CHUNK_DOCUMENTS

    def _count_batches(self) -> int:
        """The batches of a rank in the whole training, which is one epoch.

        Raises:
            InputError: if there is no end, or an epoch that ends before it.
        """
        trainer: Any = self.trainer
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
