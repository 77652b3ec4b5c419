"""Parameter groups, optimizer and schedule."""

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import get_scheduler

from lit_mlm.errors import InputError
from lit_mlm.nets.depths import find_depths
from lit_mlm.upstream import multiply_in_place

Schedule = Literal["linear", "cosine", "constant", "warmup_stable_decay"]

DECAY_FRACTION = 0.1
"""Default fraction of all optimizer steps in which ``warmup_stable_decay`` decays."""


def check_schedule(
    schedule: Schedule,
    num_warmup_steps: int,
    warmup_fraction: float | None,
    decay_fraction: float | None,
) -> None:
    """Checks combinations of the options of `TransformerModule`."""
    warmup, decay = warmup_fraction or 0.0, DECAY_FRACTION if decay_fraction is None else decay_fraction
    is_wsd = schedule == "warmup_stable_decay"
    rules = {
        f"warmup_fraction ({warmup}) and model.num_warmup_steps ({num_warmup_steps}) exclude each other: "
        "set the steps to 0, or leave the fraction out": warmup_fraction is None or num_warmup_steps == 0,
        f"decay_fraction ({decay}) has no effect with model.schedule {schedule}: "
        "leave it out, or use warmup_stable_decay": decay_fraction is None or is_wsd,
        f"warmup_fraction ({warmup}) and model.decay_fraction ({decay}) exceed the whole training: "
        "lower one": not is_wsd or warmup + decay <= 1,
    }
    for rule, holds in rules.items():
        if not holds:
            raise InputError(f"model.{rule}")


def find_hidden(module: nn.Module, encoder: nn.Module) -> set[nn.Parameter]:
    """Returns the matrices of the layers, neither of the embeddings nor of the head; see `find_depths`."""
    depths = find_depths(module, encoder, "model.optimizer")
    bottom = max(depths.values())
    return {parameter for parameter, depth in depths.items() if 0 < depth < bottom and parameter.ndim == 2}


def decay_lr(module: nn.Module, encoder: nn.Module, lr: float, layer_decay: float) -> dict[nn.Parameter, float]:
    """Returns learning rates with one factor of `layer_decay`, in (0, 1], per step of depth (`find_depths`).

    From ELECTRA (Clark et al. 2020, appendix B), whose code (`_get_layer_lrs`) has one more factor below the head.
    """
    return {parameter: lr * layer_decay**depth for parameter, depth in find_depths(module, encoder).items()}


def group_parameters(
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    weight_decay: float,
    decay_all: bool = False,
    lrs: Mapping[nn.Parameter, float] | None = None,
) -> list[dict[str, object]]:
    """Groups parameters for an optimizer: biases and norms (one dimension) do not decay.

    Args:
        named_parameters: from `nn.Module.named_parameters`; frozen ones are left out.
        weight_decay: of the others.
        decay_all: decays all, as ``AdamW(model.parameters())`` does.
        lrs: peak learning rate of each parameter, one group each, the highest first; by default the optimizer's.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for _, parameter in named_parameters:
        if parameter.requires_grad:
            lr = 0.0 if lrs is None else lrs[parameter]
            groups.setdefault((lr, decay_all or parameter.ndim >= 2), []).append(parameter)
    return [
        {"params": groups[lr, decays], "weight_decay": weight_decay if decays else 0.0}
        | ({"lr": lr} if lrs is not None else {})
        for lr, decays in sorted(groups, reverse=True)
    ]


def count_steps(fraction: float, num_steps: int) -> int:
    """Returns a fraction of `num_steps`, rounded up as in `TrainingArguments.get_warmup_steps` of `transformers`.

    Examples:
        >>> count_steps(0.1, 25)
        3
    """
    return math.ceil(num_steps * fraction)


def make_schedule(
    optimizer: Optimizer,
    name: Schedule,
    num_warmup_steps: int,
    num_steps: int,
    decay_fraction: float | None = None,
) -> LRScheduler:
    """Creates a factor on the learning rates, per optimizer step: warm-up from 0 to 1, then decay to 0 at `num_steps`.

    ``constant`` stays at 1, and ``warmup_stable_decay`` (Hu et al. 2024, section 4) does until its last steps, where it
    follows half a cosine, the default of `transformers`. Warns if the warm-up is longer than the training.

    Args:
        optimizer: its learning rates are the peaks.
        name: of the schedule.
        num_warmup_steps: >= 0.
        num_steps: of the whole training.
        decay_fraction: fraction of `num_steps` in which ``warmup_stable_decay`` decays, rounded up, by default
            `DECAY_FRACTION`; limited to the steps after the warm-up.
    """
    if num_warmup_steps > num_steps >= 0:  # Lightning's is negative without batches
        warnings.warn(
            f"model.num_warmup_steps is {num_warmup_steps}, but the training has {num_steps} optimizer steps: "
            "the learning rate never reaches its peak",
            stacklevel=2,
        )
    options = {}
    if name == "warmup_stable_decay":
        num_decay_steps = count_steps(DECAY_FRACTION if decay_fraction is None else decay_fraction, num_steps)
        options["num_decay_steps"] = min(num_decay_steps, max(0, num_steps - num_warmup_steps))
    their_name = "constant_with_warmup" if name == "constant" else name
    schedule: LRScheduler = get_scheduler(their_name, optimizer, num_warmup_steps, num_steps, options)
    return schedule


def replace_schedule(optimizer: Any, schedule: Any, groups: Sequence[Mapping[str, float]]) -> None:
    """Sets the learning rates and weight decays of a resumed optimizer to those of another schedule.

    Args:
        optimizer: restored from a checkpoint.
        schedule: from `make_schedule`, restored from a checkpoint, which keeps the step and the peaks alone.
        groups: the peak ``initial_lr`` and the ``weight_decay`` of each parameter group.
    """
    schedule.base_lrs = [group["initial_lr"] for group in groups]
    for group, new, factor in zip(optimizer.param_groups, groups, schedule.lr_lambdas, strict=True):
        group.update(new, lr=new["initial_lr"] * factor(schedule.last_epoch))


def rescale_gradients(parameters: Iterable[nn.Parameter], factor: Tensor) -> None:
    """Multiplies all gradients by a scalar tensor, in place; each rank scales its own shards."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    gradients = [gradient.to_local() if isinstance(gradient, DTensor) else gradient for gradient in gradients]
    if gradients:
        multiply_in_place(gradients, factor)
