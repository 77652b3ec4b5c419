"""Metrics whose states are sums, and so are exact over batches and ranks.

Shapes: N scored positions, V vocabulary.
"""

import copy
import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric

from lit_mlm.errors import InputError
from lit_mlm.text.arrays import FloatArray, IntArray
from lit_mlm.upstream import KeepDtype

TINY = 1e-12
"""Clamps a denominator that may be 0, so that 0 / 0 is 0; sums of weights are larger."""


class SumMetric(KeepDtype, Metric):
    """A metric whose states keep their dtype when the net is cast, and are not shared with spawned processes."""

    full_state_update = False

    unit_columns: tuple[str, ...] = ()
    """What `collect_units` returns beside ``unit``; without any, units are not counted."""

    units: list[Tensor]

    def __init__(self) -> None:
        super().__init__(compute_with_cache=False)  # as `add_up` changes the states
        if self.unit_columns:  # rows of the number of a unit and its sums
            self.add_state("units", [], dist_reduce_fx="cat")

    def add_units(self, rows: IntArray | FloatArray) -> None:
        """Adds rows of a unit's number and its `unit_columns`, shape (R, 1 + K); a unit may have several."""
        if len(rows) or not self.units:  # a rank without any must take part in the reduction
            self.units.append(torch.from_numpy(rows).to(self.device))

    def gather_units(self) -> Any:
        """Returns the rows of all `add_units`, shape (R, 1 + K)."""
        parts = [self.units] if isinstance(self.units, Tensor) else self.units  # a tensor once reduced
        return torch.cat(parts).cpu().numpy() if parts else np.zeros((0, 1 + len(self.unit_columns)), dtype=np.int64)

    def collect_units(self) -> dict[str, Any]:
        """Returns the sums of each unit, such as a sentence, over all ranks; empty if units are not counted.

        Returns:
            ``unit``, the numbers in ascending order, and each of `unit_columns`, all of shape (U,).
        """
        if not self.unit_columns:
            return {}
        with self.sync_context(dist_sync_fn=self.dist_sync_fn):
            rows = self.gather_units()
        numbers, indices = np.unique(rows[:, 0].astype(np.int64), return_inverse=True)
        sums = np.zeros((len(numbers), len(self.unit_columns)), rows.dtype)
        np.add.at(sums, indices, rows[:, 1:])
        return {"unit": numbers} | dict(zip(self.unit_columns, sums.T, strict=True)) if len(numbers) else {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for name, value in self.metric_state.items():
            setattr(self, name, copy.deepcopy(value))


def add_up(metrics: Sequence[SumMetric]) -> SumMetric:
    """Returns the sum of metrics of one kind, which may contain other metrics.

    Examples:
        >>> losses = [MeanLoss(), MeanLoss()]
        >>> losses[0].update(torch.tensor(4.0), 2)
        >>> losses[1].update(torch.tensor(2.0), 1)
        >>> float(add_up(losses).compute())
        2.0
    """
    total = copy.deepcopy(metrics[0])
    for part, *others in zip(*(metric.modules() for metric in (total, *metrics[1:])), strict=True):
        if not isinstance(part, SumMetric):
            continue
        for name in part.metric_state:
            for other in others:
                setattr(part, name, getattr(part, name) + getattr(other, name))
    return total


class MaskedTokenMetrics(SumMetric):
    """Loss, perplexity and accuracy over all scored positions of a corpus.

    Perplexity is exp(nats / scored tokens), summed in float64 over the whole split and all ranks.
    ``perplexity_batch_mean``, the exp of the mean of the batches' mean losses, is what published recipes print; it
    depends on the batch size.

    Args:
        details: a `lit_mlm.metrics.details.MaskedTokenDetails`, which gets the same positions.

    Examples:
        >>> metrics = MaskedTokenMetrics()
        >>> metrics.update(torch.zeros(2, 8), torch.tensor([0, 5]))
        >>> round(metrics.compute()["perplexity"], 4)
        8.0
    """

    unit_columns = ("nats", "scored", "right")

    nats: Tensor
    num_scored_tokens: Tensor
    num_top1: Tensor
    num_top5: Tensor
    batch_means: Tensor
    num_batches: Tensor

    def __init__(self, details: SumMetric | None = None) -> None:
        super().__init__()
        self.details = details
        for name in ("nats", "batch_means"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        for name in ("num_scored_tokens", "num_top1", "num_top5", "num_batches"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, logits: Tensor, labels: Tensor, units: Tensor | None = None) -> None:
        """Adds the scored positions of a batch, if any.

        Args:
            logits: shape (N, V), of any floating dtype; computed in float32.
            labels: shape (N,) int64, without `IGNORE_INDEX`.
            units: as in `lit_mlm.batch`, shape (N,); None if they are not counted.
        """
        if len(labels) == 0 or units is None:
            self.add_units(np.zeros((0, 4)))
        if len(labels) == 0:
            if self.details is not None:
                empty = logits.new_zeros(0)
                self.details.update(labels, empty, empty, empty > 0)
            return
        losses, top = F.cross_entropy(logits.float(), labels, reduction="none"), logits.topk(min(5, logits.shape[-1]))
        nats, is_right = losses.double().sum(), top.indices == labels[:, None]
        if units is not None:
            numbers, indices = np.unique(units.cpu().numpy(), return_inverse=True)
            columns = losses.double().cpu().numpy(), None, is_right[:, 0].cpu().numpy()
            sums = [np.bincount(indices, weights=weights) for weights in columns]
            self.add_units(np.stack([numbers, *sums], axis=1).astype(np.float64))
        self.nats += nats
        self.num_scored_tokens += len(labels)
        self.num_top1 += is_right[:, 0].sum()
        self.num_top5 += is_right.sum()
        self.batch_means += nats / len(labels)
        self.num_batches += 1
        if self.details is not None:
            # The log-probability of the target plus how far its logit is below the highest.
            behind = top.values[:, 0].float() - logits.gather(1, labels[:, None])[:, 0].float()
            self.details.update(labels, losses, (behind - losses).exp().clamp(max=1), is_right[:, 0])

    def reset(self) -> None:
        """Resets all parts."""
        super().reset()
        if self.details is not None:
            self.details.reset()

    def compute(self) -> dict[str, float | int]:
        """Returns the metrics by name: loss in nats per token, accuracies in [0, 1]."""
        scored = int(self.num_scored_tokens)
        if scored == 0:
            raise InputError(
                "the evaluation scored no token, as none was masked: evaluate on more text or raise data.mask_prob"
            )
        loss = float(self.nats) / scored
        return {
            "loss": loss,
            "perplexity": exponential(loss),
            "perplexity_batch_mean": exponential(float(self.batch_means) / int(self.num_batches)),
            "top1_accuracy": int(self.num_top1) / scored,
            "top5_accuracy": int(self.num_top5) / scored,
            "num_scored_tokens": scored,
        }


class MeanLoss(SumMetric):
    """Mean loss in nats per scored token, or per unit of weight; 0 if nothing was scored."""

    nats: Tensor
    num_scored_tokens: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("nats", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("num_scored_tokens", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, nats: Tensor, num_scored_tokens: Tensor | int) -> None:
        """Adds the summed loss of a batch, a scalar in nats, and its number of tokens or sum of weights."""
        self.nats += nats.detach().double()
        self.num_scored_tokens += num_scored_tokens

    def compute(self) -> Tensor:
        """Returns the mean, a float64 scalar."""
        return self.nats / self.num_scored_tokens.clamp(min=TINY)


def estimate_interval(samples: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Returns Student's confidence interval of a mean (Student 1908, "The probable error of a mean").

    Args:
        samples: independent, at least two.
        confidence: probability that the interval contains the mean, in (0, 1).

    Examples:
        >>> low, high = estimate_interval([1.0, 2.0, 3.0])
        >>> round(low, 3), round(high, 3)
        (-0.484, 4.484)
    """
    mean, deviation = statistics.mean(samples), statistics.stdev(samples)
    margin = float(stdtrit(len(samples) - 1, (1 + confidence) / 2)) * deviation / math.sqrt(len(samples))
    return mean - margin, mean + margin


def exponential(loss: float) -> float:
    """Returns exp(loss), infinite on overflow."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf
