"""From the logits of a sentence's words to their labels, the same in evaluation, prediction and tagging.

Shapes: W words, L labels.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from lit_mlm.text.blocks import IntArray
from lit_mlm.text.tagging.schemes import Scheme, decode_tags

Decoding = Literal["argmax", "viterbi"]

FloatArray = npt.NDArray[np.float32]


def decode_logits(
    logits: FloatArray, labels: Sequence[str], scheme: Scheme | None, decoding: Decoding
) -> tuple[IntArray, FloatArray]:
    """The label of each word of a sentence, and how probable it is.

    Args:
        logits: of the words, shape (W, L).
        labels: the tag of each column.
        scheme: of the labels; None for plain tags.
        decoding: each word by itself, or the best sequence that the scheme allows.

    Returns:
        Label ids, shape (W,), and the probability of each in the softmax of its word, in [0, 1], shape (W,).

    Raises:
        InputError: if a label is none of the scheme's, or they allow no sequence of W tags.
    """
    scores: FloatArray = torch.from_numpy(logits).log_softmax(dim=-1).numpy()
    best = decode_tags(scores, labels, scheme) if decoding == "viterbi" else logits.argmax(axis=-1)
    return best, np.exp(scores[np.arange(len(best)), best])
