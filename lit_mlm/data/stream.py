"""Documents as one stream of token ids, cached on disk."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from datasets import Dataset, Features, Value
from datasets import List as ListFeature
from transformers import PreTrainedTokenizerBase

from lit_mlm.data.cache_lock import lock
from lit_mlm.data.documents import TEXT, iterate_texts
from lit_mlm.errors import InputError
from lit_mlm.text.blocks import IntArray
from lit_mlm.text.special_tokens import find_special_tokens
from lit_mlm.text.word_starts import NO_WORD, Segmenter, find_word_starts

INPUT_IDS, WORD_STARTS = "input_ids", "word_starts"


@dataclass(frozen=True)
class TokenStream:
    """The tokens of a split, document after document.

    Attributes:
        ids: token ids, shape (num_tokens,) int32.
        document_lengths: tokens of each document, shape (num_documents,).
        num_bytes: length of the texts in UTF-8.
        num_text_tokens: tokens that stand for text, those that the tokenizer adds around a document left out.
        word_starts: which tokens begin a word, shape (num_tokens,), where that was asked for.
    """

    ids: npt.NDArray[np.int32]
    document_lengths: IntArray
    num_bytes: int
    num_text_tokens: int
    word_starts: npt.NDArray[np.bool_] | None = None


def tokenize_batch(
    batch: dict[str, list[str]],
    tokenizer: PreTrainedTokenizerBase,
    add_special_tokens: bool,
    finds_words: bool = False,
    segmenter: Segmenter | None = None,
) -> dict[str, Any]:
    """Token ids of each text of a batch, whole: neither truncated nor padded; and which of them begin words."""
    encoded = tokenizer(
        batch[TEXT],
        add_special_tokens=add_special_tokens,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    if not finds_words:
        return {INPUT_IDS: encoded[INPUT_IDS]}
    encodings = encoded.encodings
    num_tokens = np.array([len(encoding) for encoding in encodings], dtype=np.int64)
    words = chain.from_iterable(encoding.word_ids for encoding in encodings)
    word_ids = np.fromiter((NO_WORD if word is None else word for word in words), np.int64, num_tokens.sum())
    places = chain.from_iterable(chain.from_iterable(encoding.offsets for encoding in encodings))
    offsets = np.fromiter(places, np.int64, 2 * num_tokens.sum()).reshape(-1, 2)
    starts = find_word_starts(batch[TEXT], num_tokens, word_ids, offsets, segmenter)
    return {INPUT_IDS: encoded[INPUT_IDS], WORD_STARTS: np.split(starts, np.cumsum(num_tokens)[:-1])}


def tokenize_documents(
    documents: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    add_special_tokens: bool,
    cache_file: Path,
    num_proc: int | None,
    description: str,
    finds_words: bool = False,
    segmenter: Segmenter | None = None,
) -> TokenStream:
    """Tokenises documents, or reads what an earlier call left in `cache_file`.

    Args:
        documents: data set with the column `TEXT`.
        tokenizer: a fast one.
        add_special_tokens: around each document.
        cache_file: Arrow file whose name stands for the texts, the tokenizer and the options.
        num_proc: processes that share the work; the tokenizer's own threads by default.
        description: shown beside the progress bar.
        finds_words: keeps beside each token whether it begins a word.
        segmenter: as of `find_word_starts`.

    Raises:
        InputError: if words are asked for of a slow tokenizer, which doesn't tell the places of its tokens.
    """
    if finds_words and not tokenizer.is_fast:
        raise InputError(
            f"data.masking needs whole words, but the tokenizer {tokenizer.name_or_path} is a slow one "
            f"({type(tokenizer).__name__}), which does not say where its tokens stand in a text; take a fast one (with "
            "a tokenizer.json), or TokenMasking"
        )
    features = {INPUT_IDS: ListFeature(Value("int32"))}
    options = {"tokenizer": tokenizer, "add_special_tokens": add_special_tokens}
    if finds_words:
        features[WORD_STARTS] = ListFeature(Value("bool"))
        options |= {"finds_words": True, "segmenter": segmenter}
    # Unset, the tokenizer's threads would warn of every process that is forked after they have run.
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if num_proc is None else "false"
    tokenize = partial(
        documents.map,
        tokenize_batch,
        batched=True,
        fn_kwargs=options,
        remove_columns=documents.column_names,
        features=Features(features),
        num_proc=num_proc,
        load_from_cache_file=True,
        new_fingerprint=cache_file.stem,
        desc=description,
    )
    with lock(cache_file):
        if not any(cache_file.parent.glob(f"{cache_file.stem}*.arrow")):
            with _take_up(cache_file) as unfinished:
                tokenize(cache_file_name=str(unfinished))
        tokens = tokenize(cache_file_name=str(cache_file))
    chunks = tokens.data.column(INPUT_IDS).chunks
    ids = np.concatenate([np.empty(0, np.int32), *(chunk.flatten().to_numpy() for chunk in chunks)])
    starts = None
    if finds_words:
        bits = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in tokens.data.column(WORD_STARTS).chunks]
        starts = np.concatenate([np.empty(0, np.bool_), *bits])
    lengths = np.concatenate([np.empty(0, np.int64), *(chunk.value_lengths().to_numpy() for chunk in chunks)])
    num_added = len(find_special_tokens(tokenizer)) * len(lengths) if add_special_tokens else 0
    num_bytes = sum(len(text.encode("utf-8", errors="surrogatepass")) for text in iterate_texts(documents))
    return TokenStream(ids, lengths.astype(np.int64), num_bytes, len(ids) - num_added, starts)


@contextmanager
def _take_up(cache_file: Path) -> Iterator[Path]:
    """A place for a cache in a folder of its own, out of which it is moved once it is whole.

    `datasets` leaves its temporary files where a signal ends it.
    """
    folder = cache_file.with_name(f".{cache_file.stem}.unfinished")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder / cache_file.name
        for path in folder.glob("*.arrow"):
            path.rename(cache_file.with_name(path.name))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
