"""Stops before a NaN or infinite gradient corrupts the weights."""

import copy
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from lit_mlm.errors import InputError

MAX_EXAMPLES = 32
"""Most examples of a step that a message names."""

MIN_SCALE = 1.0
"""The fp16 loss scale below which non-finite gradients are no longer due to the scale."""


def refuse_non_finite(trainer: Any, nats: Tensor, norm: Tensor) -> None:
    """Stops the training, on all ranks alike, before an update by a NaN or infinite loss or gradient.

    Under fp16 such gradients are part of the search for the loss scale, and the scaler skips the step, until the scale
    is below `MIN_SCALE`. The error has step, examples, learning rate and scale.

    Args:
        trainer: at the last batch of an optimizer step.
        nats: summed loss of the step, over all ranks.
        norm: of the gradients.
    """
    is_loss_finite, is_norm_finite = torch.stack([nats.isfinite(), norm.isfinite()]).tolist()
    if is_loss_finite and is_norm_finite:
        return
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    scale = None if scaler is None else float(scaler.get_scale())
    if is_loss_finite and scale is not None and scale >= MIN_SCALE:
        return
    name, value = ("gradient norm", norm) if is_loss_finite else ("loss", nats)
    lr = trainer.optimizers[0].param_groups[0]["lr"]
    scaled = "" if scale is None else f", loss scale {scale:g}"
    raise InputError(
        f"the {name} of step {trainer.global_step + 1} is {float(value)}, at learning rate {lr:.3g}{scaled}, in "
        f"{_name_examples(trainer)}; the step was not taken, and the last checkpoint is intact: lower model.lr, set "
        "trainer.gradient_clip_val, or use bf16-mixed instead of 16-mixed"
    )


def _name_examples(trainer: Any) -> str:
    """Names the examples of the current optimizer step, on all ranks."""
    number = trainer.fit_loop.epoch_loop.batch_progress.current.ready - 1
    first = number - number % trainer.accumulate_grad_batches
    batches = f"batches {first + 1} to {number + 1}" if first < number else f"batch {number + 1}"
    place = f"{batches} of epoch {trainer.current_epoch + 1}"
    sampler: Any = getattr(trainer.train_dataloader, "sampler", None)
    if not hasattr(sampler, "iterate"):  # not a data module of lit-mlm
        return place
    examples: list[int] = []
    find = getattr(trainer.train_dataloader.dataset, "find_sequences", lambda rows: rows)  # unpacks rows
    for rank in range(trainer.world_size):
        sampler_of_rank = copy.copy(sampler)
        sampler_of_rank.rank = rank
        for key in islice(sampler_of_rank.iterate(first), number + 1 - first):
            examples += find(key.examples).tolist()
    more = f" and {len(examples) - MAX_EXAMPLES} more" if len(examples) > MAX_EXAMPLES else ""
    return f"{place} (training examples {', '.join(map(str, examples[:MAX_EXAMPLES]))}{more})"
