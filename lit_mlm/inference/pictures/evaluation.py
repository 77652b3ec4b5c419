"""The pictures of an evaluation, from its details."""

import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from lit_mlm.inference.filled_texts import CONTINUATION, WORD_MARKS
from lit_mlm.inference.pictures.drawing import Bars, Curves, Matrix, Picture, Reliability
from lit_mlm.metrics.binning import accumulate_thresholds, bin_frequencies, sum_groups
from lit_mlm.metrics.details import TextDetails, TokenDetails, WordDetails
from lit_mlm.text.arrays import FloatArray, IntArray

PARTS = ("start of a word", "later part of a word", "punctuation", "number")

NUM_LENGTHS = 16
"""Bars of a histogram of lengths, at most."""


def draw_tokens(
    details: TokenDetails, tokenizer: PreTrainedTokenizerBase | None, counts: IntArray
) -> dict[str, Picture]:
    """Makes the pictures of masked tokens, by name.

    Args:
        details: of an evaluation.
        tokenizer: of the text, if it is known.
        counts: of each token id in the training text, shape (V,); empty if unknown.
    """
    found: dict[str, Picture] = {"calibration": Reliability("Reliability of the first guess", details.calibration)}
    if counts.any():
        names, groups = bin_frequencies(counts)
        label = "occurrences of the token per million of the training text"
        found["loss_by_frequency"] = _draw_losses("Loss by frequency", label, names, groups, details.tokens)
    parts = None if tokenizer is None else classify_parts(tokenizer, len(details.tokens))
    if parts is not None:
        found["loss_by_part"] = _draw_losses("Loss by part of the word", "masked token", PARTS, parts, details.tokens)
    return found


def _draw_losses(title: str, label: str, names: Sequence[str], groups: IntArray, tokens: FloatArray) -> Bars:
    sums = sum_groups(tokens, groups, len(names))
    shown = [(name, row) for name, row in zip(names, sums.tolist(), strict=True) if row[0]]
    values = [nats / number for _, (number, nats) in shown]
    return Bars(title, label, "nats per token", [n for n, _ in shown], values, [int(row[0]) for _, row in shown])


def classify_parts(tokenizer: PreTrainedTokenizerBase, vocab_size: int) -> IntArray | None:
    """Classifies token ids by `PARTS`, shape (V,); -1 for special tokens, None if tokens don't tell parts of words.

    In byte-level BPE and SentencePiece, a word without a space before it counts as a later part.
    """
    num = min(vocab_size, len(tokenizer))
    tokens: Any = tokenizer.convert_ids_to_tokens(list(range(num)))
    is_wordpiece = any(token.startswith(CONTINUATION) and token != CONTINUATION for token in tokens)
    if not is_wordpiece and not any(token.startswith(WORD_MARKS) for token in tokens):
        return None
    groups = np.full(vocab_size, -1, dtype=np.int64)
    special = set(tokenizer.all_special_ids)
    for i, token in enumerate(tokens):
        marks = (CONTINUATION,) if is_wordpiece else WORD_MARKS
        mark = next((mark for mark in marks if token.startswith(mark)), "")
        kinds = {unicodedata.category(character)[0] for character in token[len(mark) :]}
        if i in special:
            continue
        if kinds == {"N"}:
            groups[i] = 3
        elif kinds and kinds <= {"P", "S"}:
            groups[i] = 2
        else:
            groups[i] = int(bool(mark) == is_wordpiece)
    return groups


def draw_words(details: WordDetails) -> dict[str, Picture]:
    """Makes the pictures of tagged words, by name."""
    classes = [name or "_" for name in details.classes]
    found: dict[str, Picture] = {}
    if details.entities is not None:
        found["entities"] = Matrix("Types of entities with the same words", [*classes, "none"], details.entities)
    found["tags"] = Matrix("Tags of words", details.labels, details.words)
    found["calibration"] = Reliability("Reliability of the tags of words", details.calibration)
    return found


def draw_texts(details: TextDetails) -> dict[str, Picture]:
    """Makes the pictures of labelled texts, by name."""
    found: dict[str, Picture] = {}
    if details.pairs is not None:
        found["labels"] = Matrix("Labels of texts", details.classes, details.pairs)
    return found | {"calibration": Reliability("Reliability of the labels of texts", details.calibration)}


def draw_curves(details: WordDetails | TextDetails) -> Curves:
    """Makes the picture of the precision-recall curves of classes that are in the gold text."""
    right, wrong = accumulate_thresholds(details.thresholds)
    curves = {}
    for i, name in enumerate(details.classes):
        if details.num_gold[i]:
            curves[name or "_"] = compute_curve(right[i], wrong[i], int(details.num_gold[i]))
    return Curves("Precision and recall by threshold", curves)


def compute_curve(right: IntArray, wrong: IntArray, num_gold: int) -> tuple[FloatArray, FloatArray]:
    """Returns recall and precision at each threshold; precision is 1 where nothing reaches it."""
    predicted = right + wrong
    return right / max(num_gold, 1), np.where(predicted > 0, right / np.maximum(predicted, 1), 1.0)


def draw_lengths(lengths: IntArray, split: str) -> Bars:
    """Makes a histogram of the lengths of rows in tokens, special tokens included, shape (R,)."""
    low, high = int(lengths.min()), int(lengths.max())
    width = max(1, -(-(high - low + 1) // NUM_LENGTHS))
    numbers = np.bincount((lengths - low) // width).tolist()
    starts = [low + i * width for i in range(len(numbers))]
    names = [f"{start:,}" if width == 1 else f"{start:,} to {start + width - 1:,}" for start in starts]
    shares = [number / len(lengths) for number in numbers]
    return Bars(f"Lengths of {split} rows", "tokens", "share of the rows", names, shares, numbers)
