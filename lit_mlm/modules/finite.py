"""Whether a step may be taken: an update by what is no number would lose all that was learnt."""

import copy
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from lit_mlm.errors import InputError

MAX_EXAMPLES = 32
"""How many examples of a step a message names."""

MIN_SCALE = 1.0
"""The loss scale of fp16 from which on gradients that are no numbers are not the scale's own doing."""


def refuse_non_finite(trainer: Any, nats: Tensor, norm: Tensor) -> None:
    """Ends a training before an update by a loss or gradients that are infinite or no numbers, on all ranks alike.

    Under fp16 such gradients belong to the search for the loss scale, and the scaler leaves out their step, until the
    scale is below `MIN_SCALE`.

    Args:
        trainer: at the end of an optimizer step's last batch.
        nats: the summed loss of the step, over all ranks.
        norm: of the gradients of the step.

    Raises:
        InputError: with the step, its examples, the learning rate and the scale.
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
        f"{_name_examples(trainer)}; the weights are as before it, and so is the last checkpoint: lower model.lr, set "
        "trainer.gradient_clip_val, or take bf16-mixed in place of 16-mixed"
    )


def _name_examples(trainer: Any) -> str:
    """The examples of the optimizer step that a batch has just ended, on all ranks."""
    number = trainer.fit_loop.epoch_loop.batch_progress.current.ready - 1
    first = number - number % trainer.accumulate_grad_batches
    batches = f"batches {first + 1} to {number + 1}" if first < number else f"batch {number + 1}"
    place = f"{batches} of epoch {trainer.current_epoch + 1}"
    order: Any = getattr(trainer.train_dataloader, "sampler", None)
    if not hasattr(order, "iterate"):  # a data module of the user's own
        return place
    examples: list[int] = []
    find = getattr(trainer.train_dataloader.dataset, "find_sequences", lambda rows: rows)  # of packed rows
    for rank in range(trainer.world_size):
        ours = copy.copy(order)
        ours.rank = rank
        for key in islice(ours.iterate(first), number + 1 - first):
            examples += find(key.examples).tolist()
    more = f" and {len(examples) - MAX_EXAMPLES} more" if len(examples) > MAX_EXAMPLES else ""
    return f"{place} (training examples {', '.join(map(str, examples[:MAX_EXAMPLES]))}{more})"
