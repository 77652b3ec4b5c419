"""The base of data modules whose text is documents: read, tokenised and cached, with words added to the vocabulary."""

import hashlib
import json
from abc import abstractmethod
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from datasets import Dataset

from lit_mlm.data.base import SPLITS_OF_STAGE, TextDataModule, refuse_without, require_at_least
from lit_mlm.data.documents import hash_texts, iterate_texts, split_documents
from lit_mlm.data.files import collect
from lit_mlm.data.readers import read_texts
from lit_mlm.data.stream import TokenStream, tokenize_documents
from lit_mlm.data.vocabulary import Fertility, add_words, find_split_words, measure_fertility
from lit_mlm.errors import InputError
from lit_mlm.pretrained import hash_tokenizer
from lit_mlm.text.blocks import IntArray


class DocumentsDataModule(TextDataModule):
    """Reads documents and makes a stream of tokens of each split.

    A new data set is a subclass with one method, `load_documents`.

    Args:
        special_tokens: put around each ``document`` before it is cut, or around each ``block``.
        val_fraction: share of the training documents to validate on, where there is no other text for it.
        split_seed: of splits by document and samples.
        new_words: words that become one token each, with weights that start as the mean of their old pieces': a list,
            or a text file with a word a line.
        num_new_words: the same for this many words of the training text, the most frequent of those that the
            tokenizer cuts into many pieces.
        min_pieces: into how many at least; 3 by default.
    """

    def __init__(
        self,
        special_tokens: Literal["document", "block"] = "document",
        val_fraction: float = 0.1,
        split_seed: int = 42,
        new_words: list[str] | str | None = None,
        num_new_words: int | None = None,
        min_pieces: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_at_least(1, num_new_words=num_new_words)
        require_at_least(2, min_pieces=min_pieces)
        refuse_without("data.num_new_words", num_new_words, min_pieces=min_pieces)
        for name, value in (("new_words", new_words), ("num_new_words", num_new_words)):
            if value is not None and self.hparams["vocab_size"] is not None:
                raise InputError(f"data.{name} is for a tokenizer that is there: data.vocab_size trains a new one")
        if new_words is not None and num_new_words is not None:
            raise InputError("data.new_words and data.num_new_words exclude each other: both say which words to add")
        self.save_hyperparameters(logger=False)
        self.new_words: dict[int, list[int]] = {}
        self._streams: dict[str, TokenStream] = {}
        self._text_hashes: dict[str, str] = {}
        self._fertility: dict[str, tuple[Fertility, Fertility]] = {}

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
        takes_val = not has_val and self._get_source("val") == "val"
        fractions = [self.hparams["val_fraction"] if takes_val else 0.0, test_fraction]
        val, test, train = split_documents(documents, fractions, self.hparams["split_seed"])
        return {"train": train, "val": val, "test": test}

    def read_documents(self, split: str) -> Dataset:
        """The documents that the examples of a split are made of."""
        source = self._get_source(split)
        return self._read_documents([source])[source]

    def get_document_lengths(self, split: str) -> IntArray:
        """The number of tokens of each of `read_documents`, shape (num_documents,)."""
        return self._streams[self._get_source(split)].document_lengths

    def describe_vocabulary(self) -> str:
        """How many words were added and what that changes; empty if none were."""
        if not self.new_words:
            return ""
        split = "train" if "train" in self._fertility else next(iter(self._fertility))
        before, after = self._fertility[split]
        return (
            f"{len(self.new_words):,} words added: {before.fertility:.4f} -> {after.fertility:.4f} tokens a word of "
            f"{split}, {before.split_fraction:.2%} -> {after.split_fraction:.2%} of them split"
        )

    def facts(self, split: str) -> dict[str, float | int | str]:
        """What belongs to the results of a split: tokens a byte of text, and a word where words were added."""
        source = self._get_source(split)
        stream = self._streams[source]
        facts: dict[str, float | int | str] = {"tokens_per_byte": stream.num_text_tokens / max(1, stream.num_bytes)}
        if source in self._fertility:
            facts["num_new_words"] = len(self.new_words)
            for ending, found in zip(("_before", ""), self._fertility[source], strict=True):
                facts[f"fertility{ending}"] = found.fertility
                facts[f"split_fraction{ending}"] = found.split_fraction
        return facts

    def _read_documents(self, splits: Collection[str]) -> dict[str, Dataset]:
        """Exactly the splits that are asked for, in the order of their names."""
        loaded = self.load_documents(splits)
        return {split: loaded[split] for split in sorted(splits)}

    def _load(self, stage: str) -> None:
        splits = {self._get_source(split) for split in SPLITS_OF_STAGE[stage]}
        has_words = self._model is not None and self._model.has_final_tokenizer and self.hparams["tokenizer"] is None
        finds_words = self.hparams["num_new_words"] is not None and not has_words
        learns = self.hparams["vocab_size"] is not None or finds_words
        documents = self._read_documents({*splits, "train"} if learns else splits)
        self._text_hashes = {name: hash_texts(iterate_texts(texts)) for name, texts in documents.items()}
        self._load_tokenizer(lambda: iterate_texts(documents["train"]), self._text_hashes.get("train", ""))
        if not has_words:
            self._add_words(documents)
        self._streams = {split: self._tokenize(split, documents[split]) for split in sorted(splits)}

    def _add_words(self, documents: dict[str, Dataset]) -> None:
        words, old = self.hparams["new_words"] or [], self.tokenizer
        if isinstance(words, str):
            (text,), _ = collect(read_texts(Path(words)), skip=False)
            words = text.split()
        if self.hparams["num_new_words"] is not None:
            texts = iterate_texts(documents["train"])
            words = find_split_words(texts, old, self.hparams["num_new_words"], self.hparams["min_pieces"] or 3)
        self.tokenizer, self.new_words = add_words(old, words) if words else (old, {})
        if self.new_words:
            for split, texts in documents.items():
                before, after = (measure_fertility(iterate_texts(texts), kind) for kind in (old, self.tokenizer))
                self._fertility[split] = before, after

    def _tokenize(self, split: str, documents: Dataset) -> TokenStream:
        per_document = self.hparams["special_tokens"] == "document"
        parts = [self._text_hashes[split], hash_tokenizer(self.tokenizer), per_document]
        key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
        cache_file = self._cache_dir / "tokens" / f"{key}.arrow"
        num_proc = self.hparams["num_proc"]
        return tokenize_documents(documents, self.tokenizer, per_document, cache_file, num_proc, f"tokenising {split}")

    def _get_source(self, split: str) -> str:
        """The split whose text the examples of a split are made of."""
        return split
