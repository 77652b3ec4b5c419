"""The data module of masked language modelling: documents in, masked blocks out."""

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any, Literal

from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase

from lit_mlm.data.base import TextDataModule
from lit_mlm.data.masked.blocks import BlockCutter, BlockOptions, BlockPolicy
from lit_mlm.data.masked.dataset import MaskedBlocks
from lit_mlm.data.masked.documents import DocumentReader, TokenizedText
from lit_mlm.data.masked.masks import MaskOptions
from lit_mlm.data.masked.samples import SampleOptions
from lit_mlm.data.masked.splits import BlockSplit, SplitMaker, collect_metadata, describe_splits
from lit_mlm.data.masked.streamed import TrainStream
from lit_mlm.data.packed import check_pack_length
from lit_mlm.data.reading.cache_folder import hash_json
from lit_mlm.data.reading.corpus import Corpus
from lit_mlm.data.reading.documents import split_documents
from lit_mlm.data.reading.files import OnBad
from lit_mlm.data.tokens.new_words import NewWordOptions
from lit_mlm.errors import InputError
from lit_mlm.nets.pretrained import hash_tokenizer
from lit_mlm.options import Count, Part, Range, Rate, Seed, Share
from lit_mlm.text.blocks import DropTail
from lit_mlm.text.masking.schedule import MaskScheduleName
from lit_mlm.text.masking.strategies import MaskingStrategy
from lit_mlm.text.masking.word_starts import Segmenter
from lit_mlm.text.special_tokens import find_pad_id


