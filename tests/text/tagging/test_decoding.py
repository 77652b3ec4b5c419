"""Labels and probabilities of words, against a softmax by hand."""

import numpy as np
import pytest

from lit_mlm.text.tagging.decoding import Decoding, decode_logits, decode_parts

LABELS = ["O", "B-PER", "I-PER"]


def test_labels_have_the_probabilities_of_their_own_word() -> None:
    logits = np.array([[2, 1, 0], [0, 1, 3], [0, 0, 0]], dtype=np.float32)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    ids, scores = decode_logits(logits, LABELS, "IOB2", "argmax")
    assert ids.tolist() == [0, 2, 0]
    assert scores == pytest.approx(softmax[[0, 1, 2], [0, 2, 0]])
    ids, scores = decode_logits(logits, LABELS, "IOB2", "viterbi")  # I-PER opens nothing: B-PER I-PER is better
    assert ids.tolist() == [1, 2, 0]
    assert scores == pytest.approx(softmax[[0, 1, 2], [1, 2, 0]])
    ids, _ = decode_logits(logits, ["a", "b", "c"], None, "viterbi")
    assert ids.tolist() == [0, 2, 0]


def test_no_words_have_no_labels() -> None:
    for decoding in ("argmax", "viterbi"):
        ids, scores = decode_logits(np.zeros((0, 3), dtype=np.float32), LABELS, "IOB2", decoding)
        assert ids.shape == scores.shape == (0,)


@pytest.mark.parametrize("decoding", ["argmax", "viterbi"])
def test_parts_are_decoded_as_the_whole(decoding: Decoding) -> None:
    logits = np.random.default_rng(0).normal(size=(9000, 3)).astype(np.float32)
    whole = decode_logits(logits, LABELS, "IOB2", decoding)
    parts = decode_parts(iter(np.split(logits, [1, 5000])), 9000, LABELS, "IOB2", decoding)
    assert [array.tolist() for array in parts] == [array.tolist() for array in whole]
