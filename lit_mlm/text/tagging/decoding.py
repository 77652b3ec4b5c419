"""Decodes the logits of a sentence's words, identically in evaluation, prediction and tagging.

Shapes: W words, L labels.
"""

from collections.abc import Sequence
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
    scores: Float32Array = torch.from_numpy(logits).log_softmax(dim=-1).numpy()
    best = decode_tags(scores, labels, scheme) if decoding == "viterbi" else logits.argmax(axis=-1)
    return best, np.exp(scores[np.arange(len(best)), best])


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
    scores = np.maximum(scores.astype(np.float64), _LOWEST_SCORE)
    origins = np.zeros(scores.shape, dtype=np.int64)
    best = scores[0] + penalties[-1, :-1]
    for i in range(1, len(scores)):
        paths = best[:, None] + penalties[:-1, :-1]
        origins[i] = paths.argmax(axis=0)
        best = paths.max(axis=0) + scores[i]
    best = best + penalties[:-1, -1]
    if best.max() == -np.inf:
        raise InputError(f"the labels {', '.join(labels)} allow no {len(scores)} tags in a row in {scheme}")
    chosen = [int(best.argmax())]
    for origin in origins[:0:-1]:
        chosen.append(int(origin[chosen[-1]]))
    return np.array(chosen[::-1], dtype=np.int64)


@lru_cache(maxsize=16)
def _find_penalties(labels: tuple[str, ...], scheme: Scheme) -> npt.NDArray[np.float64]:
    """Returns 0 where a label may follow another, else -inf; the last row and column are the sentence's ends."""
    for label in labels:
        check_tag(label, scheme)
    tags = (*labels, "O")
    is_allowed = [[may_follow(before, tag, scheme) for tag in tags] for before in tags]
    return np.where(is_allowed, 0.0, -np.inf)
