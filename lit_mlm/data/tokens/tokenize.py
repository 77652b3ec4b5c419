"""Tokenises documents into one array of token ids, cached on disk."""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from lit_mlm.data.reading.cache_folder import make_folder
from lit_mlm.data.reading.documents import TEXT, iterate_texts, measure_texts
from lit_mlm.data.reading.flat_arrays import Arrays, map_arrays, write_arrays
from lit_mlm.data.tokens.encoding import INPUT_IDS, LENGTHS, WORD_STARTS, Encoder
from lit_mlm.errors import InputError
from lit_mlm.text.arrays import IntArray
from lit_mlm.text.masking.word_starts import Segmenter
from lit_mlm.upstream import is_plain

BYTES = "document_bytes"

BATCH_BYTES, BATCH_DOCUMENTS = 2**20, 1000
"""A batch is complete once it reaches either limit; encodings take about 50 times its size."""


@dataclass(frozen=True)
class TokenStream:
    """The tokens of a split, document after document; large arrays are memory-mapped.

    Attributes:
        ids: token ids, shape (num_tokens,) int32.
        document_lengths: tokens of each document, shape (num_documents,).
        document_bytes: length of each document in UTF-8, shape (num_documents,).
        word_starts: whether each token begins a word, shape (num_tokens,), if recorded.
        seconds: duration of tokenising; None if cached.
    """

    ids: npt.NDArray[np.int32]
    document_lengths: IntArray
    document_bytes: IntArray
    word_starts: npt.NDArray[np.bool_] | None = None
    seconds: float | None = None


def tokenize_batch(
    batch: Mapping[str, Sequence[str]],
    tokenizer: PreTrainedTokenizerBase,
    add_special_tokens: bool,
    finds_words: bool = False,
    segmenter: Segmenter | None = None,
) -> pa.Table:
    """Tokenises texts without truncation or padding.

    Returns:
        A row for each text with the list `INPUT_IDS` and, if `finds_words`, the list `WORD_STARTS` of booleans.
    """
    arrays = Encoder(tokenizer, add_special_tokens, finds_words, segmenter)(list(batch[TEXT]))
    boundaries = pa.array(np.cumsum([0, *arrays.pop(LENGTHS)]), pa.int32())
    return pa.table({name: pa.ListArray.from_arrays(boundaries, pa.array(array)) for name, array in arrays.items()})


def flatten_tokens(tokens: pa.Table) -> Arrays:
    """Flattens the result of `tokenize_batch` into an array per column; adds `LENGTHS`, the tokens of each text."""
    columns = {name: tokens[name].combine_chunks() for name in tokens.column_names}
    arrays = {name: column.flatten().to_numpy(zero_copy_only=False) for name, column in columns.items()}
    return arrays | {LENGTHS: columns[INPUT_IDS].value_lengths().to_numpy()}


def tokenize_documents(
    documents: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    add_special_tokens: bool,
    folder: Path,
    num_proc: int | None,
    description: str,
    finds_words: bool = False,
    segmenter: Segmenter | None = None,
) -> TokenStream:
    """Tokenises documents into a folder, or maps what an earlier call left there.

    Args:
        documents: data set with the column `TEXT`.
        tokenizer: a fast one, if `finds_words`.
        add_special_tokens: to each document.
        folder: of `name_folder`, with a key of the texts, the tokenizer and the options.
        num_proc: processes for tokenising; by default the threads of the tokenizer.
        description: shown at the progress bar.
        finds_words: records whether each token begins a word.
        segmenter: as in `find_word_starts`.
    """
    if finds_words:
        _require_fast(tokenizer)
    dtypes: dict[str, npt.DTypeLike] = {INPUT_IDS: np.int32, LENGTHS: np.int64, BYTES: np.int64}
    options: dict[str, Any] = {"tokenizer": tokenizer, "add_special_tokens": add_special_tokens}
    if finds_words:
        dtypes[WORD_STARTS] = np.bool_
        options |= {"finds_words": True, "segmenter": segmenter}
    start = time.perf_counter()
    is_new = make_folder(
        folder, lambda new: write_arrays(new, _tokenize(documents, options, num_proc, description), dtypes)
    )
    seconds = time.perf_counter() - start if is_new else None
    arrays = map_arrays(folder, dtypes)
    return TokenStream(arrays[INPUT_IDS], arrays[LENGTHS], arrays[BYTES], arrays.get(WORD_STARTS), seconds)


