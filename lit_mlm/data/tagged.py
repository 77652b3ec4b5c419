"""The base of data modules for token classification: sentences of tagged words in, windows with labels out."""

import hashlib
import json
import os
import sys
from abc import abstractmethod
from collections.abc import Collection, Iterator
from itertools import chain
from typing import Any, Literal

import numpy as np
from torch.utils.data import DataLoader

from lit_mlm.data.base import SPLITS_OF_STAGE, TextDataModule, require_at_least
from lit_mlm.data.labels import convert_sentences, find_labels, number_tags, require_same_labels
from lit_mlm.data.length_order import LengthOrder
from lit_mlm.data.sentences import TaggedSentence, hash_sentences, number_documents
from lit_mlm.data.tagged_windows import TaggedWindows, count_words, cut_sentences, join_pieces, widen
from lit_mlm.errors import InputError
from lit_mlm.pretrained import hash_tokenizer
from lit_mlm.text.alignment import encode_words, make_inside_table
from lit_mlm.text.special_tokens import find_pad_id, find_special_tokens
from lit_mlm.text.tagging import Scheme, find_scheme, guess_scheme

Facts = dict[str, float | int | str]


class TaggedDataModule(TextDataModule):
    """Cuts sentences into windows and labels their pieces.

    A new data set is a subclass with one method, `load_sentences`.

    Args:
        scheme: that tags of entities are converted to, from whichever the files have; IOB2 by default, or that of
            `labels` or of the model where theirs is BIOES or BILOU.
        labels: the label set, in the order of the ids; by default that of the training split, ``O`` first.
        label_later_pieces: what is learned at a word's pieces after the first: ``inside``, the I-X of its entity, or
            nothing (``ignore``). A word's prediction is that of its first piece.
        window: tokens in a window, special tokens included; by default the most that the model takes.
        overlap: pieces that neighbouring windows of a long sentence share; a quarter of a window by default.
        context_pieces: shows this many pieces of the sentences around each one, of the same document, as far as the
            window allows; none of them is scored.
        group_by_length: has training batches hold sentences of about the same length, in an order of chance;
            evaluation goes by length, too. False leaves batches to chance.
        max_tokens_per_batch: tokens in a batch, padding included, in place of `batch_size` and `eval_batch_size`.
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
        window: int | None = None,
        overlap: int | None = None,
        context_pieces: int = 0,
        group_by_length: bool = True,
        max_tokens_per_batch: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_at_least(1, window=window, max_tokens_per_batch=max_tokens_per_batch)
        require_at_least(0, overlap=overlap, context_pieces=context_pieces)
        if labels is not None and (not labels or len(set(labels)) < len(labels)):
            raise InputError(f"data.labels must name at least one label, each once, got {labels}")
        if max_tokens_per_batch is not None and self.hparams["eval_batch_size"] is not None:
            raise InputError("data.eval_batch_size and data.max_tokens_per_batch exclude each other: both size a batch")
        if self.hparams["num_proc"] is not None:
            raise InputError("data.num_proc has no effect here: each distinct word is tokenised once, by this process")
        self.save_hyperparameters(logger=False)
        self.sentences: dict[str, list[TaggedSentence]] = {}
        self.examples: dict[str, TaggedWindows] = {}
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
        source = self.find_scheme(self._read.get("train") or list(chain(*self._read.values())))
        self.scheme = self._choose_scheme(source)
        read = {split: convert_sentences(sentences, source, self.scheme) for split, sentences in self._read.items()}
        self.labels = self._choose_labels(stage, read.get("train"))
        owner = "data.labels" if self.hparams["labels"] else "the training split" if "train" in read else "the model"
        for split in SPLITS_OF_STAGE[stage]:
            self.sentences[split] = read[split]
            self._hashes[split] = hash_sentences(read[split])  # the same whichever scheme the files have
            self.examples[split] = self._make_examples(split, owner)
        self._read = {}

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of training windows, in a new order each epoch."""
        return self._load_in_order(self.examples["train"], self._make_order("train"))

    def val_dataloader(self) -> DataLoader[Any]:
        """Batches of validation windows, those of a sentence in one batch, in an order that never changes."""
        return self._load_in_order(self.examples["val"], self._make_order("val"))

    def test_dataloader(self) -> DataLoader[Any]:
        """Batches of test windows, those of a sentence in one batch, in an order that never changes."""
        return self._load_in_order(self.examples["test"], self._make_order("test"))

    @property
    def window(self) -> int | None:
        """Tokens in a window at most, special tokens included; None if there is no limit, and sentences stay whole."""
        limit = self._model.max_length if self._model else None
        typed: int | None = self.hparams["window"]
        if typed is not None and limit is not None and typed > limit:
            raise InputError(f"data.window is {typed}, but the model takes at most {limit} tokens")
        return limit if typed is None else typed

    @property
    def overlap(self) -> int:
        """Pieces that neighbouring windows of a sentence share at most."""
        size, typed = self._size, self.hparams["overlap"]
        if typed is not None and typed >= size:
            raise InputError(f"data.overlap {typed} must be less than the {size} pieces of a window")
        return size // 4 if typed is None else int(typed)

    @property
    def truncation(self) -> int | None:
        """Pieces of a sentence that cutting it at the model's limit would leave; None if there is no limit."""
        limit = (self._model.max_length if self._model else None) or self.window
        return None if limit is None else limit - len(find_special_tokens(self.tokenizer))

    @property
    def tagging_options(self) -> dict[str, Any]:
        """What a tagger must do with words to be what its evaluation was, in YAML's types."""
        options = {name: self.hparams[name] for name in ("label_later_pieces", "context_pieces")}
        overlap = None if self.window is None else self.overlap
        return {"scheme": self.scheme, "window": self.window, "overlap": overlap} | options

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
            parts.append(f"{self._make_order('train').padding_fraction:.1%} of a training batch is padding")
            if self.hparams["max_tokens_per_batch"] is None:
                parts += self._describe_small(len(self.examples["train"]))
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
        splits = set(SPLITS_OF_STAGE[stage])
        has_labels = self._label_names is not None or self.hparams["labels"] is not None
        if not has_labels or self.hparams["vocab_size"] is not None:
            splits.add("train")
        loaded = self.load_sentences(splits)
        self._read = {split: loaded[split] for split in sorted(splits)}
        for split, sentences in self._read.items():
            if not any(sentence.words for sentence in sentences):
                raise InputError(f"the {split} split has no words: no line of it has a word and its tag")
        self._load_tokenizer(self._iterate_train_texts, hash_sentences(self._read.get("train", [])))

    def _iterate_train_texts(self) -> Iterator[str]:
        return (" ".join(sentence.words) for sentence in self._read["train"])

    @property
    def _label_names(self) -> list[str] | None:
        """The labels that the model was made for, by id; None if it is made for whatever the data has."""
        return getattr(self._model, "label_names", None)

    def _choose_scheme(self, source: Scheme | None) -> Scheme | None:
        typed: Scheme | None = self.hparams["scheme"]
        if source is None and typed is not None:
            raise InputError(f"data.scheme {typed} has no effect: the tags are plain, and none opens with B- or I-")
        known = self._label_names or self.hparams["labels"] or ()
        return None if source is None else typed or guess_scheme(known)

    def _choose_labels(self, stage: str, train: list[TaggedSentence] | None) -> list[str]:
        """The labels, in the model's order where it has the same ones; training may give a model others."""
        names, given = self._label_names, self.hparams["labels"]
        if names is not None and stage != "fit":
            if given is not None:
                require_same_labels(names, given)
            return list(names)
        found: list[str] = given or find_labels(train or [], self.scheme)
        return list(found if names is None or set(names) != set(found) else names)

    def _make_examples(self, split: str, owner: str) -> TaggedWindows:
        sentences, size, options = self.sentences[split], self._size, self.hparams
        word_labels = np.array(number_tags(sentences, self.labels, owner), dtype=np.int64)
        encoded = encode_words(self.tokenizer, [sentence.words for sentence in sentences], size)
        inside = make_inside_table(self.labels) if options["label_later_pieces"] == "inside" else None
        table = cut_sentences(encoded, size, self.overlap)
        if options["context_pieces"]:
            table = widen(table, encoded, number_documents(sentences), options["context_pieces"], size)
        # Of the files, before tags were converted: what is scored is held against them.
        self._counts[split] = count_words(self._read[split], encoded, self.scheme is not None, self.truncation)
        around, pad_id = find_special_tokens(self.tokenizer), find_pad_id(self.tokenizer)
        return TaggedWindows(*join_pieces(encoded, word_labels, inside), table, around, pad_id)

    def _make_order(self, split: str) -> LengthOrder:
        examples, options, is_training = self.examples[split], self.hparams, split == "train"
        budget, longest = options["max_tokens_per_batch"], int(self.examples[split].lengths.max())
        if budget is not None and budget < longest:
            raise InputError(
                f"data.max_tokens_per_batch {budget} is less than the longest sequence of the {split} split, {longest} "
                "tokens; raise it or lower data.window"
            )
        return LengthOrder(
            examples.lengths,
            self._get_batch_size(is_training),
            *self._find_rank(),
            seed=int(os.environ.get("PL_GLOBAL_SEED", "0")) if is_training else None,
            groups=None if is_training else examples.table.sentences,
            max_tokens=budget,
            by_length=options["group_by_length"] or not is_training,
        )

    def _fingerprint(self, splits: Collection[str]) -> str:
        options = [self.labels, self.hparams["label_later_pieces"], self.window, self.overlap]
        hashes = {split: self._hashes[split] for split in splits}
        parts = [hashes, hash_tokenizer(self.tokenizer), options, self.hparams["context_pieces"]]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def _size(self) -> int:
        """Pieces in a window, without special tokens."""
        num_special = len(find_special_tokens(self.tokenizer))
        size = sys.maxsize if self.window is None else self.window - num_special
        if size < 1:
            raise InputError(f"data.window {self.window} leaves no room beside {num_special} special tokens")
        return size
