"""Documents as one stream of token ids, cached on disk."""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from datasets import Dataset, Features, Value
from datasets import List as ListFeature
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from lit_mlm.data.cache_lock import lock
from lit_mlm.data.documents import TEXT, iterate_texts
from lit_mlm.errors import InputError
from lit_mlm.text.blocks import IntArray
from lit_mlm.text.special_tokens import find_special_tokens
from lit_mlm.text.word_starts import NO_WORD, Segmenter, find_word_starts

INPUT_IDS, WORD_STARTS = "input_ids", "word_starts"

BATCH_BYTES = 2**21
"""Text that is tokenised at a time, if its documents are of mean length: encodings take about 50 times its size."""


@dataclass(frozen=True)
class TokenStream:
    """The tokens of a split, document after document.

    Attributes:
        ids: token ids, shape (num_tokens,) int32.
        document_lengths: tokens of each document, shape (num_documents,).
        num_bytes: length of the texts in UTF-8.
        num_text_tokens: tokens that stand for text, those that the tokenizer adds around a document left out.
        word_starts: which tokens begin a word, shape (num_tokens,), where that was asked for.
        seconds: that tokenising took; None where the tokens were in the cache.
    """

    ids: npt.NDArray[np.int32]
    document_lengths: IntArray
    num_bytes: int
    num_text_tokens: int
    word_starts: npt.NDArray[np.bool_] | None = None
    seconds: float | None = None


def tokenize_batch(
    batch: Mapping[str, Sequence[str]],
    tokenizer: PreTrainedTokenizerBase,
    add_special_tokens: bool,
    finds_words: bool = False,
    segmenter: Segmenter | None = None,
) -> pa.Table:
    """Token ids of each text of a batch, whole: neither truncated nor padded; and which of them begin words.

    Returns:
        A row for each text with its lists `INPUT_IDS` and, if `finds_words`, `WORD_STARTS`.
    """
    texts = list(batch[TEXT])
    encodings = _encode(texts, tokenizer, add_special_tokens, finds_words)
    num_tokens = np.fromiter(map(len, encodings), np.int64, len(texts))
    total, borders = int(num_tokens.sum()), pa.array(np.cumsum([0, *num_tokens]), pa.int32())
    ids = np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), np.int32, total)
    columns = {INPUT_IDS: pa.ListArray.from_arrays(borders, pa.array(ids))}
    if finds_words:
        words = chain.from_iterable(encoding.word_ids for encoding in encodings)
        word_ids = np.fromiter((NO_WORD if word is None else word for word in words), np.int64, total)
        places = chain.from_iterable(chain.from_iterable(encoding.offsets for encoding in encodings))
        offsets = np.fromiter(places, np.int64, 2 * total).reshape(-1, 2)
        starts = find_word_starts(texts, num_tokens, word_ids, offsets, segmenter)
        columns[WORD_STARTS] = pa.ListArray.from_arrays(borders, pa.array(starts))
    return pa.table(columns)


@dataclass(frozen=True)
class _Ids:
    """What a slow tokenizer gives in place of an `Encoding`."""

    ids: list[int]

    def __len__(self) -> int:
        return len(self.ids)


