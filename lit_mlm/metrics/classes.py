"""Metrics of classified texts, exact over batches and ranks.

Shapes: S texts of a batch, N texts, L labels.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.metrics.entities import RATES, compute_rates
from lit_mlm.metrics.intervals import estimate_f1_interval, estimate_macro_f1_interval, estimate_share_interval
from lit_mlm.metrics.sums import MeanLoss, SumMetric
from lit_mlm.text.arrays import BoolArray, IntArray

NUM_BINS = 15
"""Bins of equal width of `ClassMetrics` for the calibration error, as in Guo et al. 2017."""


class Decided(NamedTuple):
    """What a net decides on texts.

    Attributes:
        probs: probability of each label, shape (S, L).
        found: whether the text gets the label, shape (S, L).
    """

    probs: Tensor
    found: Tensor


def decide(logits: Tensor, multi_label: bool) -> Decided:
    """Decides on the labels of texts: the most probable one, or all whose probability is at least 0.5.

    Args:
        logits: shape (S, L), of any floating dtype; computed in float32.
        multi_label: whether labels are independent.
    """
    logits = logits.float()
    if multi_label:
        return Decided(probs := logits.sigmoid(), probs >= 0.5)
    best = F.one_hot(logits.argmax(dim=-1), logits.shape[-1]).bool()
    return Decided(logits.softmax(dim=-1), best)


def sum_nats(
    logits: Tensor, labels: Tensor, multi_label: bool, weights: Tensor | None = None, smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Returns the summed cross entropy of texts in float32, and what it is to be divided by.

    Args:
        logits: shape (S, L), of any floating dtype.
        labels: as in `lit_mlm.batch`, shape (S,) or, with `multi_label`, (S, L).
        multi_label: sums the binary cross entropies of all labels.
        weights: of the labels, shape (L,); by default 1.
        smoothing: of the targets, in [0, 1), as in `torch.nn.CrossEntropyLoss`; of several labels towards 0.5.

    Returns:
        The sum in nats, and the number of texts, or of decisions on labels, or the sum of their weights.
    """
    logits = logits.float()
    if multi_label:
        is_scored = (labels != IGNORE_INDEX).float()
        scale = is_scored if weights is None else is_scored * weights
        targets = labels.clamp(min=0) * (1 - smoothing) + smoothing / 2
        nats = F.binary_cross_entropy_with_logits(logits, targets.float(), weight=scale, reduction="sum")
        return nats, scale.sum()
    options: dict[str, Any] = {"ignore_index": IGNORE_INDEX, "reduction": "sum", "label_smoothing": smoothing}
    is_scored = labels != IGNORE_INDEX
    size = is_scored.sum() if weights is None else (weights[labels.clamp(min=0)] * is_scored).sum()
    return F.cross_entropy(logits, labels, weight=weights, **options), size


