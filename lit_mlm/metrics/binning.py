"""Counts by score and by pair of labels: calibration, precision-recall curves and confusion.

Shapes: N predictions, B bins, L labels, C entity types.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from lit_mlm.text.arrays import BoolArray, Float32Array, FloatArray, IntArray
from lit_mlm.text.tagging.schemes import Span

NUM_BINS = 10
"""Of a reliability diagram, each 0.1 wide."""

NUM_THRESHOLDS = 101
"""Of a precision-recall curve: 0, 0.01, ..., 1."""


def sum_bins(scores: Tensor, is_right: Tensor, num_bins: int = NUM_BINS) -> Tensor:
    """Sums predictions by score: their number, the right ones, and their scores, shape (B, 3) float64.

    Args:
        scores: probabilities of the predictions, in [0, 1], shape (N,).
        is_right: whether each is right, shape (N,).
        num_bins: of equal width; a score on an edge is in the upper bin, 1 in the last.

    Examples:
        >>> sum_bins(torch.tensor([0.2, 0.5, 1.0]), torch.tensor([False, True, True]), 2).tolist()
        [[1.0, 0.0, 0.20000000298023224], [2.0, 2.0, 1.5]]
    """
    edges = torch.arange(1, num_bins, dtype=torch.float64, device=scores.device) / num_bins
    scores = scores.double()
    rows = torch.stack([torch.ones_like(scores), is_right.double(), scores], dim=1)
    bins = torch.zeros((num_bins, 3), dtype=torch.float64, device=scores.device)
    # `index_add_`, unlike `bincount`, is deterministic on GPUs if torch is told to be.
    return bins.index_add_(0, torch.bucketize(scores, edges, right=True), rows)


def compute_calibration_error(bins: FloatArray) -> float:
    """Returns the expected calibration error of `sum_bins`, in [0, 1] (Guo et al. 2017, equation 3).

    Examples:
        >>> compute_calibration_error(np.array([[1, 0, 0.25], [3, 3, 2.25]]))
        0.25
    """
    number, right, scores = bins.T
    return float(np.abs(right - scores).sum() / max(number.sum(), 1))


def count_thresholds(scores: Sequence[float] | Float32Array, is_right: Sequence[bool] | BoolArray) -> IntArray:
    """Counts wrong and right predictions by the highest threshold that they reach, shape (`NUM_THRESHOLDS`, 2)."""
    thresholds = np.arange(NUM_THRESHOLDS) / (NUM_THRESHOLDS - 1)
    counts = np.zeros((NUM_THRESHOLDS, 2), dtype=np.int64)
    reached = np.searchsorted(thresholds, np.asarray(scores, dtype=np.float64), side="right") - 1
    np.add.at(counts, (reached, np.asarray(is_right, dtype=np.int64)), 1)
    return counts


def accumulate_thresholds(counts: IntArray) -> tuple[IntArray, IntArray]:
    """Returns the right and the wrong predictions that reach each threshold, from `count_thresholds`.

    Args:
        counts: shape (..., `NUM_THRESHOLDS`, 2).
    """
    reached = counts[..., ::-1, :].cumsum(axis=-2)[..., ::-1, :]
    return reached[..., 1], reached[..., 0]


def count_pairs(gold: IntArray, predicted: IntArray, num_labels: int) -> IntArray:
    """Counts pairs of gold (rows) and predicted labels (columns), shape (L, L).

    Examples:
        >>> count_pairs(np.array([0, 1, 1]), np.array([0, 0, 1]), 2).tolist()
        [[1, 0], [1, 1]]
    """
    counts = np.bincount(gold * num_labels + predicted, minlength=num_labels**2)
    return counts.astype(np.int64).reshape(num_labels, num_labels)


def count_span_pairs(predicted: Sequence[Span], gold: Sequence[Span], types: Sequence[str]) -> IntArray:
    """Counts the types of gold (rows) and predicted entities (columns) with the same words, shape (C + 1, C + 1).

    The last row has the predicted entities whose words are no gold entity, the last column the gold ones whose words
    are no predicted entity.

    Examples:
        >>> count_span_pairs([Span("PER", 0, 2), Span("LOC", 3, 4)], [Span("LOC", 0, 2)], ["LOC", "PER"]).tolist()
        [[0, 1, 0], [0, 0, 0], [1, 0, 0]]
    """
    none = len(types)
    found, expected = (
        {(span.start, span.end): types.index(span.type) for span in spans} for spans in (predicted, gold)
    )
    counts = np.zeros((none + 1, none + 1), dtype=np.int64)
    for words in found | expected:
        counts[expected.get(words, none), found.get(words, none)] += 1
    return counts


def bin_frequencies(counts: IntArray) -> tuple[list[str], IntArray]:
    """Groups tokens by their occurrences per million tokens of a text, in powers of ten.

    Args:
        counts: of each token id, shape (V,).

    Returns:
        The names of the groups, the rarest first, and the group of each id, shape (V,).

    Examples:
        >>> names, groups = bin_frequencies(np.array([0, 1, 49, 999_950]))
        >>> [names[group] for group in groups.tolist()]
        ['never', '1 to 10', '10 to 100', 'over 100,000']
    """
    edges = 10 ** np.arange(6)
    bounds = [f"{low:,} to {high:,}" for low, high in pairwise(edges)]
    total = max(int(counts.sum()), 1)
    # In integers: a frequency on an edge is in the upper group.
    groups = 1 + (counts[:, None] * 10**6 >= edges * total).sum(axis=1)
    return ["never", "under 1", *bounds, f"over {edges[-1]:,}"], np.where(counts == 0, 0, groups)


def sum_groups(values: FloatArray, groups: IntArray, num_groups: int) -> FloatArray:
    """Sums rows of values by group, shape (`num_groups`, K).

    Args:
        values: shape (N, K).
        groups: of the rows, shape (N,); rows of a negative one are left out.
        num_groups: of the result.

    Examples:
        >>> sum_groups(np.array([[1.0, 5.0], [1.0, 7.0], [1.0, 9.0]]), np.array([1, 1, -1]), 2).tolist()
        [[0.0, 0.0], [2.0, 12.0]]
    """
    sums = np.zeros((num_groups, values.shape[1]))
    np.add.at(sums, groups[groups >= 0], values[groups >= 0])
    return sums
