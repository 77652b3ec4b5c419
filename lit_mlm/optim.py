"""Parameter groups, the optimizer and its schedule."""

import warnings
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import get_scheduler

Schedule = Literal["linear", "cosine"]


def group_parameters(
    named_parameters: Iterable[tuple[str, nn.Parameter]], weight_decay: float
) -> list[dict[str, object]]:
    """Groups for an optimizer: matrices and embeddings decay, biases and norms (one dimension) don't.

    Args:
        named_parameters: as `nn.Module.named_parameters` gives them; those without gradient are left out.
        weight_decay: of the first group.
    """
    trained = [parameter for _, parameter in named_parameters if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def make_optimizer(
    groups: list[dict[str, object]], lr: float, betas: tuple[float, float], eps: float, scaled: bool
) -> AdamW:
    """AdamW (Loshchilov and Hutter 2019), as one fused kernel where that is available.

    Args:
        groups: what `group_parameters` returns.
        lr: peak learning rate.
        betas: decay rates of the two moments.
        eps: added to the denominator.
        scaled: whether a gradient scaler is in use (fp16): a fused step would unscale by itself, after the clipping.
    """
    devices = {p.device.type for group in groups for p in group["params"]}  # type: ignore[attr-defined]
    return AdamW(groups, lr=lr, betas=betas, eps=eps, fused=not scaled and devices <= {"cpu", "cuda"})


def make_schedule(optimizer: Optimizer, name: Schedule, num_warmup_steps: int, num_steps: int) -> LRScheduler:
    """A factor on the learning rate: up from 0 over the warm-up, then down to 0 at `num_steps`, in optimizer steps.

    A warm-up longer than the training is warned of: right for a quick look at a run, else a mistake.
    """
    if num_warmup_steps > num_steps:
        warnings.warn(
            f"model.num_warmup_steps is {num_warmup_steps}, but the training has {num_steps} optimizer steps: "
            "the learning rate never reaches its peak",
            stacklevel=2,
        )
    schedule: LRScheduler = get_scheduler(name, optimizer, num_warmup_steps, num_steps)
    return schedule


def rescale_gradients(parameters: Iterable[nn.Parameter], factor: Tensor) -> None:
    """Multiplies all gradients by a number, in place.

    Args:
        parameters: those without a gradient are left out.
        factor: a scalar tensor on the gradients' device.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if gradients:
        torch._foreach_mul_(gradients, factor)