class ClassMetrics(SumMetric):
    """Accuracy, F1, calibration and loss of texts with one label, or with several.

    Under DDP each rank must call `update` at least once, if only with unscored texts.

    Args:
        labels: by id, shape (L,).
        multi_label: whether a text has any number of labels.
        details: a `lit_mlm.metrics.details.LabelledTextDetails`, which gets the same texts.

    Examples:
        >>> metrics = ClassMetrics(["neg", "pos"])
        >>> metrics.update(torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]]), torch.tensor([0, 1, 1]), torch.arange(3))
        >>> values = metrics.compute()
        >>> round(values["accuracy"], 4), round(values["f1_macro"], 4), round(values["recall/pos"], 4)
        (0.6667, 0.6667, 0.5)
    """

    unit_columns: tuple[str, ...] = ("gold", "found")

    bins: Tensor

    def __init__(self, labels: Sequence[str], multi_label: bool = False, details: SumMetric | None = None) -> None:
        super().__init__()
        self.details = details
        self.labels, self.multi_label = list(labels), multi_label
        if multi_label:  # whether a text has each label, and is given it
            self.unit_columns = tuple(f"{side}/{label}" for side in ("gold", "found") for label in labels)
        self.loss = MeanLoss()
        # Columns: decisions, sum of their probabilities, right ones.
        self.add_state("bins", torch.zeros((NUM_BINS, 3), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, logits: Tensor, labels: Tensor, texts: Tensor) -> None:
        """Adds a batch.

        Args:
            logits: shape (S, L), of any floating dtype; computed in float32.
            labels: as in `lit_mlm.batch`, shape (S,) or, with `multi_label`, (S, L); `IGNORE_INDEX` is not scored.
            texts: numbers of the texts in their split, shape (S,).
        """
        self.loss.update(*sum_nats(logits, labels, self.multi_label))
        is_scored = (labels if labels.ndim == 1 else labels[:, 0]) != IGNORE_INDEX
        logits, labels, texts = logits[is_scored], labels[is_scored], texts[is_scored]
        probs, found = decide(logits, self.multi_label)
        if self.multi_label:
            gold, ours = labels, found.long()
            confidence, is_right = torch.where(found, probs, 1 - probs).flatten(), (ours == gold).flatten()
        else:
            gold, ours = labels[:, None], found.long().argmax(dim=-1, keepdim=True)
            confidence, is_right = probs.max(dim=-1).values, (ours == gold)[:, 0]
        # A bin holds (low, high], as in Guo et al.
        numbers = (confidence.double() * NUM_BINS).ceil().long().clamp(1, NUM_BINS) - 1
        columns = torch.stack([torch.ones_like(confidence), confidence, is_right.float()], dim=1).double()
        self.bins.index_add_(0, numbers, columns)
        self.units.append(torch.cat([texts[:, None], gold, ours], dim=1))
        if self.details is not None:
            is_gold = labels.bool() if self.multi_label else F.one_hot(labels, len(self.labels)).bool()
            self.details.update(probs, found, is_gold)

    def compute(self) -> dict[str, Any]:
        """Returns the metrics by name, fractions in [0, 1], where 0 / 0 is 0.

        ``accuracy`` is the share of right texts, with Wilson's interval; of texts with several labels it is called
        ``exact_match``. ``f1_micro`` is of all labels together, ``f1_macro`` the mean over labels in gold or
        prediction. ``calibration_error`` is the expected calibration error (Guo et al. 2017, "On calibration of modern
        neural networks", ICML): the mean distance of probability and accuracy in `NUM_BINS` bins. ``loss`` is in nats
        per text, or per decision on a label.
        """
        found, gold = self._expand(self.gather_units())
        counts = np.stack([(found & gold).sum(axis=0), found.sum(axis=0), gold.sum(axis=0)], axis=1)
        name = "exact_match" if self.multi_label else "accuracy"
        num_texts, num_right = len(gold), int((found == gold).all(axis=1).sum())
        metrics: dict[str, Any] = {name: num_right / max(num_texts, 1)}
        if num_texts:
            metrics[f"{name}_low"], metrics[f"{name}_high"] = estimate_share_interval(num_right, num_texts)
        metrics["f1_micro"] = float(compute_rates(counts.sum(axis=0))[2])
        if self.multi_label:
            units = np.stack([(found & gold).sum(axis=1), found.sum(axis=1), gold.sum(axis=1)], axis=1)
            metrics["f1_micro_low"], metrics["f1_micro_high"] = estimate_f1_interval(units)
        f1 = compute_rates(counts[counts.sum(axis=1) > 0])[2]
        metrics["f1_macro"] = float(f1.mean()) if len(f1) else 0.0
        metrics["f1_macro_low"], metrics["f1_macro_high"] = estimate_macro_f1_interval(found, gold)
        bins = self.bins.cpu().numpy()
        metrics["calibration_error"] = float(np.abs(bins[:, 1] - bins[:, 2]).sum() / max(bins[:, 0].sum(), 1))
        metrics |= {"loss": float(self.loss.compute()), "num_texts": num_texts}
        for label, row in zip(self.labels, counts, strict=True):
            metrics |= {f"{rate}/{label}": float(value) for rate, value in zip(RATES, compute_rates(row), strict=True)}
            metrics[f"support/{label}"] = int(row[2])
        return metrics

    def collect_units(self) -> dict[str, Any]:
        """Returns what was decided on each text, over all ranks; empty without texts.

        Returns:
            ``unit``, the numbers of the texts; ``texts``, 1 of each; ``right``, or ``exact`` with several labels; and
            by label, as in ``gold/pos``, ``correct``, ``predicted`` and ``gold``, all of shape (N,).
        """
        with self.sync_context(dist_sync_fn=self.dist_sync_fn):
            rows = self.gather_units()
        rows = rows[np.argsort(rows[:, 0])]
        found, gold = self._expand(rows)
        is_right, name = (found == gold).all(axis=1), "exact" if self.multi_label else "right"
        units = {"unit": rows[:, 0], "texts": np.ones_like(is_right), name: is_right}
        sides = {"correct": found & gold, "predicted": found, "gold": gold}
        units |= {f"{side}/{label}": sums[:, i] for side, sums in sides.items() for i, label in enumerate(self.labels)}
        return units if len(rows) else {}

    def reset(self) -> None:
        """Resets all parts."""
        super().reset()
        for metric in (self.loss, self.details):
            if metric is not None:
                metric.reset()

    def _expand(self, rows: IntArray) -> tuple[BoolArray, BoolArray]:
        """Returns whether each text was given each label, and whether it has it, shape (N, L) each."""
        gold, found = np.split(rows[:, 1:], 2, axis=1)
        if self.multi_label:
            return found == 1, gold == 1
        ids = np.arange(len(self.labels))
        return found == ids, gold == ids
