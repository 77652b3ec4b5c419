"""Aggregation of tokens, against the softmax of each word by hand."""

import numpy as np
import pytest

from lit_mlm.text.arrays import Float32Array, FloatArray
from lit_mlm.text.tagging.aggregation import Aggregation, aggregate_tokens


def aggregate_slowly(logits: Float32Array, aggregation: Aggregation) -> FloatArray:
    """The distribution of a word, given the logits of its tokens, shape (T, L)."""
    probs = np.exp(logits.astype(np.float64))
    probs /= probs.sum(axis=1, keepdims=True)
    found: dict[Aggregation, FloatArray] = {
        "first": probs[0],
        "max": max(probs, key=max),
        "average": probs.mean(axis=0),
    }
    return found[aggregation]


@pytest.mark.parametrize("aggregation", ["first", "max", "average"])
def test_distributions_of_words(aggregation: Aggregation) -> None:
    rng = np.random.default_rng(0)
    num_tokens = rng.integers(1, 6, 200)
    firsts = np.cumsum(num_tokens) - num_tokens
    logits = rng.normal(scale=4, size=(num_tokens.sum(), 5)).astype(np.float32)
    logits[3] = (200, 0, 0, 0, -200)  # probabilities that float32 can't hold
    found = np.exp(aggregate_tokens(logits, firsts, aggregation).astype(np.float64))
    found /= found.sum(axis=1, keepdims=True)
    expected = [aggregate_slowly(word, aggregation) for word in np.split(logits, firsts[1:])]
    assert found == pytest.approx(np.array(expected), rel=1e-4, abs=1e-12)


def test_of_equally_certain_tokens_the_first_counts() -> None:
    logits = np.array([[0, 1], [1, 0], [1, 0]], np.float32)
    assert aggregate_tokens(logits, np.array([0, 2]), "max").tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("aggregation", ["first", "max", "average"])
def test_no_words_have_no_logits(aggregation: Aggregation) -> None:
    assert aggregate_tokens(np.zeros((0, 3), np.float32), np.zeros(0, np.int64), aggregation).shape == (0, 3)
