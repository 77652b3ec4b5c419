"""The data module of text classification: labelled texts in, rows of tokens out."""

import hashlib
import json
from abc import abstractmethod
from collections.abc import Collection, Iterator
from dataclasses import asdict, replace
from itertools import chain
from typing import Any

from datasets import Dataset
from torch.utils.data import DataLoader

from lit_mlm.data.base import TextDataModule
from lit_mlm.data.batches import LengthOptions, LengthSampler
from lit_mlm.data.labelled.dataset import LabelledDataset
from lit_mlm.data.labelled.labels import find_labels, number_labels
from lit_mlm.data.labelled.options import Rows, TextOptions
from lit_mlm.data.labelled.texts import LabelledText, hash_labelled, hold_out
from lit_mlm.data.packed import describe_padding
from lit_mlm.data.reading.documents import make_documents
from lit_mlm.data.reading.reports import warn_of_skipped
from lit_mlm.data.tokens.cached import tokenize_cached
from lit_mlm.errors import InputError
from lit_mlm.nets.pretrained import hash_tokenizer
from lit_mlm.options import Count, Part, Seed, Size
from lit_mlm.text.arrays import IntArray
from lit_mlm.text.long_texts import LongTexts, TextRows
from lit_mlm.text.packing import find_padding
from lit_mlm.text.special_tokens import find_special_tokens


