"""Metrics of texts, against scikit-learn and torchmetrics."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torch.nn import functional as F
from torchmetrics.classification import MulticlassCalibrationError

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.metrics.classes import NUM_BINS, ClassMetrics, decide, sum_nats
from lit_mlm.metrics.intervals import estimate_share_interval
from lit_mlm.metrics.paired import list_metrics
from lit_mlm.metrics.sums import add_up

LABELS = ["a", "b", "c", "never"]


def draw(multi_label: bool, num: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of four labels, of which one is never right nor found, and the right labels."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((num, 4), generator=generator)
    logits[:, 3] -= 20
    if multi_label:
        gold = (torch.randn((num, 4), generator=generator) + logits > 0).long()
        return logits, gold * torch.tensor([1, 1, 1, 0])
    return logits, (logits + torch.randn((num, 4), generator=generator)).argmax(dim=-1)


def compute(logits: torch.Tensor, labels: torch.Tensor, multi_label: bool, *cuts: int) -> dict[str, Any]:
    """The metrics of batches that are cut at the given texts, added up."""
    found = []
    for part in np.split(np.arange(len(labels)), cuts):
        metric = ClassMetrics(LABELS, multi_label)
        metric.update(logits[part], labels[part], torch.from_numpy(part))
        found.append(metric)
    return add_up(found).compute()  # type: ignore[no-any-return]


@pytest.mark.parametrize("multi_label", [False, True])
def test_metrics_are_those_of_scikit_learn(multi_label: bool) -> None:
    logits, gold = draw(multi_label)
    values = compute(logits, gold, multi_label, 0, 3, 120)
    found: Any = (logits > 0).long() if multi_label else logits.argmax(dim=-1)
    accuracy = sk.accuracy_score(gold, found)
    assert values["exact_match" if multi_label else "accuracy"] == pytest.approx(accuracy)
    options: dict[str, Any] = {"zero_division": 0}
    assert values["f1_micro"] == pytest.approx(sk.f1_score(gold, found, average="micro", **options))
    present = [0, 1, 2]
    assert values["f1_macro"] == pytest.approx(sk.f1_score(gold, found, labels=present, average="macro", **options))
    each = sk.precision_recall_fscore_support(gold, found, labels=range(4), **options)
    for name, column in zip(("precision", "recall", "f1", "support"), each, strict=True):
        assert [values[f"{name}/{label}"] for label in LABELS] == pytest.approx(column.tolist())
    assert values["f1_macro_low"] < values["f1_macro"] < values["f1_macro_high"]
    if multi_label:
        assert values["loss"] == pytest.approx(float(F.binary_cross_entropy_with_logits(logits, gold.float())))
        assert values["f1_micro_low"] < values["f1_micro"] < values["f1_micro_high"]
    else:
        assert values["f1_micro"] == values["accuracy"]
        ends = estimate_share_interval(round(accuracy * 200), 200)
        assert (values["accuracy_low"], values["accuracy_high"]) == ends
        assert values["loss"] == pytest.approx(float(F.cross_entropy(logits, gold)))
    assert values["num_texts"] == 200


def test_calibration_is_that_of_torchmetrics() -> None:
    logits, gold = draw(False)
    theirs = MulticlassCalibrationError(num_classes=4, n_bins=NUM_BINS, norm="l1")
    expected = float(theirs(logits.softmax(dim=-1), gold))
    assert compute(logits, gold, False)["calibration_error"] == pytest.approx(expected, abs=1e-6)


def test_calibration_of_several_labels_is_of_all_decisions() -> None:
    logits = torch.tensor([[0.0, 2.0, -2.0, -30.0]] * 10)
    gold = torch.tensor([[1, 1, 0, 0]] * 5 + [[0, 1, 1, 0]] * 5)
    sure = float(torch.tensor(2.0).sigmoid())
    # At 0.5 half are right; of those at 0.88 three quarters; the last label is sure and right.
    expected = (20 * abs(sure - 0.75) + 0) / 40
    assert compute(logits, gold, True)["calibration_error"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("multi_label", [False, True])
def test_units_add_up_to_the_metrics(multi_label: bool) -> None:
    logits, gold = draw(multi_label)
    order = torch.from_numpy(np.random.default_rng(0).permutation(200))
    parts = []
    for part in order.split([120, 0, 80]):
        parts.append(ClassMetrics(LABELS, multi_label))
        parts[-1].update(logits[part], gold[part], part)
    whole = add_up(parts)
    units, values = whole.collect_units(), whole.compute()
    assert units.pop("unit").tolist() == [*range(200)]
    metrics = list_metrics(units)
    assert [*metrics] == [*["accuracy"] * (not multi_label), "f1_micro", "f1_macro", *["exact_match"] * multi_label]
    for name, metric in metrics.items():
        sums = np.stack([units[column] for column in metric.columns], axis=-1).astype(float)
        assert float(metric.compute(sums.sum(axis=0))) == pytest.approx(values[name], abs=1e-12)
        both = np.stack([sums.sum(axis=0), sums[:50].sum(axis=0)])
        assert metric.compute(both).tolist() == [metric.compute(each) for each in both]


@pytest.mark.parametrize("multi_label", [False, True])
def test_unscored_texts_do_not_count(multi_label: bool) -> None:
    logits, gold = draw(multi_label, 20)
    more = torch.cat([gold, torch.full_like(gold[:3], IGNORE_INDEX)])
    values = compute(torch.cat([logits, logits[:3]]), more, multi_label)
    assert values == pytest.approx(compute(logits, gold, multi_label))
    empty = compute(logits, torch.full_like(gold, IGNORE_INDEX), multi_label)
    assert empty["num_texts"] == 0
    assert empty["f1_macro"] == empty["loss"] == 0


@pytest.mark.parametrize("multi_label", [False, True])
def test_training_losses_are_those_of_torch(multi_label: bool) -> None:
    logits, gold = draw(multi_label)
    weights = torch.tensor([1.0, 2.0, 0.5, 1.0])
    nats, size = sum_nats(logits, gold, multi_label, weights, 0.1)
    if multi_label:
        targets = gold * 0.9 + 0.05
        expected = F.binary_cross_entropy_with_logits(logits, targets, weight=weights, reduction="sum")
        expected = expected / (weights.sum() * len(gold))
    else:
        expected = F.cross_entropy(logits, gold, weight=weights, label_smoothing=0.1)
    assert float(nats / size) == pytest.approx(float(expected), rel=1e-5)


def test_decisions() -> None:
    assert decide(torch.tensor([[0.0, 1.0, 0.5]]), False).found.tolist() == [[False, True, False]]
    assert decide(torch.tensor([[0.0, 1.0, -0.5]]), True).found.tolist() == [[True, True, False]]
