"""Reads documents and tokenises them with the tokenizer of the options."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from lit_mlm.batch import TokenModel
from lit_mlm.data.reading.documents import count_documents, hash_texts, iterate_texts, map_sources
from lit_mlm.data.reading.text_cache import TEXTS, store_lines
from lit_mlm.data.tokens.cached import tokenize_cached
from lit_mlm.data.tokens.encoding import Encoder
from lit_mlm.data.tokens.new_words import NewWordOptions, Vocabulary
from lit_mlm.data.tokens.tokenize import TokenStream
from lit_mlm.data.tokens.tokenizer import TokenizerOptions
from lit_mlm.errors import InputError
from lit_mlm.text.masking.word_starts import Segmenter


@dataclass(frozen=True)
class TokenizedText:
    """The tokens of a split.

    Attributes:
        text_hash: SHA-256 (hex) of the documents.
        num_documents: number of documents of each source, in order.
        tokens: of all documents.
        documents: one per row.
        encoder: of the documents, which gives offsets.
    """

    text_hash: str
    num_documents: list[int]
    tokens: TokenStream
    documents: Dataset
    encoder: Encoder

    @property
    def key(self) -> list[Any]:
        """Represents the text and the boundaries of its sources in a fingerprint."""
        return [self.text_hash, self.num_documents]

    def describe(self) -> str:
        """The number of documents and tokens, and the time of tokenising."""
        took, num_tokens = "were in the cache", len(self.tokens.ids)
        if self.tokens.seconds is not None:
            rate = num_tokens / max(self.tokens.seconds, 1e-9)
            took = f"tokenised in {self.tokens.seconds:.1f} s ({rate:,.0f} tokens/s)"
        return f"{sum(self.num_documents):,} documents, {num_tokens:,} tokens, {took}"


@dataclass(frozen=True)
class DocumentReader:
    """Reads documents, loads or trains the tokenizer, and tokenises; results are cached.

    Attributes:
        load_documents: as in `BlocksDataModule`.
        by_line: makes a document of each line.
        tokenizer: options of the tokenizer.
        words: options of words to add to its vocabulary.
        cache_dir: of the data module.
        num_proc: processes for tokenising; by default the threads of the tokenizer.
        hashes: of texts that `load` has hashed, by split, until `tokenize` takes them.
    """

    load_documents: Callable[[Collection[str]], dict[str, Dataset]]
    by_line: bool
    tokenizer: TokenizerOptions
    words: NewWordOptions
    cache_dir: Path
    num_proc: int | None
    hashes: dict[str, str] = field(default_factory=dict)

    def read(self, splits: Collection[str]) -> dict[str, Dataset]:
        """The documents of splits, in alphabetical order of the splits."""
        loaded = self.load_documents(splits)
        documents = {split: loaded[split] for split in sorted(splits)}
        if self.by_line:
            store = partial(store_lines, folder=self.cache_dir / TEXTS)
            documents = {split: map_sources(store, texts) for split, texts in documents.items()}
        for split, texts in documents.items():
            if len(texts) == 0:
                advice = "; raise data.val_fraction, or give separate text for it" if split == "val" else ""
                raise InputError(f"the {split} split has no documents{advice}")
        return documents

    def load(
        self,
        splits: Collection[str],
        model: TokenModel | None,
        check_tokenizer: Callable[[PreTrainedTokenizerBase], object],
    ) -> tuple[dict[str, Dataset], Vocabulary]:
        """The documents of splits, and the tokenizer; adds the training split if something is learned from it.

        Args:
            splits: to read.
            model: of the run, if known.
            check_tokenizer: rejects an unsuitable tokenizer before it is used.
        """
        has_words = model is not None and model.has_final_tokenizer and self.tokenizer.tokenizer is None
        finds_words = self.words.num_new_words is not None and not has_words
        learns = self.tokenizer.vocab_size is not None or finds_words
        documents = self.read({*splits, "train"} if learns else splits)

        def iterate_train() -> Iterator[str]:
            return iterate_texts(documents["train"])

        if self.tokenizer.vocab_size is not None:
            self.hashes["train"] = hash_texts(iterate_train())
        tokenizer = self.tokenizer.load(model, iterate_train, self.cache_dir, self.hashes.get("train"))
        check_tokenizer(tokenizer)
        if has_words and model is not None:
            return documents, self.words.keep(tokenizer, model.vocabulary)
        return documents, self.words.add(tokenizer, documents)

    def tokenize(
        self,
        split: str,
        documents: Dataset,
        tokenizer: PreTrainedTokenizerBase,
        per_document: bool,
        finds_words: bool,
        segmenter: Segmenter | None,
    ) -> TokenizedText:
        """Tokenises the documents of a split.

        Args:
            split: its name, shown at the progress bar.
            documents: from `load`.
            tokenizer: from `load`.
            per_document: adds special tokens to each document.
            finds_words: records which tokens begin a word.
            segmenter: as in `lit_mlm.text.masking.word_starts.find_word_starts`.
        """
        text_hash = self.hashes.pop(split, "") or hash_texts(iterate_texts(documents))
        options = per_document, self.cache_dir, self.num_proc, split, text_hash, finds_words, segmenter
        tokens = tokenize_cached(documents, tokenizer, *options)
        encoder = Encoder(tokenizer, per_document, gives_offsets=True)
        return TokenizedText(text_hash, count_documents(documents), tokens, documents, encoder)
