"""Aggregates the logits of a word's tokens to those of the word.

The names are those of the `token-classification` pipeline of `transformers` (`aggregation_strategy`); words are ours.
Shapes: P tokens, W words, L labels.
"""

from typing import Literal

import numpy as np
import torch

from lit_mlm.text.arrays import Float32Array, IntArray

Aggregation = Literal["first", "max", "average"]


def aggregate_tokens(logits: Float32Array, first_tokens: IntArray, aggregation: Aggregation) -> Float32Array:
    """Returns logits of words, shape (W, L), whose softmax is the distribution that the aggregation gives.

    Args:
        logits: of the tokens of the words, one word after another, shape (P, L).
        first_tokens: the first token of each word, ascending from 0, shape (W,).
        aggregation: ``first`` for the first token's distribution, ``max`` for that of the token with the highest
            probability, ``average`` for the mean of all.

    Examples:
        >>> tokens = np.log(np.array([[0.6, 0.4], [0.1, 0.9], [0.7, 0.3]], np.float32))
        >>> words = aggregate_tokens(tokens, np.array([0, 2]), "average")
        >>> [[round(float(prob), 2) for prob in word] for word in np.exp(words)]
        [[0.35, 0.65], [0.7, 0.3]]
    """
    if aggregation == "first" or not len(first_tokens):
        return logits[first_tokens]
    log_probs: Float32Array = torch.from_numpy(logits).log_softmax(dim=-1).numpy()
    num_tokens = np.diff(first_tokens, append=len(logits))
    if aggregation == "average":
        sums: Float32Array = np.logaddexp.reduceat(log_probs, first_tokens, axis=0)
        return sums - np.log(num_tokens, dtype=np.float32)[:, None]
    words = np.repeat(np.arange(len(first_tokens)), num_tokens)
    by_word_and_certainty = np.lexsort((-log_probs.max(axis=-1), words))  # stable: of equals the first
    return logits[by_word_and_certainty[first_tokens]]