def _require_fast(tokenizer: PreTrainedTokenizerBase) -> None:
    if not tokenizer.is_fast:
        raise InputError(
            f"data.masking needs whole words, but the slow tokenizer {tokenizer.name_or_path} "
            f"({type(tokenizer).__name__}) gives no offsets; use a fast one (with a tokenizer.json), or TokenMasking"
        )


def find_boundaries(sizes: IntArray) -> list[int]:
    """The first document of each batch to tokenise, and one past the last, for documents of `sizes` bytes."""
    ends, boundaries = np.cumsum(sizes), [0]
    while (start := boundaries[-1]) < len(sizes):
        full = int(np.searchsorted(ends, ends[start] - sizes[start] + BATCH_BYTES)) + 1
        boundaries.append(min(full, start + BATCH_DOCUMENTS, len(sizes)))
    return boundaries


@dataclass(frozen=True)
class _Batches(torch.utils.data.Dataset[Arrays | InputError]):
    """Tokenises a batch of documents on request, in any process.

    Attributes:
        documents: with the column `TEXT` only.
        sizes: bytes of each document, shape (num_documents,).
        boundaries: from `find_boundaries`.
        options: of `tokenize_batch`.
    """

    documents: Dataset
    sizes: IntArray
    boundaries: list[int]
    options: dict[str, Any]

    def __len__(self) -> int:
        return len(self.boundaries) - 1

    def __getitem__(self, number: int) -> Arrays | InputError:
        start, end = self.boundaries[number], self.boundaries[number + 1]
        try:
            tokens = flatten_tokens(tokenize_batch(self.documents[start:end], **self.options))
        except InputError as error:  # would lose its message if raised in a worker
            return error
        return tokens | {BYTES: self.sizes[start:end]}


def _tokenize(documents: Dataset, options: dict[str, Any], num_proc: int | None, description: str) -> Iterator[Arrays]:
    """Yields the arrays of each batch, with a progress bar."""
    # Set, since the tokenizer otherwise warns of each process forked after its threads have run.
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if num_proc is None else "false"
    sizes = measure_texts(iterate_texts(documents))
    batches = _Batches(documents.select_columns(TEXT), sizes, find_boundaries(sizes), options)
    parts: Iterable[Arrays | InputError] = _work_ahead(batches)
    if num_proc is not None or options.get("segmenter") is not None or not is_plain(options["tokenizer"]):
        parts = DataLoader(  # custom code may not be thread-safe
            batches, batch_size=None, num_workers=num_proc or 0, collate_fn=_keep, generator=torch.Generator()
        )
    num_tokens = 0
    with tqdm(total=int(sizes.sum()), desc=description, unit="B", unit_scale=True, disable=None) as bar:
        for part, (start, end) in zip(parts, pairwise(batches.boundaries), strict=True):
            if isinstance(part, InputError):
                raise part
            yield part
            num_tokens += len(part[INPUT_IDS])
            bar.set_postfix_str(f"{num_tokens / max(1e-9, bar.format_dict['elapsed']):,.0f} tokens/s", refresh=False)
            bar.update(int(sizes[start:end].sum()))


def _work_ahead(batches: _Batches) -> Iterator[Arrays | InputError]:
    """Yields the batches in order while the tokenizer's threads, which need no Python, work on the next one."""
    Encoder(batches.options["tokenizer"], True)([""])  # sets the tokenizer's state in a single thread
    with ThreadPoolExecutor(2) as pool:
        waiting: deque[Future[Arrays | InputError]] = deque()
        for number in range(len(batches)):
            waiting.append(pool.submit(batches.__getitem__, number))
            if len(waiting) > 2:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _keep(part: Any) -> Any:
    """Keeps the loader from turning arrays into tensors, which use shared memory between processes."""
    return part
