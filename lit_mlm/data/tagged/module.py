"""The base of data modules for token classification: sentences of tagged words in, windows with labels out."""

import hashlib
import json
import logging
import os
from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from typing import Any, Literal

import numpy as np
from torch.utils.data import DataLoader

from lit_mlm.data.packed import describe_packing, pack_examples
from lit_mlm.data.tagged.dataset import TaggedWindows, count_words, cut_sentences, join_pieces, widen
from lit_mlm.data.tagged.labels import find_labels, number_tags, require_same_labels
from lit_mlm.data.tagged.schemes import blank_tags, choose_scheme, convert_sentences
from lit_mlm.data.tagged.sentences import TaggedSentence, hash_sentences, number_documents
from lit_mlm.data.tagged.windows import WindowsDataModule
from lit_mlm.errors import InputError
from lit_mlm.nets.pretrained import hash_tokenizer
from lit_mlm.text.special_tokens import find_pad_id, find_special_tokens
from lit_mlm.text.tagging.alignment import encode_words, make_inside_table
from lit_mlm.text.tagging.schemes import Scheme, find_scheme

log = logging.getLogger(__name__)

Facts = dict[str, float | int | str]


class TaggedDataModule(WindowsDataModule):
    """Cuts sentences into windows and labels their pieces.

    A new data set is a subclass with one method, `load_sentences`.

    Args:
        scheme: that tags of entities are converted to, from whichever the files have; IOB2 by default, or that of
            `labels` or of the model where theirs is BIOES or BILOU.
        labels: the label set, in the order of the ids; by default that of the training split, ``O`` first.
        label_later_pieces: what is learned at a word's pieces after the first: ``inside``, the I-X of its entity, or
            nothing (``ignore``). A word's prediction is that of its first piece.
        strict_tags: refuses tags that can't stand where they stand, such as an IOB2 entity that opens with I; by
            default they are read as conlleval reads them, and told. Misspelt ones are always refused.
        kwargs: the options of `WindowsDataModule` and of `TextDataModule`.
    """

    labels: list[str]
    """The names of the labels, by id; known after `setup`."""

    scheme: Scheme | None
    """The scheme of `labels`; None for plain tags; known after `setup`."""

    def __init__(
        self,
        scheme: Scheme | None = None,
        labels: list[str] | None = None,
        label_later_pieces: Literal["inside", "ignore"] = "inside",
        strict_tags: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if labels is not None and (not labels or len(set(labels)) < len(labels)):
            raise InputError(f"data.labels must name at least one label, each once, got {labels}")
        if self.hparams["num_proc"] is not None:
            raise InputError("data.num_proc has no effect here: each distinct word is tokenised once, by this process")
        self.save_hyperparameters(logger=False)
        self.sentences: dict[str, list[TaggedSentence]] = {}
        self._read: dict[str, list[TaggedSentence]] = {}
        self._counts: dict[str, Facts] = {}
        self._hashes: dict[str, str] = {}

    @abstractmethod
    def load_sentences(self, splits: Collection[str]) -> dict[str, list[TaggedSentence]]:
        """Loads sentences by split.

        Args:
            splits: which of ``"train"``, ``"val"`` and ``"test"`` are needed; more may be returned.

        Returns:
            The sentences of each, with their tags as they are in the files.
        """

    def find_scheme(self, sentences: Collection[TaggedSentence]) -> Scheme | None:
        """The scheme of the tags as they are in the files, None for plain ones."""
        return find_scheme(sentence.tags for sentence in sentences)

    def _make_splits(self, stage: str) -> None:
        known = self._label_names or self.hparams["labels"]
        has_tags = stage != "predict" or not known
        if not has_tags:  # what is predicted need not be there, nor be right
            self._read = {split: blank_tags(read, known) for split, read in self._read.items()}
        tagged = self._read.get("train") or list(chain(*self._read.values()))
        source = self.find_scheme(tagged) if has_tags else find_scheme([label] for label in known)
        self.scheme = choose_scheme(source, self.hparams["scheme"], known or ())
        schemes, is_strict = (source, self.scheme), self.hparams["strict_tags"]
        read = {split: convert_sentences(sentences, *schemes, is_strict) for split, sentences in self._read.items()}
        self.labels = self._choose_labels(stage, read["train"].sentences if "train" in read else [])
        owner = "data.labels" if self.hparams["labels"] else "the training split" if "train" in read else "the model"
        for split in self._find_splits(stage):
            self._tell_misplaced(split, read[split].misplaced)
            self.sentences[split] = read[split].sentences
            self._hashes[split] = hash_sentences(self.sentences[split])  # the same whichever scheme the files have
            self.examples[split] = self._make_examples(split, owner, has_entities=has_tags and self.scheme is not None)
        if "train" in self.examples and self.pack_length is not None:
            self.packed = pack_examples(self.examples["train"], self.pack_length, ("sequence", "data.window"))
        self._read = {}

    def _tell_misplaced(self, split: str, places: Sequence[str]) -> None:
        if places and (self.trainer is None or self.trainer.is_global_zero):
            log.warning(
                "%s: %s out of place, read as conlleval does; the first: %s; data.strict_tags true refuses it",
                split,
                "1 tag" if len(places) == 1 else f"{len(places):,} tags",
                places[0],
            )

    def _find_splits(self, stage: str) -> tuple[str, ...]:
        return (self.predict_split,) if stage == "predict" else super()._find_splits(stage)

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of training windows, or of the rows that they are packed into, in a new order each epoch."""
        if self.packed is not None:
            seed = int(os.environ.get("PL_GLOBAL_SEED", "0"))
            return self._make_loader(self.packed, len(self.packed), seed)
        return self._load_in_order(self.examples["train"], self._make_order("train", is_training=True))

    def val_dataloader(self) -> DataLoader[Any]:
        """Batches of validation windows, those of a sentence in one batch, in an order that never changes."""
        return self._load_in_order(self.examples["val"], self._make_order("val"))

    def test_dataloader(self) -> DataLoader[Any]:
        """Batches of test windows, those of a sentence in one batch, in an order that never changes."""
        return self._load_in_order(self.examples["test"], self._make_order("test"))

    def predict_dataloader(self) -> DataLoader[Any]:
        """Batches of the windows of `predict_split`, in the order of an evaluation."""
        return self._load_in_order(self.examples[self.predict_split], self._make_order(self.predict_split))

    @property
    def predicted_words(self) -> list[Sequence[str]]:
        """The words of each sentence of `predict_split`, in the order of the input."""
        return [sentence.words for sentence in self.sentences[self.predict_split]]

    @property
    def tagging_options(self) -> dict[str, Any]:
        """What a tagger must do with words to be what its evaluation was, in YAML's types."""
        options = {name: self.hparams[name] for name in ("label_later_pieces", "context_tokens")}
        stride = None if self.window is None else self.stride
        return {"scheme": self.scheme, "window": self.window, "stride": stride} | options

    @property
    def sequence_length(self) -> int:
        """The length of the longest sequence in any batch, in tokens."""
        return max(int(examples.lengths.max()) for examples in self.examples.values())

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the sentences, the tokenizer and every option that shapes the examples, of splits in use."""
        return self._fingerprint(sorted(self.examples))

    def describe(self) -> str:
        """The number of sentences, words and entities of each split, the labels and the windows."""
        counts = []
        for split in self.examples:
            facts = self._counts[split]
            entities = f", {facts['num_gold_entities']:,} entities" if "num_gold_entities" in facts else ""
            counts.append(f"{facts['num_sentences']:,} {split} sentences ({facts['num_words']:,} words{entities})")
        parts = [", ".join(counts), f"{len(self.labels)} labels ({self.scheme or 'plain tags'})"]
        if self.window is not None:
            num_long = sum(int((np.bincount(e.table.sentences) > 1).sum()) for e in self.examples.values())
            parts.append(f"{num_long:,} sentences longer than a window of {self.window}")
        if "train" in self.examples:
            padding = self._make_order("train", is_training=True).padding_fraction
            if self.packed is not None:
                parts.append(describe_packing(self.packed.rows, padding))
            else:
                parts.append(f"{padding:.1%} of a training batch is padding")
            if self.hparams["max_tokens_per_batch"] is None:
                parts += self._describe_small(len(self.packed or self.examples["train"]))
        return ", ".join(parts)

    def facts(self, split: str) -> Facts:
        """What belongs to the results of a split: its sentences, words and entities, and what truncation would lose.

        A word is lost if its first piece is beyond the model's limit, an entity if one of its words is.
        """
        return self._counts[split] | {
            "data_fingerprint": self._fingerprint([split]),
            "num_windows": len(self.examples[split]),
            "padding_fraction": self._make_order(split).padding_fraction,
        }

    def _load(self, stage: str) -> None:
        """Reads what a stage needs, and the training split where the labels or the tokenizer come from it."""
        splits = set(self._find_splits(stage))
        has_labels = self._label_names is not None or self.hparams["labels"] is not None
        self.load_texts(splits if has_labels else {*splits, "train"})

    def load_texts(self, splits: Collection[str]) -> dict[str, list[TaggedSentence]]:
        """Reads the sentences of splits, and loads the tokenizer.

        Args:
            splits: train, val or test.

        Returns:
            The sentences by split, as the files have them; those of training, too, where the tokenizer is trained.

        Raises:
            InputError: if a split has no words, or can't be read.
        """
        needed = {*splits, "train"} if self.hparams["vocab_size"] is not None else {*splits}
        loaded = self.load_sentences(needed)
        self._read = {split: loaded[split] for split in sorted(needed)}
        for split, sentences in self._read.items():
            if not any(sentence.words for sentence in sentences):
                raise InputError(f"the {split} split has no words: no line of it has a word and its tag")
        self._load_tokenizer(self._iterate_train_texts, hash_sentences(self._read.get("train", [])))
        return self._read

    def _iterate_train_texts(self) -> Iterator[str]:
        return (" ".join(sentence.words) for sentence in self._read["train"])

    @property
    def _label_names(self) -> list[str] | None:
        """The labels that the model was made for, by id; None if it is made for whatever the data has."""
        return getattr(self._model, "label_names", None)

    def _choose_labels(self, stage: str, train: list[TaggedSentence]) -> list[str]:
        """The labels, in the model's order where it has the same ones; training may give a model others."""
        names, given = self._label_names, self.hparams["labels"]
        if names is not None and stage != "fit":
            if given is not None:
                require_same_labels(names, given)
            return list(names)
        found: list[str] = given or find_labels(train, self.scheme)
        return list(found if names is None or set(names) != set(found) else names)

    def _make_examples(self, split: str, owner: str, has_entities: bool) -> TaggedWindows:
        sentences, size, options = self.sentences[split], self._size, self.hparams
        word_labels = np.array(number_tags(sentences, self.labels, owner), dtype=np.int64)
        encoded = encode_words(self.tokenizer, [sentence.words for sentence in sentences], size)
        inside = make_inside_table(self.labels) if options["label_later_pieces"] == "inside" else None
        table = cut_sentences(encoded, size, self.stride)
        if options["context_tokens"]:
            table = widen(table, encoded, number_documents(sentences), options["context_tokens"], size)
        # Of the files, before tags were converted: what is scored is held against them.
        self._counts[split] = count_words(self._read[split], encoded, has_entities, self.truncation)
        around, pad_id = find_special_tokens(self.tokenizer), find_pad_id(self.tokenizer)
        return TaggedWindows(*join_pieces(encoded, word_labels, inside), table, around, pad_id)

    def _fingerprint(self, splits: Collection[str]) -> str:
        options = [self.labels, self.hparams["label_later_pieces"], self.window, self.stride]
        hashes = {split: self._hashes[split] for split in splits}
        parts = [hashes, hash_tokenizer(self.tokenizer), options, self.hparams["context_tokens"]]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
