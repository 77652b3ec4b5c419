"""Counts by score and by pair of labels, against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, precision_recall_curve

from lit_mlm.metrics.binning import (
    NUM_THRESHOLDS,
    accumulate_thresholds,
    bin_frequencies,
    compute_calibration_error,
    count_pairs,
    count_span_pairs,
    count_thresholds,
    sum_bins,
    sum_groups,
)
from lit_mlm.text.tagging.schemes import Span


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def test_bins_are_those_of_scikit_learn(generator: np.random.Generator) -> None:
    scores = generator.random(1000).astype(np.float32)
    is_right = generator.random(1000) < scores**2
    bins = sum_bins(torch.from_numpy(scores), torch.from_numpy(is_right)).numpy()
    accuracy, confidence = calibration_curve(is_right, scores.astype(np.float64), n_bins=10)
    number, right, total = bins.T
    assert number.sum() == 1000
    assert right / number == pytest.approx(accuracy)
    assert total / number == pytest.approx(confidence)
    expected = float((np.abs(accuracy - confidence) * number).sum() / 1000)
    assert compute_calibration_error(bins) == pytest.approx(expected)
    assert compute_calibration_error(np.zeros((10, 3))) == 0


def test_scores_on_edges_are_in_the_upper_bin() -> None:
    scores = torch.tensor([0.0, 0.1, 0.5, 1.0], dtype=torch.float64)
    assert sum_bins(scores, scores > 0)[:, 0].tolist() == [1, 1, 0, 0, 0, 1, 0, 0, 0, 1]


def test_curve_is_that_of_scikit_learn(generator: np.random.Generator) -> None:
    """Of scores on the thresholds, so that no predictions are merged."""
    scores = generator.integers(1, NUM_THRESHOLDS, 500) / (NUM_THRESHOLDS - 1)
    is_right = generator.random(500) < scores
    right, wrong = accumulate_thresholds(count_thresholds(scores.tolist(), is_right.tolist()))
    precision, recall, thresholds = precision_recall_curve(is_right, scores)
    at = np.rint(thresholds * (NUM_THRESHOLDS - 1)).astype(int)
    assert (right / np.maximum(right + wrong, 1))[at] == pytest.approx(precision[:-1])
    assert (right / is_right.sum())[at] == pytest.approx(recall[:-1])
    assert (right[0], wrong[0]) == (is_right.sum(), 500 - is_right.sum())


def test_pairs_are_those_of_scikit_learn(generator: np.random.Generator) -> None:
    gold, predicted = generator.integers(0, 4, (2, 300))
    assert (count_pairs(gold, predicted, 5) == confusion_matrix(gold, predicted, labels=range(5))).all()


def test_entities_are_paired_by_their_words() -> None:
    gold = [Span("PER", 0, 2), Span("LOC", 3, 4), Span("LOC", 6, 7)]
    predicted = [Span("PER", 0, 2), Span("PER", 3, 4), Span("LOC", 5, 7)]
    counts = count_span_pairs(predicted, gold, ["LOC", "PER"])
    assert counts.tolist() == [[0, 1, 1], [0, 1, 0], [1, 0, 0]]
    assert counts[:2].sum() == len(gold)
    assert counts[:, :2].sum() == len(predicted)


def test_frequencies_on_edges_are_in_the_upper_group() -> None:
    names, groups = bin_frequencies(np.array([0, 1, 10, 99, 10**6 - 110]))
    assert [names[group] for group in groups.tolist()] == [
        "never",
        "1 to 10",
        "10 to 100",
        "10 to 100",
        "over 100,000",
    ]
    assert bin_frequencies(np.array([1, 2 * 10**6]))[1].tolist() == [1, 7]
    assert bin_frequencies(np.zeros(2, dtype=np.int64))[1].tolist() == [0, 0]


def test_groups_are_sums(generator: np.random.Generator) -> None:
    values, groups = generator.random((50, 2)), generator.integers(-1, 3, 50)
    expected = [values[groups == group].sum(axis=0) for group in range(3)]
    assert sum_groups(values, groups, 3) == pytest.approx(np.array(expected))
