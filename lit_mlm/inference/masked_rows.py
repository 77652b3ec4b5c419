"""Computes logits at chosen positions of many sequences, in batches of similar lengths and bounded memory.

Shapes: B rows of a batch, T tokens, V vocabulary, N scored positions of a batch.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.errors import InputError
from lit_mlm.nets.sparse_head import compute_scored_logits
from lit_mlm.text.arrays import Float32Array, IntArray
from lit_mlm.text.special_tokens import find_pad_id

TOKENS_PER_BATCH, TOKENS_ON_CPU = 4096, 512
"""Tokens of a batch, padding included; a longer row is a batch of its own.

On a CPU, fewer are faster: there is less padding, and activations stay in its caches.
"""

LOGITS_PER_BATCH = 2**24
"""Logits of a batch, N x V; 64 MiB in float32."""


class MaskedRow(NamedTuple):
    """A sequence to run and the positions to score; rows may share `input_ids`, as masks are set in batches only.

    Attributes:
        input_ids: of the sequence with its special tokens, shape (T,).
        scored: positions whose logits are wanted, each once.
        masked: positions that become the mask token.
    """

    input_ids: IntArray
    scored: Sequence[int]
    masked: Sequence[int] = ()


@contextmanager
def evaluating(net: PreTrainedModel) -> Iterator[None]:
    """Runs a net in eval mode without gradients, and restores its mode."""
    was_training = net.training
    net.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        net.train(was_training)


def iterate_logits(
    net: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Sequence[MaskedRow]
) -> Iterator[tuple[IntArray, Tensor]]:
    """Yields the logits of all scored positions in batches, longest rows first, by a head that runs on them alone.

    Args:
        net: a masked language model; run in eval mode.
        tokenizer: its tokenizer, with a mask token if rows have masks.
        rows: in any order.

    Yields:
        The numbers of the scored positions, shape (N,), counted through all rows in their order, and their logits in
        float32, shape (N, V), on the net's device.
    """
    first_numbers = np.cumsum([0, *(len(row.scored) for row in rows)])
    for batch in make_batches(rows, net.config.vocab_size, get_batch_tokens(net)):
        inputs = _collate([rows[i] for i in batch], tokenizer)
        # The sparse head returns the positions of a row in ascending order.
        numbers = np.concatenate([first_numbers[i] + np.argsort(rows[i].scored) for i in batch])
        with evaluating(net):
            logits, _ = compute_scored_logits(net, {name: value.to(net.device) for name, value in inputs.items()})
        yield numbers, logits.float()


def find_top_tokens(
    net: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Sequence[MaskedRow], top_k: int
) -> tuple[Float32Array, IntArray]:
    """Finds the most probable tokens at all scored positions of `iterate_logits`, in the order of the rows.

    Returns:
        Log-probabilities, descending, and token ids, shapes (N, top_k).
    """
    shape = sum(len(row.scored) for row in rows), top_k
    log_probs, token_ids = np.empty(shape, np.float32), np.empty(shape, np.int64)
    for numbers, logits in iterate_logits(net, tokenizer, rows):
        top = logits.topk(top_k)
        log_probs[numbers] = (top.values - compute_log_normalizer(logits)[:, None]).cpu().numpy()
        token_ids[numbers] = top.indices.cpu().numpy()
    return log_probs, token_ids


def compute_log_normalizer(logits: Tensor) -> Tensor:
    """Returns the logarithm of the denominator of the softmax, shape (N,); NaN is refused."""
    normalizer = logits.logsumexp(-1)
    if bool(normalizer.isnan().any()):
        raise InputError("the net gives NaN for some masks: train it again, or take another checkpoint of its run")
    return normalizer


def get_batch_tokens(net: PreTrainedModel) -> int:
    """Returns the tokens of a batch on the net's device."""
    return TOKENS_ON_CPU if net.device.type == "cpu" else TOKENS_PER_BATCH


def make_batches(rows: Sequence[MaskedRow], vocab_size: int, max_tokens: int) -> Iterator[list[int]]:
    """Yields the indices of the rows of each batch, longest rows first, so that memory is known from the first one."""
    batch: list[int] = []
    width = scored = 0
    for i in sorted((i for i, row in enumerate(rows) if len(row.scored)), key=lambda i: -len(rows[i].input_ids)):
        width, scored = width or len(rows[i].input_ids), scored + len(rows[i].scored)
        is_full = (len(batch) + 1) * width > max_tokens or scored * vocab_size > LOGITS_PER_BATCH
        if batch and is_full:
            yield batch
            batch, width, scored = [], len(rows[i].input_ids), len(rows[i].scored)
        batch.append(i)
    if batch:
        yield batch


def _collate(rows: Sequence[MaskedRow], tokenizer: PreTrainedTokenizerBase) -> dict[str, Tensor]:
    """Pads rows to the longest, sets their masks and marks the scored positions by labels, shapes (B, T)."""
    shape = len(rows), max(len(row.input_ids) for row in rows)
    input_ids = np.full(shape, find_pad_id(tokenizer), np.int64)
    attention_mask = np.zeros(shape, np.int64)
    labels = np.full(shape, IGNORE_INDEX, np.int64)
    for i, row in enumerate(rows):
        input_ids[i, : len(row.input_ids)] = row.input_ids
        input_ids[i, list(row.masked)] = tokenizer.mask_token_id
        attention_mask[i, : len(row.input_ids)] = 1
        labels[i, list(row.scored)] = 0
    arrays = {"input_ids": input_ids, "attention_mask": attention_mask, "labels": labels}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
