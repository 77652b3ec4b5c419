"""Decodes the logits of a sentence's words, identically in evaluation, prediction and tagging.

Shapes: W words, L labels.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from lit_mlm.errors import InputError
from lit_mlm.text.arrays import Float32Array, IntArray
from lit_mlm.text.tagging.schemes import Scheme, check_tag, may_follow

Decoding = Literal["argmax", "viterbi"]

_LOWEST_SCORE = -1e9
"""Replaces minus infinity, so that a forbidden tag is worse than any score; float64 keeps 7 digits beside it."""


def decode_logits(
    logits: Float32Array, labels: Sequence[str], scheme: Scheme | None, decoding: Decoding
) -> tuple[IntArray, Float32Array]:
    """Returns the label ids of the words of a sentence and their softmax probabilities, both of shape (W,).

    Args:
        logits: shape (W, L).
        labels: the tag of each column.
        scheme: of the labels; None for plain tags.
        decoding: ``argmax`` for each word by itself, ``viterbi`` for the best sequence that the scheme allows.
    """
    return decode_parts([logits], len(logits), labels, scheme, decoding)


def decode_parts(
    parts: Iterable[Float32Array], num_words: int, labels: Sequence[str], scheme: Scheme | None, decoding: Decoding
) -> tuple[IntArray, Float32Array]:
    """Decodes a sentence of `num_words` words whose logits come in parts, as `decode_logits` decodes them at once.

    Only ``viterbi`` keeps scores of all parts.
    """
    log_probs = np.empty((num_words if decoding == "viterbi" else 0, len(labels)), np.float32)
    best, scores, start = np.empty(num_words, np.int64), np.empty(num_words, np.float32), 0
    for logits in parts:
        end = start + len(logits)
        found: Float32Array = torch.from_numpy(logits).log_softmax(dim=-1).numpy()
        if decoding == "viterbi":
            log_probs[start:end] = found
        else:
            best[start:end] = logits.argmax(axis=-1)
            scores[start:end] = np.exp(found[np.arange(len(found)), best[start:end]])
        start = end
    if decoding == "viterbi":
        best = decode_tags(log_probs, labels, scheme)
        scores = np.exp(log_probs[np.arange(num_words), best])
    return best, scores


def decode_tags(scores: npt.NDArray[np.floating], labels: Sequence[str], scheme: Scheme | None) -> IntArray:
    """Returns the label ids of the best tag sequence that the scheme allows (Viterbi 1967), shape (W,).

    Args:
        scores: additive scores of each label (log probabilities or logits), shape (W, L).
        labels: the tag of each column, in any order.
        scheme: of the labels; plain tags are decoded by argmax.

    Examples:
        >>> decode_tags(np.array([[2.0, 1.0, 0.0], [0.0, 0.0, 4.0]]), ["O", "B-PER", "I-PER"], "IOB2")
        array([1, 2])
    """
    if scheme is None or len(scores) == 0:
        return np.asarray(scores.argmax(axis=-1), dtype=np.int64)
    penalties = _find_penalties(tuple(labels), scheme)
    origins = np.zeros(scores.shape, dtype=np.min_scalar_type(len(labels)))
    best, arriving = penalties[-1, :-1], penalties[:-1, :-1]
    for i, row in enumerate(_iterate_rows(scores)):
        if i:
            paths = best[:, None] + arriving
            origins[i], best = paths.argmax(axis=0), paths.max(axis=0)
        best = best + row
    best = best + penalties[:-1, -1]
    if best.max() == -np.inf:
        raise InputError(f"the labels {', '.join(labels)} allow no {len(scores)} tags in a row in {scheme}")
    chosen = [int(best.argmax())]
    for origin in origins[:0:-1]:
        chosen.append(int(origin[chosen[-1]]))
    return np.array(chosen[::-1], dtype=np.int64)


def _iterate_rows(scores: npt.NDArray[np.floating]) -> Iterator[npt.NDArray[np.float64]]:
    """Yields rows in float64, of which only some exist at a time."""
    for start in range(0, len(scores), 2**12):
        yield from np.maximum(scores[start : start + 2**12].astype(np.float64), _LOWEST_SCORE)


@lru_cache(maxsize=16)
def _find_penalties(labels: tuple[str, ...], scheme: Scheme) -> npt.NDArray[np.float64]:
    """Returns 0 where a label may follow another, else -inf; the last row and column are the sentence's ends."""
    for label in labels:
        check_tag(label, scheme)
    tags = (*labels, "O")
    is_allowed = [[may_follow(before, tag, scheme) for tag in tags] for before in tags]
    return np.where(is_allowed, 0.0, -np.inf)
