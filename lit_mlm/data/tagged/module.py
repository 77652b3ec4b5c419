"""The data module of token classification: tagged sentences in, labelled windows out."""

from abc import abstractmethod
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any, Literal

import numpy as np
from torch.utils.data import DataLoader

from lit_mlm.data.base import TextDataModule
from lit_mlm.data.batches import LengthOptions, LengthSampler
from lit_mlm.data.packed import PackedExamples, check_pack_length, describe_packing, describe_padding, pack_examples
from lit_mlm.data.reading.cache_folder import hash_json
from lit_mlm.data.reading.reports import warn_of_skipped
from lit_mlm.data.tagged.dataset import TaggedDataset, count_texts
from lit_mlm.data.tagged.folds import FoldOptions, Folds
from lit_mlm.data.tagged.labels import find_doubts, find_labels, number_tags
from lit_mlm.data.tagged.reports import warn_of_labels, warn_of_misplaced
from lit_mlm.data.tagged.schemes import (
    blank_tags,
    choose_scheme,
    convert_sentences,
    find_bad_tag,
    respell_sentences,
)
from lit_mlm.data.tagged.sentences import TaggedSentence, hash_sentences, number_documents
from lit_mlm.data.tagged.windows import Windowing, WindowOptions
from lit_mlm.errors import InputError, refuse_text
from lit_mlm.nets.pretrained import hash_tokenizer
from lit_mlm.options import Count, DataOptions, Size
from lit_mlm.text.packing import find_padding
from lit_mlm.text.special_tokens import find_special_tokens
from lit_mlm.text.tagging.alignment import encode_words, make_inside_table
from lit_mlm.text.tagging.schemes import Scheme, find_scheme, guess_scheme

Metadata = dict[str, float | int | str]


@dataclass(frozen=True)
class TagOptions(DataOptions):
    """Options of `TaggedDataModule` that define the labels; all are part of the fingerprint."""

    scheme: Scheme | None = None
    labels: list[str] | None = None
    label_later_pieces: Literal["inside", "ignore"] = "inside"

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_text("data.labels", self.labels)
        if self.labels is not None and (not self.labels or len(set(self.labels)) < len(self.labels)):
            raise InputError(f"data.labels must name at least one label, each once, got {self.labels}")


