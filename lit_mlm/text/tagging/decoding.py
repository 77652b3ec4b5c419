"""Decodes the logits of a sentence's words, identically in evaluation, prediction and tagging.

Shapes: W words, L labels.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch

from lit_mlm.text.arrays import Float32Array, IntArray
from lit_mlm.text.tagging.schemes import Scheme, decode_tags

Decoding = Literal["argmax", "viterbi"]


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
