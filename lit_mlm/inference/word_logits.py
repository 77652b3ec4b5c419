"""Computes the logits of words from rows of tokens, in batches of similar lengths and bounded memory.

Shapes: R rows, B rows of a batch, T tokens per row, W words that the rows own, L labels.
"""

from collections.abc import Iterator

import numpy as np
import torch
from transformers import PreTrainedModel

from lit_mlm.batch import NO_WORD
from lit_mlm.errors import InputError
from lit_mlm.inference.masked_rows import TOKENS_PER_BATCH, evaluating, get_batch_tokens
from lit_mlm.nets import pretrained
from lit_mlm.text.arrays import Float32Array, IntArray
from lit_mlm.text.tagging.aggregation import Aggregation, aggregate_tokens
from lit_mlm.text.tagging.alignment import find_first_tokens
from lit_mlm.text.tagging.rows import TaggedRows


def compute_word_logits(
    net: PreTrainedModel, rows: TaggedRows, batch_size: int | None = None, aggregation: Aggregation = "first"
) -> Float32Array:
    """Returns the logits of the words that rows own, row after row, shape (W, L).

    Args:
        net: a token classifier; run in eval mode.
        rows: of any lengths.
        batch_size: rows per batch; by default as many as `get_batch_tokens` allows.
        aggregation: of a word's tokens, as in `aggregate_tokens`.
    """
    first_words = rows.words[rows.table.owned_starts].astype(np.int64)
    num_words = rows.words[rows.table.owned_ends - 1] + 1 - first_words
    offsets = np.cumsum(num_words) - num_words - first_words
    logits = np.full((num_words.sum(), len(pretrained.get_labels(net.config))), np.nan, np.float32)
    with evaluating(net):
        for numbers in make_batches(rows.lengths, batch_size, get_batch_tokens(net)):
            batch = rows.make_batch(numbers)
            inputs = {name: torch.from_numpy(batch[name]).to(net.device) for name in ("input_ids", "attention_mask")}
            found = net(**inputs).logits.float().flatten(0, 1).cpu().numpy()
            words, firsts = batch["words"].reshape(-1), find_first_tokens(batch["words"])
            owned = np.flatnonzero(words != NO_WORD)
            places = offsets[numbers][firsts // batch["words"].shape[1]] + words[firsts]
            logits[places] = aggregate_tokens(found[owned], np.searchsorted(owned, firsts), aggregation)
    if np.isnan(logits[:, :1]).any():
        raise InputError("the net gives NaN for some words: train it again, or take another checkpoint of its run")
    return logits


def make_batches(
    lengths: IntArray, batch_size: int | None = None, max_tokens: int = TOKENS_PER_BATCH
) -> Iterator[IntArray]:
    """Yields the rows of each batch, longest first, so that memory is known from the first one.

    Args:
        lengths: tokens of each row, shape (R,).
        batch_size: rows per batch; by default at most `max_tokens` tokens, padding included, or one row.
        max_tokens: >= 1.

    Examples:
        >>> [rows.tolist() for rows in make_batches(np.array([400, 3, 600, 512]), max_tokens=1024)]
        [[2], [3, 0], [1]]
    """
    order, first = np.argsort(-lengths, kind="stable"), 0
    while first < len(order):
        size = batch_size or max(1, max_tokens // int(lengths[order[first]]))
        yield order[first : first + size]
        first += size
