"""Masked language modelling: documents in, masked blocks out."""

import hashlib
import json
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any, Literal

from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase

from lit_mlm.data.base import TextDataModule
from lit_mlm.data.masked.blocks import BlockOptions, BlockPolicy
from lit_mlm.data.masked.dataset import MaskedBlocks
from lit_mlm.data.masked.documents import DocumentReader, TokenizedText
from lit_mlm.data.masked.masks import MaskOptions
from lit_mlm.data.masked.samples import SampleOptions
from lit_mlm.data.masked.splits import BlockSplit, SplitMaker, describe_splits
from lit_mlm.data.masked.streamed import TrainStream
from lit_mlm.data.packed import check_pack_length
from lit_mlm.data.reading.corpus import Corpus
from lit_mlm.data.reading.documents import split_documents
from lit_mlm.data.reading.files import OnBad
from lit_mlm.data.tokens.new_words import NewWordOptions
from lit_mlm.errors import InputError
from lit_mlm.nets.pretrained import hash_tokenizer
from lit_mlm.options import Count, Part, Range, Rate, Share
from lit_mlm.text.blocks import DropTail
from lit_mlm.text.masking.schedule import MaskScheduleName
from lit_mlm.text.masking.strategies import MaskingStrategy
from lit_mlm.text.masking.word_starts import Segmenter


