"""Tokenises documents, or takes their tokens from the cache."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets import Dataset
from datasets.fingerprint import Hasher
from transformers import PreTrainedTokenizerBase

from lit_mlm.data.reading.cache_folder import name_folder
from lit_mlm.data.reading.documents import hash_texts, iterate_texts
from lit_mlm.data.tokens.tokenize import TokenStream, tokenize_documents
from lit_mlm.nets.pretrained import hash_tokenizer
from lit_mlm.options import describe_option
from lit_mlm.text.masking.word_starts import Segmenter
from lit_mlm.upstream import is_plain

TOKENS = "tokens"
"""The folder of tokens in `data.cache_dir`."""


def tokenize_cached(
    documents: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    add_special_tokens: bool,
    cache_dir: Path,
    num_proc: int | None,
    split: str,
    text_hash: str | None = None,
    finds_words: bool = False,
    segmenter: Segmenter | None = None,
) -> TokenStream:
    """Tokenises the documents of a split by `tokenize_documents`, unless they are in the cache.

    Args:
        documents: with the column ``text``.
        tokenizer: of the documents.
        add_special_tokens: to each document.
        cache_dir: of the data module.
        num_proc: as in `tokenize_documents`.
        split: its name, shown at the progress bar.
        text_hash: `hash_texts` of the documents, if known.
        finds_words: records which tokens begin a word.
        segmenter: as in `lit_mlm.text.masking.word_starts.find_word_starts`.
    """
    text_hash = text_hash or hash_texts(iterate_texts(documents))
    code = None if is_plain(tokenizer) else hash_code(type(tokenizer))
    words = hash_code(segmenter) if finds_words else None
    key = text_hash, hash_tokenizer(tokenizer), code, add_special_tokens, finds_words, words
    options = add_special_tokens, name_folder(cache_dir / TOKENS, *key), num_proc, f"tokenising {split}"
    return tokenize_documents(documents, tokenizer, *options, finds_words, segmenter)


def hash_code(value: Callable[..., Any] | None) -> str | None:
    """Hashes the name of a function or class, an object's state, and the source file."""
    if value is None:
        return None
    try:
        source = inspect.getsource(inspect.getmodule(value) or type(value))
    except (OSError, TypeError):  # no source file
        source = ""
    return str(Hasher.hash([describe_option(value), value, source]))