class BlocksDataModule(TextDataModule):
    """Reads, tokenises, cuts and masks documents, and optionally mixes or packs them.

    A new data set is a subclass with one method, `load_documents`.

    Args:
        block_size: tokens per block, special tokens included; by default the model's maximum.
        block_policy: ``concatenate`` joins all documents and cuts the whole; ``document`` cuts each document; ``line``
            cuts each non-blank line.
        map_batch_size: makes ``concatenate`` join only this many documents at a time, like recipes that cut within
            `Dataset.map`, in batches of 1,000.
        drop_tail: drops blocks that are not full; ``unless_alone`` keeps the only block of a document, line or batch.
        truncate: keeps only the first block of each document or line.
        special_tokens: added to each ``document`` before it is cut, or to each ``block``.
        num_train_blocks: trains on a random sample of this many blocks, or on all if there are fewer.
        num_val_blocks: validates on a random sample of this many blocks of the split, or of each of its sets.
        num_test_blocks: tests on such a sample.
        val_source: source of the validation blocks: ``documents`` of their own, or ``train_blocks``, held out of the
            training text as in the Hugging Face course, so that both can have parts of the same document.
        val_fraction: fraction of the training documents to validate on, without other validation text.
        split_seed: seed of splits and samples.
        masking: chooses the tokens to score: ``TokenMasking`` (default), ``WordMasking``, ``SpanMasking``, or your own
            class.
        mask_prob: fraction of tokens to score: a probability per token, word or span, or a budget.
        mask_token_prob: fraction of scored tokens replaced by the mask token.
        random_token_prob: fraction of scored tokens replaced by a random token; the rest stay unchanged.
        mask_schedule: schedule of the fraction of scored tokens in training; evaluation uses `mask_prob`:
            ``constant``, ``linear`` between rates, or ``steps`` of equal length.
        train_mask_probs: rates of the schedule, in order; by default `mask_prob` throughout.
        num_mask_draws: evaluates with this many independent mask draws.
        redraw_eval_masks: draws new evaluation masks each time, by the number of optimizer steps.
        eval_seed: seed of the masks in validation and test.
        segmenter: finds words in scripts without spaces: path of a function, or a class with `__call__`, that maps a
            text to the (start, end) of its words; it may leave out text.
        pack_length: packs blocks into rows of this many tokens, without attention between blocks; `batch_size` counts
            rows. Needs the policy ``document`` or ``line``.
        new_words: words to add to the vocabulary, as a list or a text file with one word per line; their weights start
            as the mean of their old tokens.
        num_new_words: adds this many words of the training text, the most frequent that the tokenizer splits into many
            tokens.
        min_pieces: minimum number of tokens of such a word; 3 by default.
    """

    source_weights: Mapping[str, float] = {}
    """Training weight of each source by name, if documents have the column `lit_mlm.data.reading.documents.SOURCE`."""

    stream: TrainStream | None = None
    """Streams the training text instead of loading it as a whole."""

    def __init__(
        self,
        block_size: Count | None = None,
        block_policy: BlockPolicy = "concatenate",
        map_batch_size: Count | None = None,
        drop_tail: DropTail = False,
        truncate: bool = False,
        special_tokens: Literal["document", "block"] = "document",
        num_train_blocks: Count | None = None,
        num_val_blocks: Count | None = None,
        num_test_blocks: Count | None = None,
        val_source: Literal["documents", "train_blocks"] = "documents",
        val_fraction: Part = 0.1,
        split_seed: Seed = 42,
        masking: MaskingStrategy | None = None,
        mask_prob: Rate = 0.15,
        mask_token_prob: Share = 0.8,
        random_token_prob: Share = 0.1,
        mask_schedule: MaskScheduleName = "constant",
        train_mask_probs: list[float] | None = None,
        num_mask_draws: Count = 1,
        redraw_eval_masks: bool = False,
        eval_seed: Seed = 42,
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
                f"data.pack_length {pack_length} needs data.block_policy document or line: others are full already"
            )
        self.pack_length, self.val_fraction = pack_length, val_fraction
        self.pack_batches &= block_policy != "concatenate"  # whose blocks are full
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
            splits: the splits needed, among ``"train"``, ``"val"`` and ``"test"``; more may be returned.

        Returns:
            A data set with one document per row in the column ``text`` for each split. Splits share no document.
        """

    def split_off(self, documents: Dataset, test_fraction: float = 0.0, has_val: bool = False) -> dict[str, Dataset]:
        """Splits training text at random by document into ``"train"``, ``"val"`` and ``"test"``.

        Validation takes `val_fraction`, or nothing with `has_val`, if there is other text for it.
        """
        takes_val = not has_val and self.samples.get_source("val") == "val"
        fractions = [self.val_fraction if takes_val else 0.0, test_fraction]
        val, test, train = split_documents(documents, fractions, self.samples.split_seed)
        return {"train": train, "val": val, "test": test}

    def collect_documents(self, source: str, read: Callable[[OnBad], Iterable[str]]) -> Dataset:
        """Stores the documents of a split or source on disk; `read` yields them and takes a handler of bad records."""
        return self.corpus.collect(source, read, self.bad_records)

    # From documents to examples

    def load_texts(self, splits: Collection[str]) -> dict[str, Dataset]:
        """Reads the documents of splits, and loads the tokenizer.

        Returns:
            Documents by split, without splits that use another's text, and with train if something is learned from it.
        """
        if self.stream is not None and "train" in splits:
            raise InputError(
                "data.streaming: the training text is never read as a whole; use another split, or a part of the text "
                "with data.streaming false"
            )
        sources = {self.samples.get_source(split) for split in splits}
        documents, words = self.reader.load(sources, self._model, self._check_tokenizer)
        self._words, self.tokenizer = words, words.tokenizer
        self.new_words, self.vocabulary = words.new_words, words.record
        return documents

    def _check_tokenizer(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Checks tokenizer and lengths before hours of tokenising."""
        self.masks.make_masking(tokenizer)
        self.blocks.fit(tokenizer, self.max_length)
        check_pack_length(self.pack_length, self.max_length)

    def find_splits(self, stage: str) -> tuple[str, ...]:
        """The splits of a stage; a streamed one is none of them."""
        splits = super().find_splits(stage)
        return splits if self.stream is None or stage != "fit" else tuple(s for s in splits if s != "train")

    def load(self, stage: str) -> None:
        """Reads and tokenises the text of a stage."""
        splits = self.find_splits(stage)
        if self.stream is not None and stage == "fit":
            self.stream.open()
        documents = self.load_texts(splits)
        per_document = self.blocks.special_tokens == "document"
        options = self.tokenizer, per_document, self.finds_words, self.masks.segmenter
        for source in sorted({self.samples.get_source(split) for split in splits}):
            self.texts[source] = self.reader.tokenize(source, documents[source], *options)

    def make_splits(self, stage: str) -> None:
        """Cuts, chooses, masks and packs the blocks of a stage."""
        masking, pad_id = self.masks.make_masking(self.tokenizer), find_pad_id(self.tokenizer)
        options = masking, pad_id, self.train_seed, self.pack_length, stage in ("validate", "test")
        maker = SplitMaker(self.cutter, self.samples, self.masks, *options)
        splits = self.find_splits(stage)
        sources = {split: self.samples.get_source(split) for split in splits}
        tables = {source: maker.cut(source, self.texts[source]) for source in sources.values()}
        for split, source in sources.items():
            self.splits[split] = maker.make(split, self.texts[source], tables[source], self.source_weights)
        if self.stream is not None and stage == "fit":
            self.stream.begin()

    @property
    def cutter(self) -> BlockCutter:
        """Cuts blocks for the tokenizer and the model."""
        return self.blocks.fit(self.tokenizer, self.max_length)

    # From examples to batches

    def train_dataloader(self) -> DataLoader[Any]:
        """Training batches, shuffled and masked anew each epoch; of a stream the whole training."""
        if self.stream is not None:
            return self.stream.make_loader()
        split, schedule = self.splits["train"], self.masks.schedule
        examples = split.deal(self._count_epochs() if schedule is not None and schedule.changes else 1.0)
        draw_epoch = None if split.mixture is None else partial(split.mixture.draw_epoch, self.train_seed)
        return self.load_examples(examples, len(examples), self.train_seed, draw_epoch=draw_epoch)

    def load_set(self, name: str) -> list[DataLoader[Any]]:
        """Evaluation batches of a split or set, a loader for each mask draw."""

        def load(number: int) -> DataLoader[Any]:
            examples = self.splits[name].deal()
            return self.load_examples(examples, len(examples), get_draw=lambda: self._get_draws()[number])

        return [load(i) for i in range(self.masks.num_mask_draws)]

    def _get_draws(self) -> range:
        """The mask draws of an evaluation that starts now."""
        return self.masks.list_draws(self._model.num_steps if self._model else 0)

    def _count_epochs(self) -> float:
        """The length of a training with a mask schedule, in epochs, possibly fractional."""
        return self.masks.count_epochs(self.trainer, -(-len(self.splits["train"].deal()) // self.batch_size))

    # Metadata and fingerprints

    @property
    def examples(self) -> dict[str, MaskedBlocks]:
        """The masked blocks of each split that was set up."""
        return {name: split.examples for name, split in self.splits.items()}

    @property
    def sequence_length(self) -> int:
        """The maximum sequence length in any batch, in tokens; of a stream the block size."""
        streamed = [self.cutter.block_size] if self._begun else []
        return max([*streamed, *(examples.sequence_length for examples in self.examples.values())])

    @property
    def order_options(self) -> dict[str, Any]:
        """The options that determine the order of training, besides texts, seed and global batch.

        They are the length of packed rows, and the length of training if masks follow a schedule.
        """
        if self._begun is not None:
            return self._begun.order_options
        changes = self.masks.schedule is not None and self.masks.schedule.changes
        lengths = {"mask_schedule (epochs)": self._count_epochs()} if changes else {}
        return lengths | {"pack_length": self.pack_length}

    @property
    def _begun(self) -> TrainStream | None:
        """The stream, once it is set up for training."""
        return self.stream if self.stream is not None and self.stream.has_begun else None

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the texts, the tokenizer and all options that shape the examples of the splits in use.

        A streamed text is represented by the names and sizes of its files.
        """
        return self.find_fingerprint()

    def find_fingerprint(self, shard_keys: Sequence[Sequence[str]] | None = None) -> str:
        """The `fingerprint`, or what it would be with other keys of the shards of the stream."""
        return self._fingerprint([*sorted(self.splits), *(["train"] if self._begun else [])], shard_keys)

    def _fingerprint(self, splits: Collection[str], shard_keys: Sequence[Sequence[str]] | None = None) -> str:
        texts = {split: self.texts.get(self.samples.get_source(split)) for split in splits}
        streamed = ""
        if self.stream is not None:
            streamed = self.stream.make_key(self.stream.shard_keys if shard_keys is None else shard_keys)
        parts: list[Any] = [
            {split: streamed if text is None else text.key for split, text in texts.items()},
            hash_tokenizer(self.tokenizer),
            [asdict(self.cutter.options), asdict(self.samples), self.masks.describe()],
            list(self.source_weights.items()) if "train" in splits else [],
        ]
        return hash_json(parts)

    def describe(self) -> str:
        """Describes the number of blocks of each split, how they were cut, and notable options."""
        parts = describe_splits(self.splits, self.cutter.options, self.batch_size, self.eval_batch_size)
        parts += self.samples.list_notes({name: len(split.examples) for name, split in self.splits.items()})
        parts += self._describe_small(len(self.splits["train"].deal())) if "train" in self.splits else []
        parts += self.masks.list_notes()
        parts += [self._words.describe()] if self.vocabulary.get("facts") else []
        parts += [f"train {self._begun.describe()}"] if self._begun is not None else []
        return ", ".join(parts)

    def describe_split(self, split: str) -> dict[str, float | int | str]:
        """Metadata of a split or set that belongs to its metrics: its text, blocks and masks."""
        names = self.list_evaluated(split)
        return {
            **self._words.get_metrics(self.samples.get_source(split)),
            "data_fingerprint": self._fingerprint(names),
            "mask_fingerprint": self._fingerprint_masks(names),
            **self.masks.describe_split(),
            "block_size": self.cutter.block_size,
            "block_policy": self.blocks.block_policy,
            **collect_metadata([self.splits[name] for name in names]),
            **self.corpus.collect_metadata(),
        }

    def measure_units(self, split: str) -> tuple[str, dict[str, Any]]:
        """The kind and sizes of the units of a split or set."""
        return self.splits[split].measure_units()

    def _fingerprint_masks(self, names: Sequence[str]) -> str:
        """SHA-256 (hex) of the masks of a split, or of those of its sets."""
        draws, known = self._get_draws(), self._mask_fingerprints
        for name in names:
            if (name, draws) not in known:
                known[name, draws] = self.splits[name].examples.fingerprint_masks(draws)
        found = [known[name, draws] for name in names]
        return found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest()

    def read_documents(self, split: str) -> Dataset:
        """The documents that hold the examples of a split."""
        return self.reader.read([source := self.samples.get_source(split)])[source]
