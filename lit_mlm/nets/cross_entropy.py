"""Cross entropy over a vocabulary in the memory of its logits.

Shapes: N tokens, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

LOGITS_PER_CHUNK = 2**22
"""Logits in float32 at once, 16 MiB, beside those of all tokens."""


def sum_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Returns the summed cross entropy in float32, in nats.

    Where one backward pass follows, gradients take the place of the logits, which are of no use then. Autograd would
    hold logits, their log-softmax and gradients, in float32 each. In float16 that is left to autograd: loss scaling
    comes before its gradients are rounded.

    Args:
        logits: shape (N, V); overwritten, so the head must not end in a function of which autograd keeps the result.
        labels: from 0 to V - 1, none ignored, shape (N,).

    Examples:
        >>> sum_cross_entropy(torch.zeros(3, 4), torch.tensor([0, 1, 2])).div(3).exp()
        tensor(4.)
    """
    if logits.requires_grad and torch.is_grad_enabled() and logits.dtype != torch.float16:
        apply: Any = _SummedCrossEntropy.apply
        loss: Tensor = apply(logits, labels)
        return loss
    return F.cross_entropy(logits.float(), labels, reduction="sum")


class _SummedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> Tensor:
        total = torch.zeros((), dtype=torch.float32, device=logits.device)
        size = _count_rows(logits)
        for rows, gold in zip(logits.split(size), labels.split(size), strict=True):
            log_probs = F.log_softmax(rows, dim=-1, dtype=torch.float32)
            total += F.nll_loss(log_probs, gold, reduction="sum")
            gradients = log_probs.exp_()
            gradients[torch.arange(len(gold), device=gold.device), gold] -= 1
            rows.copy_(gradients)
        ctx.gradients = logits
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None or torch.is_grad_enabled():  # a second pass, or the graph of one
            raise RuntimeError("this cross entropy has one backward pass: its gradients take the place of the logits")
        for rows in gradients.split(_count_rows(gradients)):
            rows.copy_(rows.float() * grad_outputs[0])
        return gradients, None


def _count_rows(logits: Tensor) -> int:
    return max(1, LOGITS_PER_CHUNK // logits.shape[1])
