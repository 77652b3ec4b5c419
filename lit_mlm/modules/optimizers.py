"""Builds the optimizer of a task."""

import inspect
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any

from torch import nn
from torch.optim import AdamW, Muon, Optimizer

from lit_mlm.errors import InputError

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]
"""Makes an optimizer of parameter groups, which have a learning rate and a weight decay of their own."""


ADAMW_DEFAULTS = (0.9, 0.999, 1e-8)
"""Of `betas` and `eps`."""


def refuse_unused(factory: OptimizerFactory | None, betas: tuple[float, float], eps: float) -> None:
    """Refuses options of AdamW for an optimizer that would not get them."""
    if factory and not issubclass(find_class(factory), Muon) and (*betas, eps) != ADAMW_DEFAULTS:
        raise InputError("model.betas and model.eps are options of AdamW: give those of model.optimizer instead")


def make_optimizer(
    groups: list[dict[str, Any]],
    adamw: Mapping[str, Any],
    scaled: bool,
    factory: OptimizerFactory | None = None,
    hidden: Collection[nn.Parameter] = (),
) -> Optimizer:
    """Creates an optimizer, fused where available.

    Args:
        groups: from `group_parameters`.
        adamw: the options of AdamW (Loshchilov and Hutter 2019).
        scaled: whether a gradient scaler is in use (fp16); a fused step would unscale after the clipping.
        factory: of another optimizer than AdamW, such as its class. `torch.optim.Muon` gets `hidden` alone, as it is
            for hidden matrices (Jordan et al. 2024), and AdamW the others.
        hidden: the matrices of the layers.
    """
    make: Any = factory or partial(AdamW, **adamw)
    cls = find_class(make)
    if issubclass(cls, Muon):
        inner, rest = split_groups(groups, hidden)
        parts = [make(inner)] if inner else []
        return JointOptimizer([*parts, make_optimizer(rest, adamw, scaled)] if rest else parts)
    devices = {p.device.type for group in groups for p in group["params"]}
    can_fuse = "fused" in inspect.signature(cls).parameters and getattr(make, "keywords", {}).get("fused") is None
    fused: dict[str, Any] = {"fused": True} if can_fuse and not scaled and devices <= {"cpu", "cuda"} else {}
    optimizer: Optimizer = make(groups, **fused)
    return optimizer


def find_class(factory: OptimizerFactory) -> type[Optimizer]:
    """Returns the class that a factory makes objects of; `Optimizer` if unknown, as of a function."""
    parts = (factory.func, *factory.args) if isinstance(factory, partial) else (factory,)
    return next((part for part in parts if isinstance(part, type)), Optimizer)


def split_groups(
    groups: list[dict[str, Any]], parameters: Collection[nn.Parameter]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Splits parameter groups into those of some parameters and of the others; empty groups are left out."""
    split = [
        [group | {"params": [p for p in group["params"] if (p in parameters) is side]} for group in groups]
        for side in (True, False)
    ]
    first, second = ([group for group in side if group["params"]] for side in split)
    return first, second


class JointOptimizer(Optimizer):
    """Several optimizers, each of its own parameters, as one: it has their groups, and one state."""

    def __init__(self, optimizers: list[Optimizer]) -> None:
        self.optimizers: list[Optimizer] = []
        super().__init__([group for optimizer in optimizers for group in optimizer.param_groups], {})
        self.optimizers = optimizers
        self.__setstate__({"state": defaultdict(dict), "param_groups": self.param_groups})

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Takes groups and state, also of a checkpoint, and hands them to its optimizers."""
        super().__setstate__(state)
        first = 0
        for optimizer in self.optimizers:
            last = first + len(optimizer.param_groups)
            optimizer.__setstate__({"state": self.state, "param_groups": self.param_groups[first:last]})
            first = last

    def step(self, closure: Any = None) -> Any:
        """Takes a step of each."""
        loss = None if closure is None else closure()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss
