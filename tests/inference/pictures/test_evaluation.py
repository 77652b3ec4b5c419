"""The pictures of an evaluation have its numbers."""

from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from lit_mlm.inference.pictures.drawing import Bars
from lit_mlm.inference.pictures.evaluation import (
    PARTS,
    classify_parts,
    compute_curve,
    draw_curves,
    draw_lengths,
    draw_tokens,
    draw_words,
)
from lit_mlm.metrics.details import TaggedWordDetails, TokenDetails


def test_parts_of_words(wordpiece: PreTrainedTokenizerFast, bpe: PreTrainedTokenizerFast) -> None:
    for tokenizer, start, later in ((wordpiece, "a", "##a"), (bpe, "Ġa", "a")):
        groups = classify_parts(tokenizer, len(tokenizer) + 3)
        assert groups is not None

        def classify(token: str, tokenizer: Any = tokenizer, groups: Any = groups) -> str:
            return PARTS[groups[tokenizer.convert_tokens_to_ids(token)]]

        assert classify(start) == "start of a word"
        assert classify(later) == "later part of a word"
        assert classify(".") == "punctuation"
        assert groups[tokenizer.mask_token_id] == -1
        assert (groups[-3:] == -1).all()


def test_tokens_without_marks_have_no_parts(wordpiece: PreTrainedTokenizerFast) -> None:
    class Characters:
        all_special_ids: tuple[int, ...] = ()

        def __len__(self) -> int:
            return 3

        def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
            return ["a", "b", "c"]

    characters: Any = Characters()
    assert classify_parts(characters, 3) is None


def test_losses_are_means_of_their_groups(wordpiece: PreTrainedTokenizerFast) -> None:
    size = len(wordpiece)
    tokens, counts = np.zeros((size, 2)), np.full(size, 1)
    tokens[[7, 8, 9]] = [[2, 3.0], [1, 5.0], [4, 4.0]]
    counts[[7, 8, 9]] = 0, 0, 10**6
    found = draw_tokens(TokenDetails(tokens, np.zeros((10, 3))), wordpiece, counts)
    losses = found["loss_by_frequency"]
    assert isinstance(losses, Bars)
    assert losses.groups == ["never", "over 100,000"]
    assert losses.values == pytest.approx([8 / 3, 1.0])
    assert losses.numbers == [3, 4]
    assert set(draw_tokens(TokenDetails(tokens, np.zeros((10, 3))), wordpiece, counts[:0])) == {
        "calibration",
        "loss_by_part",
    }


def test_words_have_matrices_and_curves() -> None:
    details = TaggedWordDetails(["O", "B-PER", "B-LOC"], "IOB2")
    details.update([np.array([1, 0])], [np.array([1, 0])], [np.array([0.8, 0.9], dtype=np.float32)])
    assert set(draw_words(details.compute())) == {"entities", "tags", "calibration"}
    assert list(draw_curves(details.compute()).curves) == ["PER"]  # no LOC to find
    plain = TaggedWordDetails(["NOUN", "VERB"], None)
    plain.update([], [], [])
    assert set(draw_words(plain.compute())) == {"tags", "calibration"}


def test_precision_is_one_where_nothing_is_predicted() -> None:
    recall, precision = compute_curve(np.array([2, 1, 0]), np.array([2, 0, 0]), 4)
    assert recall.tolist() == [0.5, 0.25, 0]
    assert precision.tolist() == [0.5, 1, 1]


def test_histogram_of_lengths() -> None:
    bars = draw_lengths(np.array([3, 4, 4, 50]), "train")
    assert bars.groups[0] == "3 to 5"
    assert (bars.numbers[0], bars.numbers[-1], sum(bars.numbers)) == (3, 1, 4)
    assert draw_lengths(np.array([128, 128]), "val").groups == ["128"]