class BlocksDataModule(TextDataModule):
    """Cuts documents into blocks and masks these: read, tokenise, cut, choose, mask, and mix or pack on request.

    A new data set is a subclass with one method, `load_documents`.

    Args:
        block_size: tokens in a block, special tokens included; by default the longest that the model takes.
        block_policy: ``concatenate`` joins all documents and cuts the whole; ``document`` cuts each by itself; ``line``
            each line of each document, empty ones left out.
        map_batch_size: has ``concatenate`` cut each this many documents by themselves, as recipes do that cut within
            `Dataset.map`, in batches of 1,000.
        drop_tail: leaves out blocks that are not full; ``unless_alone`` keeps one that is the only one of what is cut
            by itself.
        truncate: keeps only the first block of each document or line.
        special_tokens: put around each ``document`` before it is cut, or around each ``block``.
        num_train_blocks: trains on a random sample of this many blocks.
        num_val_blocks: validates on a random sample of this many blocks.
        num_test_blocks: tests on a random sample of this many blocks.
        val_source: what validation blocks are of: ``documents`` of their own, or ``train_blocks``, the blocks of the
            training text that are not trained on, as in the Hugging Face course: parts of the same documents are then
            on both sides.
        val_fraction: share of the training documents to validate on, where there is no other text for it.
        split_seed: of splits by document and samples.
        masking: chooses what is scored: ``TokenMasking`` (the default), ``WordMasking``, ``SpanMasking``, or a class of
            your own.
        mask_prob: share of the tokens to be scored: the probability of a token, word or span, or a budget.
        mask_token_prob: share of scored tokens that the mask token replaces.
        random_token_prob: share of scored tokens that a random token replaces; the rest stay as they are.
        mask_schedule: how the share of scored tokens changes over training, where evaluation keeps `mask_prob`:
            ``constant``, ``linear`` from rate to rate, or in ``steps`` of equal length.
        train_mask_probs: the rates of training, in their order; by default `mask_prob` all the time.
        num_mask_draws: scores the text of an evaluation under this many independent draws of its masks.
        redraw_eval_masks: draws the masks of an evaluation anew, by the number of optimizer steps before it.
        eval_seed: of the masks in validation and test.
        segmenter: of scripts that are written without spaces: the path of a function, or a class with `__call__`, that
            takes a text and gives the places of its words, pairs of start and end; it may leave text out.
        pack_length: packs blocks into rows of this many tokens, in which each attends to itself alone; `batch_size`
            counts rows. It needs the policy ``document`` or ``line``.
        new_words: words that become one token each, with weights that start as the mean of their old tokens': a list,
            or a text file with a word a line.
        num_new_words: the same for this many words of the training text, the most frequent of those that the
            tokenizer cuts into many tokens.
        min_pieces: into how many at least; 3 by default.
    """

    source_weights: Mapping[str, float] = {}
    """The weight in training of each source of the training text, by its name, where documents have the column
    `lit_mlm.data.reading.documents.SOURCE`."""

    stream: TrainStream | None = None
    """What the training text is streamed by, in place of being read, cut and masked as a whole."""

    def __init__(
        self,
        block_size: Count | None = None,
        block_policy: BlockPolicy = "concatenate",
        map_batch_size: Count | None = None,
        drop_tail: DropTail = False,
        truncate: bool = False,
        special_tokens: Literal["document", "block"] = "document",
        num_train_blocks: int | None = None,
        num_val_blocks: int | None = None,
        num_test_blocks: int | None = None,
        val_source: Literal["documents", "train_blocks"] = "documents",
        val_fraction: Part = 0.1,
        split_seed: int = 42,
        masking: MaskingStrategy | None = None,
        mask_prob: Rate = 0.15,
        mask_token_prob: Share = 0.8,
        random_token_prob: Share = 0.1,
        mask_schedule: MaskScheduleName = "constant",
        train_mask_probs: list[float] | None = None,
        num_mask_draws: Count = 1,
        redraw_eval_masks: bool = False,
        eval_seed: int = 42,
        segmenter: Segmenter | None = None,
        pack_length: Count | None = None,
        new_words: list[str] | str | None = None,
        num_new_words: Count | None = None,
        min_pieces: Annotated[int, Range(least=2)] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if val_source == "train_blocks" and block_policy == "line":
            raise InputError("data.val_source train_blocks needs data.block_policy concatenate or document, not line")
        self.blocks = BlockOptions(block_size, block_policy, map_batch_size, drop_tail, truncate, special_tokens)
        self.samples = SampleOptions(num_train_blocks, num_val_blocks, num_test_blocks, val_source, split_seed)
        self.masks = MaskOptions(
            *(masking, mask_prob, mask_token_prob, random_token_prob, mask_schedule, train_mask_probs),
            *(num_mask_draws, redraw_eval_masks, eval_seed, segmenter),
        )
        words = NewWordOptions(new_words, num_new_words, min_pieces)
        words.refuse_with_trained(self.tokenizer_options.vocab_size)
        reading = block_policy == "line", self.tokenizer_options, words, self.cache_dir, self.num_proc
        self.reader = DocumentReader(self.load_documents, *reading)
        if pack_length is not None and block_policy == "concatenate":
            raise InputError(
                f"data.pack_length {pack_length} needs data.block_policy document or line: the blocks of "
                "concatenated documents are full, so there is nothing to pack"
            )
        self.pack_length, self.val_fraction = pack_length, val_fraction
        self.corpus = Corpus(self.cache_dir)
        self.finds_words = self.masks.strategy.needs_words
        self.compared: list[MaskingStrategy] = []
        self.splits: dict[str, BlockSplit] = {}
        self.texts: dict[str, TokenizedText] = {}
        self._mask_fingerprints: dict[tuple[str, range], str] = {}

    @abstractmethod
    def load_documents(self, splits: Collection[str]) -> dict[str, Dataset]:
        """Loads documents by split.

        Args:
            splits: which of ``"train"``, ``"val"`` and ``"test"`` are needed; more may be returned.

        Returns:
            For each split a data set with the column ``text``, one document a row. No document is in two splits.
        """

    def split_off(self, documents: Dataset, test_fraction: float = 0.0, has_val: bool = False) -> dict[str, Dataset]:
        """Splits text that a data set has for training alone, at random, so that no document is in two splits.

        Args:
            documents: the text.
            test_fraction: share of it to test on.
            has_val: leaves the validation split empty: there is other text for it.

        Returns:
            The splits ``"train"``, ``"val"`` and ``"test"``.
        """
        takes_val = not has_val and self.samples.get_source("val") == "val"
        fractions = [self.val_fraction if takes_val else 0.0, test_fraction]
        val, test, train = split_documents(documents, fractions, self.samples.split_seed)
        return {"train": train, "val": val, "test": test}

    def collect_documents(self, source: str, read: Callable[[OnBad], Iterable[str]]) -> Dataset:
        """Keeps documents of a split or a corpus on disk; `read` gives them, and bad ones to its `on_bad`."""
        return self.corpus.collect(source, read, self.bad_records)

    # From documents to examples

    def load_texts(self, splits: Collection[str]) -> dict[str, Dataset]:
        """Reads the documents of splits, and loads the tokenizer.

        Args:
            splits: train, val or test.

        Returns:
            The documents by split; those of training, too, where something is learnt from them. None of a split whose
            examples are made of another's text.

        Raises:
            InputError: if a split has no documents, or its text and the tokenizer's options don't fit together.
        """
        if self.stream is not None and "train" in splits:
            raise InputError(
                "data.streaming: the training text is never read as a whole; take --splits val, or look at a part of "
                "it with data.streaming false"
            )
        sources = {self.samples.get_source(split) for split in splits}
        documents, words = self.reader.load(sources, self._model, self._check_tokenizer)
        self._words, self.tokenizer = words, words.tokenizer
        self.new_words, self.vocabulary = words.new_words, words.record
        return documents

    def _check_tokenizer(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Checks tokenizer and lengths before hours of text are tokenised for them."""
        self.masks.make_masking(tokenizer)
        self.blocks.fit(tokenizer, self.max_length)
        check_pack_length(self.pack_length, self.max_length)

    def _find_splits(self, stage: str) -> tuple[str, ...]:
        splits = super()._find_splits(stage)
        return splits if self.stream is None else tuple(split for split in splits if split != "train")

    def _load(self, stage: str) -> None:
        splits = self._find_splits(stage)
        if self.stream is not None and stage == "fit":
            self.stream.open()
        documents = self.load_texts(splits)
        per_document = self.blocks.special_tokens == "document"
        options = self.tokenizer, per_document, self.finds_words, self.masks.segmenter
        for source in sorted({self.samples.get_source(split) for split in splits}):
            self.texts[source] = self.reader.tokenize(source, documents[source], *options)

    def _make_splits(self, stage: str) -> None:
        maker, splits = self.split_maker, self._find_splits(stage)
        sources = {split: self.samples.get_source(split) for split in splits}
        tables = {source: maker.cut(source, self.texts[source]) for source in sources.values()}
        for split, source in sources.items():
            self.splits[split] = maker.make(split, self.texts[source], tables[source], self.source_weights)
        if self.stream is not None and stage == "fit":
            self.stream.begin()

    @property
    def split_maker(self) -> SplitMaker:
        """What makes examples, for the tokenizer and the model."""
        cutter = self.blocks.fit(self.tokenizer, self.max_length)
        return SplitMaker(self.tokenizer, cutter, self.samples, self.masks, self.train_seed, self.pack_length)

    # From examples to batches

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of training blocks, in a new order and with new masks each epoch; of a stream the whole training."""
        if self.stream is not None:
            return self.stream.make_loader()
        split, schedule = self.splits["train"], self.masks.schedule
        examples = split.deal(self._count_epochs() if schedule is not None and schedule.changes else 1.0)
        draw_epoch = None if split.mixture is None else partial(split.mixture.draw_epoch, self.train_seed)
        return self.load_examples(examples, len(examples), self.train_seed, draw_epoch=draw_epoch)

    def _load_split(self, split: str) -> Any:
        """Batches of a split in evaluation; with several mask draws a loader for each."""
        examples = self.splits[split].deal()

        def load(number: int) -> DataLoader[Any]:
            return self.load_examples(examples, len(examples), get_draw=lambda: self._get_draws()[number])

        loaders = [load(number) for number in range(self.masks.num_mask_draws)]
        return loaders if len(loaders) > 1 else loaders[0]

    def _get_draws(self) -> range:
        """The numbers of the mask draws of an evaluation that starts now."""
        return self.masks.list_draws(self._model.num_steps if self._model else 0)

    def _count_epochs(self) -> float:
        """The epochs of a training whose masks follow a schedule, the last one perhaps in part."""
        return self.masks.count_epochs(self.trainer, -(-len(self.splits["train"].deal()) // self.batch_size))

    # What is reported and compared

    @property
    def examples(self) -> dict[str, MaskedBlocks]:
        """The masked blocks of each split that was set up."""
        return {name: split.examples for name, split in self.splits.items()}

    @property
    def sequence_length(self) -> int:
        """The length of the longest sequence in any batch, in tokens; of a stream the longest that may come."""
        streamed = [self.split_maker.cutter.block_size] if self._begun else []
        return max([*streamed, *(examples.sequence_length for examples in self.examples.values())])

    @property
    def order_options(self) -> dict[str, Any]:
        """What decides the order of training beside the texts, the seed and the global batch.

        The length of packed rows, as these are what batches are made of; and that of a training whose masks follow a
        schedule, which says how far along a batch is.
        """
        if self._begun is not None:
            return self._begun.order_options
        changes = self.masks.schedule is not None and self.masks.schedule.changes
        lengths = {"mask_schedule over so many epochs:": self._count_epochs()} if changes else {}
        return lengths | {"pack_length": self.pack_length}

    @property
    def _begun(self) -> TrainStream | None:
        """The stream, once it is set up to train on."""
        return self.stream if self.stream is not None and self.stream.has_begun else None

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the texts, the tokenizer and every option that shapes the examples, of all splits in use.

        The names and sizes of its files represent a streamed text.
        """
        return self._fingerprint([*sorted(self.splits), *(["train"] if self._begun else [])])

    def _fingerprint(self, splits: Collection[str]) -> str:
        texts = {split: self.texts.get(self.samples.get_source(split)) for split in splits}
        streamed = self.stream.key if self.stream is not None else ""
        parts: list[Any] = [
            {split: streamed if text is None else text.key for split, text in texts.items()},
            hash_tokenizer(self.tokenizer),
            [asdict(self.split_maker.cutter.options), asdict(self.samples), self.masks.describe()],
            list(self.source_weights.items()) if "train" in splits else [],
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def describe(self) -> str:
        """The number of blocks of each split, how they were cut, and what a recipe's policies cost."""
        parts = describe_splits(self.splits, self.split_maker.cutter.options, self.batch_size, self.eval_batch_size)
        if "train" in self.splits:
            parts += self._describe_small(len(self.splits["train"].deal()))
        parts += self.masks.list_notes()
        parts += [self._words.describe()] if self.vocabulary.get("facts") else []
        parts += [f"train {self._begun.describe()}"] if self._begun is not None else []
        return ", ".join(parts)

    def facts(self, split: str) -> dict[str, float | int | str]:
        """What belongs to the metrics of a split: its text, its blocks and its masks."""
        found, draws = self.splits[split], self._get_draws()
        if (split, draws) not in self._mask_fingerprints:
            self._mask_fingerprints[split, draws] = found.examples.fingerprint_masks(draws)
        return {
            **found.text.collect_metadata(),
            **self._words.get_metrics(self.samples.get_source(split)),
            "data_fingerprint": self._fingerprint([split]),
            "mask_fingerprint": self._mask_fingerprints[split, draws],
            "masking": str(self.masks.strategy),
            "block_size": self.split_maker.cutter.block_size,
            "block_policy": self.blocks.block_policy,
            **found.collect_metadata(),
            **self.corpus.collect_metadata(),
        }

    def read_documents(self, split: str) -> Dataset:
        """The documents that the examples of a split are made of."""
        source = self.samples.get_source(split)
        return self.reader.read([source])[source]
