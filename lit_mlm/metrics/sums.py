"""Metrics whose states are sums, so that they are exact over batches and ranks.

Shapes: N scored positions, V vocabulary.
"""

import copy
import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import torch
from scipy.special import stdtrit
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric

from lit_mlm.errors import InputError

TINY = 1e-12
"""Stands for a number of scored tokens that is 0, so that a share of nothing is 0; sums of weights are above it."""


class SumMetric(Metric):
    """A metric whose states keep their type when the net around it is cast: sums in half precision would be wrong.

    They are each process's own: torch shares the memory of tensors with the processes that it spawns.
    """

    full_state_update = False

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for name in self._defaults:
            setattr(self, name, copy.deepcopy(getattr(self, name)))

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> nn.Module:
        return super()._apply(lambda state: state.to(fn(state).device), exclude_state)


def add_up(metrics: Sequence[SumMetric]) -> SumMetric:
    """The metric of all that several metrics of one kind have seen, sums or lists; these stay as they are.

    A metric may hold others.
    """
    total = copy.deepcopy(metrics[0])
    for part, *others in zip(*(metric.modules() for metric in (total, *metrics[1:])), strict=True):
        if not isinstance(part, SumMetric):
            continue
        part._computed = None  # the first one's figures, if it has computed them, are not the total's
        for name in part._defaults:
            for other in others:
                setattr(part, name, getattr(part, name) + getattr(other, name))
    return total


class MaskedTokenMetrics(SumMetric):
    """Loss, perplexity and accuracy over all scored positions of a corpus.

    Perplexity is exp(nats / scored tokens), summed in float64 over the whole split and every rank and divided last.
    Beside it stands ``perplexity_batch_mean``, exp of the unweighted mean of the batches' mean losses, which the
    published recipes print; it depends on the batch size.
    """

    nats: Tensor
    num_scored_tokens: Tensor
    num_top1: Tensor
    num_top5: Tensor
    batch_means: Tensor
    num_batches: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("nats", "batch_means"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        for name in ("num_scored_tokens", "num_top1", "num_top5", "num_batches"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Adds the scored positions of a batch; a batch without any adds nothing.

        Args:
            logits: shape (N, V), of any floating type; computed on in float32.
            labels: the token to predict, shape (N,) int64, none of them `IGNORE_INDEX`.
        """
        if len(labels) == 0:
            return
        nats = F.cross_entropy(logits.float(), labels, reduction="none").double().sum()
        is_right = logits.topk(min(5, logits.shape[-1]), dim=-1).indices == labels[:, None]
        self.nats += nats
        self.num_scored_tokens += len(labels)
        self.num_top1 += is_right[:, 0].sum()
        self.num_top5 += is_right.sum()
        self.batch_means += nats / len(labels)
        self.num_batches += 1

    def compute(self) -> dict[str, float | int]:
        """The figures by name; loss in nats a token, accuracies between 0 and 1.

        Raises:
            InputError: if no position was scored.
        """
        scored = int(self.num_scored_tokens)
        if scored == 0:
            raise InputError(
                "the evaluation scored no token: its blocks hold none that was masked; "
                "evaluate on more text or raise mask_prob"
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
    """Mean loss in nats a scored token, or a unit of weight; 0 while nothing was scored."""

    nats: Tensor
    num_scored_tokens: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("nats", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("num_scored_tokens", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, nats: Tensor, num_scored_tokens: Tensor | int) -> None:
        """Adds the summed loss of a batch, a scalar in nats, and how many tokens, or what weight, it is the loss of."""
        self.nats += nats.detach().double()
        self.num_scored_tokens += num_scored_tokens

    def compute(self) -> Tensor:
        """The mean, a float64 scalar."""
        return self.nats / self.num_scored_tokens.clamp(min=TINY)


def estimate_interval(samples: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Student's interval of the mean of independent samples (Student 1908, "The probable error of a mean").

    Args:
        samples: at least two.
        confidence: probability that the interval holds the mean, between 0 and 1.

    Returns:
        The ends of the interval.
    """
    mean, deviation = statistics.mean(samples), statistics.stdev(samples)
    margin = float(stdtrit(len(samples) - 1, (1 + confidence) / 2)) * deviation / math.sqrt(len(samples))
    return mean - margin, mean + margin


def exponential(loss: float) -> float:
    """exp, infinite where a float can't hold it."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf
