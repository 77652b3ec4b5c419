"""Minimal pairs."""

import math

import pytest

from lit_mlm.errors import InputError
from lit_mlm.inference.fill import load_masked_lm
from lit_mlm.inference.pairs import Normalize, ScoredPair, measure_accuracy, score_pairs
from lit_mlm.inference.score import score_texts

PAIRS = [("The story was bright.", "The stories was bright."), ("It was over.", "It over wonderfully, was it?")]


@pytest.mark.parametrize("normalize", ["none", "tokens", "words"])
def test_pairs_have_the_scores_of_their_sentences(tiny_bert: str, normalize: Normalize) -> None:
    net, tokenizer = load_masked_lm(tiny_bert)
    found = score_pairs(net, tokenizer, PAIRS, "original", normalize)
    for pair, scores in zip(PAIRS, found, strict=True):
        for sentence, value in zip(pair, scores, strict=True):
            (text,) = score_texts(net, tokenizer, [sentence], "original")
            length = {"none": 1, "tokens": len(tokenizer.tokenize(sentence)), "words": text.num_words}[normalize]
            assert value == pytest.approx(text.score / length, rel=1e-6)


def test_the_higher_score_is_preferred() -> None:
    assert [
        ScoredPair(*scores).preferred
        for scores in ((-1, -2), (-2, -1), (-1, -1), (0, 0), (-1, -1.000001), (-20000, -20000.1))
    ] == [
        "good",
        "bad",
        "tie",
        "tie",
        "tie",
        "good",
    ]


def test_sentences_with_the_same_tokens_tie(tiny_bert: str) -> None:
    """Wherever they are among others, as batches round."""
    net, tokenizer = load_masked_lm(tiny_bert)
    pairs = [("The story was dull " * n, "the Story was  DULL " * n) for n in range(1, 12)]
    assert {pair.preferred for pair in score_pairs(net, tokenizer, pairs)} == {"tie"}


def test_a_tie_is_wrong() -> None:
    metrics = measure_accuracy(iter(["good"] * 6 + ["bad"] * 3 + ["tie"]))
    assert (metrics["accuracy"], metrics["num_pairs"], metrics["num_ties"]) == (0.6, 10, 1)
    assert metrics["accuracy_low"] < 0.6 < metrics["accuracy_high"]


def test_bad_input_is_refused(tiny_bert: str) -> None:
    net, tokenizer = load_masked_lm(tiny_bert)
    with pytest.raises(InputError, match="normalize must be none, tokens or words, got 'length'"):
        score_pairs(net, tokenizer, PAIRS, normalize="length")  # type: ignore[arg-type]
    assert score_pairs(net, tokenizer, [("", "")], normalize="tokens") == [(0, 0)]
    assert math.isfinite(score_pairs(net, tokenizer, [("\u200b", "a")], normalize="words")[0].good)
