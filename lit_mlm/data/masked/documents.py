"""The base of data modules whose text is documents: read, tokenised and cached, with words added to the vocabulary."""

import hashlib
import inspect
import json
from abc import abstractmethod
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Literal

from datasets import Dataset

from lit_mlm.data.base import TextDataModule, refuse_without, require_at_least
from lit_mlm.data.masked.code_options import OBJECT_OPTIONS, describe_option, hash_code
from lit_mlm.data.reading.documents import hash_texts, iterate_texts, split_documents
from lit_mlm.data.reading.files import Problem, decode_lines, read_bytes
from lit_mlm.data.tokens.tokenize import TokenStream, tokenize_documents
from lit_mlm.data.tokens.vocabulary import add_words, find_split_words, measure_fertility
from lit_mlm.errors import InputError
from lit_mlm.nets.pretrained import hash_tokenizer
from lit_mlm.runs.changes import refuse_changes
from lit_mlm.text.blocks import IntArray
from lit_mlm.text.masking.word_starts import Segmenter

WORD_OPTIONS = ("new_words", "num_new_words", "min_pieces")
"""The options that say which words are added."""

TOKENS = "tokens"
"""The folder of token streams within `data.cache_dir`."""

ENDINGS = ("_before", "")
"""Of the names of figures, for the tokenizer before words were added and after."""


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
        segmenter: of scripts that are written without spaces: the path of a function, or a class with `__call__`, that
            takes a text and gives the places of its words, pairs of start and end; it may leave text out.
    """

    finds_words = False
    """Whether the starts of words are kept beside the tokens."""

    def __init__(
        self,
        special_tokens: Literal["document", "block"] = "document",
        val_fraction: float = 0.1,
        split_seed: int = 42,
        new_words: list[str] | str | None = None,
        num_new_words: int | None = None,
        min_pieces: int | None = None,
        segmenter: Segmenter | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.segmenter = segmenter
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
        self.vocabulary: dict[str, Any] = {}

    def save_hyperparameters(self, *args: Any, frame: Any = None, **kwargs: Any) -> None:
        """Keeps objects as plain data, so that a checkpoint can be read without running any."""
        super().save_hyperparameters(*args, frame=frame or inspect.currentframe().f_back, **kwargs)  # type: ignore[union-attr]
        for name in OBJECT_OPTIONS:
            if name in self.hparams:
                self.hparams[name] = describe_option(self.hparams[name])

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

    def describe_streams(self) -> Iterator[str]:
        """What tokenising made of each text that was set up, and where the tokens are."""
        for source, stream in self._streams.items():
            took = "were in the cache"
            if stream.seconds is not None:
                rate = len(stream.ids) / max(stream.seconds, 1e-9)
                took = f"tokenised in {stream.seconds:.1f} s ({rate:,.0f} tokens/s)"
            yield f"{source}: {len(stream.document_lengths):,} documents, {len(stream.ids):,} tokens, {took}"
        yield f"cache: {self._cache_dir / TOKENS}"

    def describe_vocabulary(self) -> str:
        """How many words were added, and what that changes in the training text, or another."""
        facts = self.vocabulary["facts"]
        split = "train" if "train" in facts else next(iter(facts))
        before, after = ({n: facts[split][f"{n}{end}"] for n in ("fertility", "split_fraction")} for end in ENDINGS)
        return (
            f"{facts[split]['num_new_words']:,} words added: {before['fertility']:.4f} -> {after['fertility']:.4f} "
            f"tokens a word of {split}, {before['split_fraction']:.2%} -> {after['split_fraction']:.2%} of them split"
        )

    def facts(self, split: str) -> dict[str, float | int | str]:
        """What belongs to the results of a split: tokens a byte of text, and a word where words were added."""
        source = self._get_source(split)
        stream = self._streams[source]
        tokens_per_byte = stream.num_text_tokens / max(1, stream.num_bytes)
        words: dict[str, float | int | str] = self.vocabulary.get("facts", {}).get(source, {})
        return {"tokens_per_byte": tokens_per_byte} | words

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
        has_words = self._model is not None and self._model.has_final_tokenizer and self.hparams["tokenizer"] is None
        finds_words = self.hparams["num_new_words"] is not None and not has_words
        learns = self.hparams["vocab_size"] is not None or finds_words
        sources = {self._get_source(split) for split in splits}
        documents = self._read_documents({*sources, "train"} if learns else sources)
        for split, texts in documents.items():
            if len(texts) == 0:
                advice = "; raise data.val_fraction, or give it text of its own" if split == "val" else ""
                raise InputError(f"the {split} split has no documents{advice}")
        self._text_hashes |= {name: hash_texts(iterate_texts(texts)) for name, texts in documents.items()}
        self._load_tokenizer(lambda: iterate_texts(documents["train"]), self._text_hashes.get("train", ""))
        if has_words:
            self._keep_words()
        else:
            self._add_words(documents)
        return documents

    def _read_documents(self, splits: Collection[str]) -> dict[str, Dataset]:
        """Exactly the splits that are asked for, in the order of their names."""
        loaded = self.load_documents(splits)
        return {split: loaded[split] for split in sorted(splits)}

    def _load(self, stage: str) -> None:
        splits = self._find_splits(stage)
        documents = self.load_texts(splits)
        sources = sorted({self._get_source(split) for split in splits})
        self._streams |= {split: self._tokenize(split, documents[split]) for split in sources}

    def _keep_words(self) -> None:
        """Takes over what a checkpoint knows of its words; refuses options that ask for others."""
        self.vocabulary = self._model.vocabulary if self._model else {}
        asked = {name: self.hparams[name] for name in WORD_OPTIONS if self.hparams[name] is not None}
        refuse_changes("data", asked, dict.fromkeys(WORD_OPTIONS) | self.vocabulary.get("options", {}))

    def _add_words(self, documents: dict[str, Dataset]) -> None:
        words, old = self.hparams["new_words"] or [], self.tokenizer
        if isinstance(words, str):
            words = read_words(Path(words).expanduser())
        if self.hparams["num_new_words"] is not None:
            texts = iterate_texts(documents["train"])
            words = find_split_words(texts, old, self.hparams["num_new_words"], self.hparams["min_pieces"] or 3)
        self.tokenizer, self.new_words = add_words(old, words) if words else (old, {})
        if not self.new_words:
            return
        facts: dict[str, dict[str, Any]] = {split: {"num_new_words": len(self.new_words)} for split in documents}
        for split, texts in documents.items():
            for end, tokenizer in zip(ENDINGS, (old, self.tokenizer), strict=True):
                found = measure_fertility(iterate_texts(texts), tokenizer)
                facts[split] |= {f"fertility{end}": found.fertility, f"split_fraction{end}": found.split_fraction}
        self.vocabulary = {"options": {name: self.hparams[name] for name in WORD_OPTIONS}, "facts": facts}

    def _tokenize(self, split: str, documents: Dataset) -> TokenStream:
        per_document = self.hparams["special_tokens"] == "document"
        parts: list[Any] = [self._text_hashes[split], hash_tokenizer(self.tokenizer), per_document]
        if self.finds_words:
            parts += ["word_starts", hash_code(self.segmenter)]
        key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
        num_proc = self.hparams["num_proc"]
        options = (num_proc, f"tokenising {split}", self.finds_words, self.segmenter)
        return tokenize_documents(documents, self.tokenizer, per_document, self._cache_dir / TOKENS / key, *options)

    def _get_source(self, split: str) -> str:
        """The split whose text the examples of a split are made of."""
        return split


def read_words(path: Path) -> list[str]:
    """The words of a file, a word a line; empty lines are left out.

    Raises:
        InputError: if it can't be read.
    """
    content = read_bytes(path)
    lines = [content] if isinstance(content, Problem) else [line for _, line in decode_lines(path, content, "utf-8")]
    problem = next((line for line in lines if isinstance(line, Problem)), None)
    if problem:
        raise InputError(f"data.new_words must be a list, [{path}], or a file: {problem.message}")
    return [line.strip() for line in lines if isinstance(line, str) and line.strip()]