class LabelledDataModule(TextDataModule):
    """Cuts texts to rows of tokens with a label, or several labels, per text.

    A new data set is a subclass with one method, `load_labelled`. `batch_size` counts texts, each with all its windows.

    Args:
        window: tokens per row, special tokens included; by default the model's maximum.
        long_texts: what becomes of texts longer than a row: ``head`` and ``tail`` keep their start or end, ``both`` a
            quarter of the row from the start and the rest from the end, ``windows`` all of it, in windows whose logits
            are averaged, in training too.
        stride: tokens that neighbouring windows of a text share; by default a quarter of a window.
        group_by_length: batches training texts of similar length, which saves padding; by default only with
            `max_tokens_per_batch`. Evaluation, whose results don't depend on it, always does so.
        max_tokens_per_batch: tokens per batch, padding included, in place of `batch_size` and `eval_batch_size`.
        labels: label set, in the order of the ids; by default that of the training split, sorted.
        multi_label: whether a text has any number of labels, each decided by itself at a probability of 0.5.
        val_fraction: fraction of the training texts to validate on, drawn at random, if there are no others for it.
        split_seed: seed of the choice.
        skip_bad: leaves out texts and files that can't be read or have no label, and reports their number.
        kwargs: options of `TextDataModule`.
    """

    labels: list[str]
    """Names of the labels, by id; set by `setup`."""

    def __init__(
        self,
        window: Count | None = None,
        long_texts: LongTexts = "head",
        stride: Size | None = None,
        group_by_length: bool | None = None,
        max_tokens_per_batch: Count | None = None,
        labels: list[str] | None = None,
        multi_label: bool = False,
        val_fraction: Part = 0.1,
        split_seed: Seed = 42,
        skip_bad: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.options = TextOptions(window, stride, long_texts, labels, multi_label)
        self.batches = LengthOptions(group_by_length, max_tokens_per_batch)
        if max_tokens_per_batch is not None and kwargs.get("eval_batch_size") is not None:
            raise InputError("data.eval_batch_size and data.max_tokens_per_batch are mutually exclusive")
        self.multi_label, self.val_fraction, self.split_seed = multi_label, val_fraction, split_seed
        self.skip_bad = skip_bad
        self.needs_labels = True
        self.texts: dict[str, list[LabelledText]] = {}
        self.examples: dict[str, LabelledDataset] = {}

    @abstractmethod
    def load_labelled(self, splits: Collection[str]) -> dict[str, list[LabelledText]]:
        """Loads texts by split.

        Args:
            splits: the splits needed, among ``"train"``, ``"val"`` and ``"test"`` and named sets; more may be returned.

        Returns:
            The texts of each split, with labels if `needs_labels`.
        """

    def split_off(self, texts: list[LabelledText]) -> dict[str, list[LabelledText]]:
        """Splits training texts at random into ``"train"`` and ``"val"``."""
        return dict(zip(("train", "val"), hold_out(texts, self.val_fraction, self.split_seed), strict=True))

    def find_splits(self, stage: str) -> tuple[str, ...]:
        """The splits of a stage; prediction reads `predict_split`."""
        return (self.predict_split,) if stage == "predict" else super().find_splits(stage)

    def load(self, stage: str) -> None:
        """Reads the splits of a stage, and train if it defines the labels or the tokenizer."""
        has_labels = self.label_names is not None or self.options.labels is not None
        self.needs_labels = stage != "predict"
        splits = {*self.find_splits(stage)}
        self._load(splits if has_labels else {*splits, "train"})

    def load_texts(self, splits: Collection[str]) -> dict[str, Dataset]:
        """Reads the texts of splits, columns joined by line feeds, with their labels and places, for `audit`."""
        self._load(splits)
        found = {}
        for split in splits:
            texts = self.texts[split]
            documents = make_documents(["\n".join(text.columns) for text in texts], [text.place for text in texts])
            found[split] = documents.add_column("labels", [list(text.labels or ()) for text in texts])
        return found

    def _load(self, splits: Collection[str]) -> None:
        needed = {*splits, "train"} if self.tokenizer_options.vocab_size is not None else {*splits}
        loaded = self.load_labelled(needed)
        self.texts |= {split: loaded[split] for split in sorted(needed)}
        for split in needed:
            if not loaded[split]:
                raise InputError(f"the {split} split has no texts")
        self.tokenizer = self.load_tokenizer(lambda: self._iterate("train"))

    def _iterate(self, split: str) -> Iterator[str]:
        return chain.from_iterable(text.columns for text in self.texts[split])

    def make_splits(self, stage: str) -> None:
        """Chooses the labels, and tokenises and cuts the texts of a stage."""
        self.labels = self.choose_labels(stage, self.options.labels, lambda: find_labels(self.texts["train"]))
        if len(self.labels) < 2 - self.multi_label:
            raise InputError(
                f"all texts have the label {', '.join(self.labels) or 'none'}, so there is nothing to learn"
            )
        owner = "data.labels" if self.options.labels else "the training split" if "train" in self.texts else "the model"
        for split in self.find_splits(stage):
            warn_of_skipped(split, self._skipped.get(split, []))
            self.examples[split] = self._make_examples(split, owner)

    def _make_examples(self, split: str, owner: str) -> LabelledDataset:
        texts, rows = self.texts[split], self.rows
        labels = number_labels(texts, self.labels, self.multi_label, owner if self.needs_labels else "the model")
        documents = make_documents([*self._iterate(split)])
        stream = tokenize_cached(documents, self.tokenizer, False, self.cache_dir, self.num_proc, split)
        lengths = stream.document_lengths.reshape(len(texts), -1)
        found = TextRows.build(self.tokenizer, stream.ids, lengths, self.options.long_texts, rows.size, rows.stride)
        return LabelledDataset(**vars(found), labels=labels, num_tokens=lengths.sum(axis=1))

    # Batches

    def train_dataloader(self) -> DataLoader[Any]:
        """Training batches, shuffled each epoch."""
        return self.make_loader(self.examples["train"], self.make_sampler("train", is_training=True))

    def load_set(self, name: str) -> list[DataLoader[Any]]:
        """Evaluation batches of a split or set, by length."""
        return [self.make_loader(self.examples[name], self.make_sampler(name))]

    def make_sampler(self, split: str, is_training: bool = False) -> LengthSampler:
        """The batch sampler of a split, by the tokens of each text in all its windows."""
        size, (rank, num_ranks) = self.batch_size if is_training else self.eval_batch_size, self.rank
        kwargs: dict[str, Any] = {"rank": rank, "num_ranks": num_ranks}
        if is_training:
            kwargs |= {"seed": self.train_seed, "get_start": self.count_seen_batches}
        return self.batches.order(split, self.examples[split].lengths, size, **kwargs)

    @property
    def order_options(self) -> dict[str, Any]:
        """The options that determine the order of training, besides texts, seed and global batch."""
        return self.batches.describe(self.batch_size)

    # Metadata and fingerprints

    @property
    def rows(self) -> Rows:
        """The length of rows, for the tokenizer and the model."""
        return self.options.fit(len(find_special_tokens(self.tokenizer)), self.max_length)

    @property
    def text_options(self) -> dict[str, Any]:
        """The options that make a classifier agree with the evaluation, as plain data."""
        rows, long_texts = self.rows, self.options.long_texts
        stride = rows.stride if long_texts == "windows" and rows.window is not None else None
        return {"window": rows.window, "long_texts": long_texts, "stride": stride}

    @property
    def predicted_places(self) -> list[str]:
        """The file, line or row of each text of `predict_split`, in order."""
        return [text.place for text in self.texts[self.predict_split]]

    @property
    def sequence_length(self) -> int:
        """The maximum sequence length in any batch, in tokens."""
        return max(int(examples.row_lengths.max()) for examples in self.examples.values())

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the texts, the tokenizer and the options that shape examples, of the splits in use."""
        return self._fingerprint(sorted(self.examples))

    def describe(self) -> str:
        """Describes the number of texts of each split, the labels, and the rows of long texts."""
        several = ", any number per text" if self.multi_label else ""
        parts = [", ".join(f"{len(examples):,} {split} texts" for split, examples in self.examples.items())]
        parts.append(f"{len(self.labels)} labels{several}")
        if self.rows.window is not None:
            num_long = sum(examples.num_long for examples in self.examples.values())
            kept = "in windows" if self.options.long_texts == "windows" else f"cut to their {self.options.long_texts}"
            kept = kept.replace("their both", "both ends")
            parts.append(f"{num_long:,} longer than {self.rows.window} tokens, {kept}" if num_long else "none is cut")
        if "train" in self.examples:
            parts.append(describe_padding(self._list_lengths("train", True), self.packs, self.max_length))
            if self.batches.max_tokens_per_batch is None:
                parts += self._describe_small(len(self.examples["train"]))
        return ", ".join(parts)

    def describe_split(self, split: str) -> dict[str, float | int | str]:
        """Returns metadata of a split or set for its results: numbers of texts and windows, and padding."""
        names = self.list_evaluated(split)
        found = [self.examples[name] for name in names]
        skipped = {"num_skipped": sum(len(self._skipped.get(name, [])) for name in names)} if self.skip_bad else {}
        return {
            "num_texts": sum(map(len, found)),
            "num_windows": sum(examples.num_rows for examples in found),
            "num_long_texts": sum(examples.num_long for examples in found),
            "data_fingerprint": self._fingerprint(names),
            "text_fingerprint": _hash([hash_labelled(self.texts[name]) for name in names]),
            "padding_fraction": find_padding(chain(*map(self._list_lengths, names)), self.packs, self.max_length),
            **skipped,
        }

    def measure_units(self, split: str) -> tuple[str, dict[str, Any]]:
        """What the units of a split or set are; they have no sizes."""
        return "text", {}

    def _list_lengths(self, split: str, is_training: bool = False) -> list[IntArray]:
        """The tokens of the rows of each batch of an epoch, on all ranks."""
        sampler = self.make_sampler(split, is_training)
        make_key = sampler.plan_epoch()
        return self.examples[split].list_lengths(make_key(number) for number in range(sampler.num_batches))

    def _fingerprint(self, splits: Collection[str]) -> str:
        rows = self.rows
        options = replace(self.options, window=rows.window, stride=None, labels=self.labels)
        return _hash(
            [
                {split: hash_labelled(self.texts[split]) for split in splits},
                hash_tokenizer(self.tokenizer),
                asdict(options) | {"stride": self.text_options["stride"]},
            ]
        )


def _hash(parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