def _encode(
    texts: list[str], tokenizer: PreTrainedTokenizerBase, add_special_tokens: bool, finds_words: bool
) -> Sequence[Any]:
    """An encoding of each text; the tokenizer itself copies each one into lists, which costs a tenth of its time."""
    kwargs: dict[str, Any] = {"return_attention_mask": False, "return_token_type_ids": False, "verbose": False}
    # A class of its own may do more to a text than its backend does.
    own, usual = type(tokenizer), PreTrainedTokenizerFast
    if getattr(own, "_encode_plus", None) is not usual._encode_plus or own.__call__ is not usual.__call__:
        encoded = tokenizer(texts, add_special_tokens=add_special_tokens, **kwargs)
        return encoded.encodings or [_Ids(ids) for ids in encoded[INPUT_IDS]]
    tokenizer([""], **kwargs)  # turns off truncation and padding that the tokenizer's file has on
    backend = tokenizer.backend_tokenizer
    # Without the places of tokens in the text it is faster.
    encode = backend.encode_batch if finds_words else backend.encode_batch_fast
    encodings: Sequence[Any] = encode(texts, add_special_tokens=add_special_tokens)
    return encodings


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
    if finds_words:
        _require_fast(tokenizer)
    features = {INPUT_IDS: ListFeature(Value("int32"))}
    options = {"tokenizer": tokenizer, "add_special_tokens": add_special_tokens}
    if finds_words:
        features[WORD_STARTS] = ListFeature(Value("bool"))
        options |= {"finds_words": True, "segmenter": segmenter}
    # Unset, the tokenizer's threads would warn of every process that is forked after they have run.
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if num_proc is None else "false"
    num_bytes = sum(len(text.encode("utf-8", errors="surrogatepass")) for text in iterate_texts(documents))
    tokenize = partial(
        documents.map,
        tokenize_batch,
        batched=True,
        batch_size=min(1000, max(1, BATCH_BYTES * len(documents) // max(1, num_bytes))),
        fn_kwargs=options,
        remove_columns=documents.column_names,
        features=Features(features),
        num_proc=num_proc,
        load_from_cache_file=True,
        new_fingerprint=cache_file.stem,
        desc=description,
    )
    tokens, seconds = _read_or_make(cache_file, tokenize, len(documents))
    chunks = tokens.data.column(INPUT_IDS).chunks
    ids = np.concatenate([np.empty(0, np.int32), *(chunk.flatten().to_numpy() for chunk in chunks)])
    starts = None
    if finds_words:
        bits = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in tokens.data.column(WORD_STARTS).chunks]
        starts = np.concatenate([np.empty(0, np.bool_), *bits])
    lengths = np.concatenate([np.empty(0, np.int64), *(chunk.value_lengths().to_numpy() for chunk in chunks)])
    num_added = len(find_special_tokens(tokenizer)) * len(lengths) if add_special_tokens else 0
    return TokenStream(ids, lengths.astype(np.int64), num_bytes, len(ids) - num_added, starts, seconds)


def _require_fast(tokenizer: PreTrainedTokenizerBase) -> None:
    if not tokenizer.is_fast:
        raise InputError(
            f"data.masking needs whole words, but the tokenizer {tokenizer.name_or_path} is a slow one "
            f"({type(tokenizer).__name__}), which does not say where its tokens stand in a text; take a fast one (with "
            "a tokenizer.json), or TokenMasking"
        )


def _read_or_make(
    cache_file: Path, tokenize: Callable[..., Dataset], num_documents: int
) -> tuple[Dataset, float | None]:
    """The tokens of all documents, and the seconds that making them took; None if they were there.

    A cache that was cut short, by a full disk or a copy that ended, is made anew.
    """
    with lock(cache_file):
        seconds = _fill(cache_file, tokenize)
        with suppress(pa.ArrowInvalid, OSError):
            tokens = tokenize(cache_file_name=str(cache_file))
            if len(tokens) == num_documents:
                return tokens, seconds
        for path in _find_parts(cache_file):
            path.unlink(missing_ok=True)
        seconds = _fill(cache_file, tokenize)
        return tokenize(cache_file_name=str(cache_file)), seconds


def _find_parts(cache_file: Path) -> list[Path]:
    """The files of a cache: one for each of several processes."""
    return [*cache_file.parent.glob(f"{cache_file.stem}*.arrow")]


def _fill(cache_file: Path, tokenize: Callable[..., Dataset]) -> float | None:
    """Tokenises unless the cache is there; returns the seconds that it took."""
    if _find_parts(cache_file):
        return None
    start = time.perf_counter()
    with _take_up(cache_file) as unfinished:
        tokenize(cache_file_name=str(unfinished))
    return time.perf_counter() - start


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