class TaggedDataModule(TextDataModule):
    """Cuts sentences into windows and labels their tokens.

    A new data set is a subclass with one method, `load_sentences`.

    Args:
        window: tokens per window, special tokens included; by default the model's maximum.
        stride: tokens that neighbouring windows of a long sentence share; by default a quarter of a window.
        context_tokens: adds up to this many unscored tokens of the surrounding sentences of the document, as far as the
            window has room.
        group_by_length: batches training sentences of similar length, which saves padding but can cost quality; by
            default only with `max_tokens_per_batch`. Evaluation, whose results don't depend on it, always does so.
        max_tokens_per_batch: tokens per batch, padding included, in place of `batch_size` and `eval_batch_size`.
        pack_length: packs training windows into rows of this many tokens, without attention between windows, in place
            of batches by length; `batch_size` counts rows. In evaluation a sentence's windows stay together.
        scheme: converts entity tags to this scheme; by default IOB2, or BIOES or BILOU if `labels` or the model use it.
        labels: label set, in the order of the ids; by default that of the training split, ``O`` first.
        label_later_pieces: training label of a word's tokens after the first: ``inside``, the I-X of its entity, or
            none (``ignore``). The first token gives the prediction of a word.
        strict_tags: rejects tags that break their scheme, such as an IOB2 entity that starts with I; by default they
            are read as in conlleval, with a warning. Misspelt tags are always rejected.
        skip_bad: leaves out sentences, lines and files that can't be read, or whose tags are rejected, and reports
            their number.
        num_folds: cuts the training sentences into folds, by document where there are several, for cross-validation.
        fold: number of the fold to validate on, from 0, in place of the validation split; the others are trained on.
        kwargs: options of `TextDataModule`.
    """

    labels: list[str]
    """Names of the labels, by id; set by `setup`."""

    scheme: Scheme | None
    """Scheme of `labels`, None for plain tags; set by `setup`."""

    def __init__(
        self,
        window: Count | None = None,
        stride: Size | None = None,
        context_tokens: Size = 0,
        group_by_length: bool | None = None,
        max_tokens_per_batch: Count | None = None,
        pack_length: Count | None = None,
        scheme: Scheme | None = None,
        labels: list[str] | None = None,
        label_later_pieces: Literal["inside", "ignore"] = "inside",
        strict_tags: bool = False,
        skip_bad: bool = False,
        num_folds: Folds | None = None,
        fold: Size | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.windows = WindowOptions(window, stride, context_tokens)
        self.batches = LengthOptions(group_by_length, max_tokens_per_batch, pack_length)
        self.tags = TagOptions(scheme, labels, label_later_pieces)
        self.folds = FoldOptions(num_folds, fold)
        if max_tokens_per_batch is not None and kwargs.get("eval_batch_size") is not None:
            raise InputError("data.eval_batch_size and data.max_tokens_per_batch are mutually exclusive")
        if self.num_proc is not None:
            raise InputError("data.num_proc has no effect on tagged words: each distinct word is tokenised once")
        self.pack_length, self.strict_tags, self.skip_bad = pack_length, strict_tags, skip_bad
        self.sentences: dict[str, list[TaggedSentence]] = {}
        self.examples: dict[str, TaggedDataset] = {}
        self.packed: PackedExamples | None = None
        self._read: dict[str, list[TaggedSentence]] = {}
        self._counts: dict[str, dict[str, int]] = {}
        self._hashes: dict[str, str] = {}

    @abstractmethod
    def load_sentences(self, splits: Collection[str]) -> dict[str, list[TaggedSentence]]:
        """Loads sentences by split.

        Args:
            splits: the splits needed, among ``"train"``, ``"val"`` and ``"test"``; more may be returned.

        Returns:
            The sentences of each split, with the tags of the files.
        """

    def find_scheme(self, sentences: Collection[TaggedSentence]) -> Scheme | None:
        """The scheme of the tags of the files; None for plain tags."""
        return find_scheme(sentence.tags for sentence in sentences)

    def make_splits(self, stage: str) -> None:
        """Converts tags, chooses the labels and cuts the windows of a stage."""
        known = self.label_names or self.tags.labels or []
        has_tags = stage != "predict" or not known
        if not has_tags:  # tags to predict may be missing or wrong
            self._read = {split: blank_tags(read, known) for split, read in self._read.items()}
        tagged = self._read.get("train") or list(chain(*self._read.values()))
        source = self.find_scheme(tagged) if has_tags else guess_scheme(known)
        self.scheme = choose_scheme(source, self.tags.scheme, known)
        options = source, self.scheme, self.strict_tags
        if self.skip_bad:
            self._read = {split: self._drop_bad(split, source) for split in self._read}
        read = {split: convert_sentences(sentences, *options) for split, sentences in self._read.items()}
        train = read["train"].sentences if "train" in read else []
        self.labels = self.choose_labels(stage, self.tags.labels, lambda: find_labels(train, self.scheme))
        owner = "data.labels" if self.tags.labels else "the training split" if "train" in read else "the model"
        if has_tags and "train" in read:
            warn_of_labels(find_doubts(self.labels, read["train"].sentences, self.scheme))
        for split in self.find_splits(stage):
            warn_of_skipped(split, self._skipped.get(split, []))
            warn_of_misplaced(split, read[split].misplaced)
            self.sentences[split] = read[split].sentences
            self._hashes[split] = hash_sentences(self.sentences[split])  # independent of the scheme of the files
            self.examples[split] = self._make_examples(split, owner, source if has_tags else None)
        if "train" in self.examples and self.pack_length is not None:
            self.packed = pack_examples(self.examples["train"], self.pack_length, ("sequence", "data.window"))
        self._read = {}

    def find_splits(self, stage: str) -> tuple[str, ...]:
        """The splits of a stage; prediction reads `predict_split`."""
        return (self.predict_split,) if stage == "predict" else super().find_splits(stage)

    def train_dataloader(self) -> DataLoader[Any]:
        """Training batches of windows, or of packed rows, shuffled each epoch."""
        if self.packed is not None:
            return self.load_examples(self.packed, len(self.packed), self.train_seed)
        return self.make_loader(self.examples["train"], self.make_sampler("train", is_training=True))

    def load_set(self, name: str) -> list[DataLoader[Any]]:
        """Evaluation batches of a split or set, each with all windows of its sentences."""
        return [self.make_loader(self.examples[name], self.make_sampler(name))]

    def make_sampler(self, split: str, is_training: bool = False) -> LengthSampler:
        """The batch sampler of a split."""
        size, (rank, num_ranks) = self.batch_size if is_training else self.eval_batch_size, self.rank
        kwargs: dict[str, Any] = {"rank": rank, "num_ranks": num_ranks}
        examples = self.examples[split]
        if is_training:
            kwargs |= {"seed": self.train_seed, "get_start": self.count_seen_batches}
        else:
            kwargs["groups"] = examples.table.sentences
        return self.batches.order(split, examples.lengths, size, **kwargs)

    @property
    def windowing(self) -> Windowing:
        """The windows, for the tokenizer and the model."""
        return self.windows.fit(len(find_special_tokens(self.tokenizer)), self.max_length)

    @property
    def truncation(self) -> int | None:
        """Tokens of a sentence that truncation to the model's maximum would keep; None without a limit."""
        return self.windowing.truncation

    @property
    def order_options(self) -> dict[str, Any]:
        """The options that determine the order of training, besides texts, seed and global batch."""
        return self.batches.describe(self.batch_size)

    @property
    def predicted_sentences(self) -> list[TaggedSentence]:
        """The sentences of `predict_split`, in order."""
        return self.sentences[self.predict_split]

    @property
    def tagging_options(self) -> dict[str, Any]:
        """The options that make a tagger agree with the evaluation, as plain data."""
        found = self.windowing
        return {
            "scheme": self.scheme,
            "window": found.window,
            "stride": None if found.window is None else found.stride,
            "label_later_pieces": self.tags.label_later_pieces,
            "context_tokens": self.windows.context_tokens,
        }

    @property
    def sequence_length(self) -> int:
        """The maximum sequence length in any batch, in tokens."""
        return max(int(examples.lengths.max()) for examples in self.examples.values())

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the sentences, the tokenizer and the options that shape examples, of the splits in use."""
        return self._fingerprint(sorted(self.examples))

    def describe(self) -> str:
        """Describes the number of sentences, words and entities of each split, the labels and the windows."""
        counts = []
        for split in self.examples:
            found = self._counts[split]
            entities = f", {found['num_gold_entities']:,} entities" if "num_gold_entities" in found else ""
            counts.append(f"{found['num_sentences']:,} {split} sentences ({found['num_words']:,} words{entities})")
        parts = [", ".join(counts), f"{len(self.labels)} labels ({self.scheme or 'plain tags'})"]
        if self.windowing.window is not None:
            num_long = sum(int((np.bincount(e.table.sentences) > 1).sum()) for e in self.examples.values())
            parts.append(f"{num_long:,} sentences longer than a window of {self.windowing.window}")
        if "train" in self.examples:
            batches = self.make_sampler("train", is_training=True).list_lengths()
            if self.packed is not None:
                parts.append(describe_packing(self.packed.rows, find_padding(batches)))
            else:
                parts.append(describe_padding(batches, self.packs, self.max_length))
            if self.batches.max_tokens_per_batch is None:
                parts += self._describe_small(len(self.packed or self.examples["train"]))
        return ", ".join(parts)

    def describe_split(self, split: str) -> Metadata:
        """Returns metadata of a split or set for its results: counts as in `count_texts`, windows and padding."""
        names = self.list_evaluated(split)
        found = [self.examples[name] for name in names]
        batches = chain(*(self.make_sampler(name).list_lengths() for name in names))
        return {
            **{key: sum(self._counts[name][key] for name in names) for key in self._counts[names[0]]},
            "data_fingerprint": self._fingerprint(names),
            "text_fingerprint": hash_json([self._hashes[name] for name in names]),
            "num_windows": sum(map(len, found)),
            "padding_fraction": find_padding(batches, self.packs, self.max_length),
        }

    def load(self, stage: str) -> None:
        """Reads the splits of a stage, and train if it defines the labels or the tokenizer."""
        splits = set(self.find_splits(stage))
        has_labels = self.label_names is not None or self.tags.labels is not None
        self.load_texts(splits if has_labels else {*splits, "train"})

    def load_texts(self, splits: Collection[str]) -> dict[str, list[TaggedSentence]]:
        """Reads the sentences of splits, and loads the tokenizer.

        Returns:
            Sentences by split, with the tags of the files, and with train if the tokenizer is trained.
        """
        needed = {*splits, "train"} if self.tokenizer_options.vocab_size is not None else {*splits}
        has_folds = self.folds.num_folds is not None
        if has_folds and "val" in self.eval_sets:
            raise InputError("data.num_folds and sets in data.val_files are mutually exclusive: both say what val is")
        loaded = self.load_sentences(needed - {"val"} | {"train"} if has_folds else needed)
        if has_folds:
            loaded |= self.folds.split(loaded["train"])
        self._read = respell_sentences({split: loaded[split] for split in sorted(needed)})
        for split, sentences in self._read.items():
            if not any(sentence.words for sentence in sentences):
                raise InputError(f"the {split} split has no words: no line has a word and its tag")
        self.tokenizer = self.load_tokenizer(self._iterate_train_texts)
        check_pack_length(self.pack_length, self.max_length)
        return self._read

    def _iterate_train_texts(self) -> Iterator[str]:
        return (" ".join(sentence.words) for sentence in self._read["train"])

    def _drop_bad(self, split: str, source: Scheme | None) -> list[TaggedSentence]:
        """The sentences of a split without those whose tags are rejected."""
        found = [(sentence, find_bad_tag(sentence, source, self.strict_tags)) for sentence in self._read[split]]
        self._skipped.setdefault(split, []).extend(bad for _, bad in found if bad is not None)
        return [sentence for sentence, bad in found if bad is None]

    def _make_examples(self, split: str, owner: str, source: Scheme | None) -> TaggedDataset:
        sentences, found, num_context = self.sentences[split], self.windowing, self.windows.context_tokens
        word_labels = np.array(number_tags(sentences, self.labels, owner), dtype=np.int64)
        encoded = encode_words(self.tokenizer, [sentence.words for sentence in sentences], found.size)
        inside = make_inside_table(self.labels) if self.tags.label_later_pieces == "inside" else None
        context = (number_documents(sentences), num_context) if num_context else None
        # Counts of the files, before conversion: scores are relative to them. But IO joins neighbouring entities.
        counted, scheme = (sentences, self.scheme) if self.scheme == "IO" else (self._read[split], source)
        self._counts[split] = count_texts(counted, encoded, source is not None, found.truncation, scheme)
        if self.skip_bad:
            self._counts[split]["num_skipped"] = len(self._skipped.get(split, []))
        options = context, word_labels, inside
        examples = TaggedDataset.build(self.tokenizer, encoded, found.size, found.stride, *options)
        is_known = all(sentence.document is not None for sentence in sentences)
        split, _, name = split.partition("/")
        first = [*self.eval_sets.get(split, ()), ""].index(name) << 32  # documents of two sets have different numbers
        return replace(examples, documents=first + number_documents(sentences)) if is_known else examples

    def _fingerprint(self, splits: Collection[str]) -> str:
        found = self.windowing
        parts = [
            {split: self._hashes[split] for split in splits},
            hash_tokenizer(self.tokenizer),
            asdict(replace(self.windows, window=found.window, stride=found.stride)),
            asdict(replace(self.tags, labels=self.labels, scheme=self.scheme)),
        ]
        return hash_json(parts)
