"""Training progress in a checkpoint, from which another process resumes exactly."""

import logging
import math
import os
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import distributed

from lit_mlm.errors import InputError
from lit_mlm.runs.changes import FREE_OPTIONS, compare
from lit_mlm.upstream import ROUNDING

log = logging.getLogger(__name__)

PROGRESS = "progress"
"""The key of the progress in a checkpoint, beside Lightning's loops."""

STREAM = "stream_places"
"""The key below `PROGRESS` of each rank's stream cursor."""

SHARDS = "stream_shards"
"""The key below `PROGRESS` of the keys of the stream's shards."""


def describe_progress(trainer: Any, random_state: dict[str, Any] | None = None) -> dict[str, Any]:
    """Returns the order, stream cursors, loss sums and random states that a resumed run needs; a collective call.

    The trainer must be at the end of an optimizer step. `random_state` defaults to this process's current one.
    """
    loss = {name: value.clone().cpu() for name, value in _get_loss_sums(trainer.lightning_module).items()}
    stream = getattr(trainer.datamodule, "stream", None)
    return {
        **_describe_order(trainer),
        **({STREAM: _gather(stream.cursors), SHARDS: stream.shard_keys} if stream and stream.has_begun else {}),
        "train_losses": _gather(loss),
        ROUNDING: os.environ.get(ROUNDING),
        "random_states": _gather(random_state or get_random_state()),
    }


def restore_progress(checkpoint: dict[str, Any], trainer: Any, allow_changes: bool = False) -> bool:
    """Restores the position of a checkpoint by changing its loops.

    The order of examples continues if only the number of devices changed and the global batch did not. After any other
    change the training resumes from the next epoch.

    Args:
        checkpoint: changed in place, before Lightning reads it.
        trainer: with its data module set up.
        allow_changes: whether other changes are allowed.

    Returns:
        Whether there were other changes.
    """
    saved, now = checkpoint[PROGRESS], _describe_order(trainer)
    loops = checkpoint["loops"]["fit_loop"]
    differences = []
    if checkpoint["global_step"]:  # 0 in the finders' own, which train with several batch sizes
        differences = list(_find_differences(saved, now, checkpoint, trainer.datamodule))
    streams = STREAM in saved
    if differences and (streams or not allow_changes):
        advice = "or --allow_changes true to resume from the next epoch"
        if streams:
            advice = (
                "or start a new run from its weights (model.model RUN/hf): a stream has no next epoch to resume from"
            )
        raise InputError(
            f"the checkpoint was made with {', '.join(f'{name} {old}, not {new}' for name, old, new in differences)}: "
            f"give what it was made with, {advice}"
        )
    rounding = saved.get(ROUNDING), os.environ.get(ROUNDING)
    if rounding[0] != rounding[1] and torch.backends.mkl.is_available():
        log.warning(
            "the checkpoint was made with %s=%s, not %s: weights may differ in their last bits", ROUNDING, *rounding
        )
    batches = loops["epoch_loop.batch_progress"]
    if streams:
        trainer.datamodule.stream.restore(saved[STREAM][trainer.global_rank])
        batches["is_last_batch"] &= checkpoint["global_step"] >= trainer.max_steps  # only max_steps ends a stream
    if differences:
        _begin_next_epoch(loops)
    elif saved["batch_size"] is not None:
        num_seen = batches["current"]["ready"] * saved["batch_size"] * saved["world_size"]
        number = -(-num_seen // (now["batch_size"] * now["world_size"]))
        batches["current"].update(ready=number, started=number, processed=number, completed=number)
    if not differences:
        _restore_loss(saved["train_losses"], trainer)
    return bool(differences)


def get_random_state() -> dict[str, Any]:
    """Returns the states of all generators of this process, in types that load as data only."""
    version, keys, gauss = random.getstate()
    name, array, place, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002 (others draw from it)
    return {
        "python": (version, torch.tensor(keys, dtype=torch.int64), gauss),
        "numpy": (str(name), torch.from_numpy(np.asarray(array, dtype=np.int64)), place, has_gauss, cached),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Restores `get_random_state`."""
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys.tolist()), gauss))
    name, array, place, has_gauss, cached = state["numpy"]
    np.random.set_state((name, array.numpy().astype(np.uint32), place, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def choose_random_state(progress: dict[str, Any], rank: int, world_size: int, step: int) -> dict[str, Any]:
    """Returns a rank's state; if the number of ranks changed, a new one from seed, step and rank."""
    states: list[dict[str, Any]] = progress["random_states"]
    if len(states) == world_size:
        return states[rank]
    before = get_random_state()
    seed = int(np.random.SeedSequence((int(progress["seed"] or 0), step, rank)).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)
    chosen = get_random_state()
    set_random_state(before)
    return chosen


def _describe_order(trainer: Any) -> dict[str, Any]:
    data = trainer.datamodule
    return {
        "batch_size": getattr(data, "batch_size", None),
        "world_size": trainer.world_size,
        "accumulate_grad_batches": trainer.accumulate_grad_batches,
        "data_fingerprint": getattr(data, "fingerprint", None),
        "order_options": getattr(data, "order_options", {}),
        "seed": os.environ.get("PL_GLOBAL_SEED"),
    }


def _find_differences(
    saved: dict[str, Any], now: dict[str, Any], checkpoint: dict[str, Any], data: Any
) -> Iterator[tuple[str, Any, Any]]:
    """Yields what breaks the order or the examples: name, the checkpoint's value, the current one."""
    if saved["seed"] != now["seed"]:
        yield "--seed_everything", saved["seed"], now["seed"]
    if saved["data_fingerprint"] != now["data_fingerprint"]:
        options = checkpoint.get("datamodule_hyper_parameters", {}), dict(getattr(data, "hparams", {}))
        free = [name for name in FREE_OPTIONS if name != "data.data_dir"]  # other text may be why
        changed = compare({"data": options[0]}, {"data": options[1]}, free)
        yield from ((name, repr(old), repr(new)) for name, old, new in changed)
        if not changed and not _accept_changed_shards(saved, data):
            note = " (training files by their names and sizes)" if STREAM in saved else ""
            old_hash, new_hash = (str(side["data_fingerprint"])[:12] for side in (saved, now))
            yield f"data{note} of the fingerprint", old_hash, new_hash
    for name, value in now["order_options"].items():
        if saved["order_options"].get(name) != value:
            yield f"data.{name}", repr(saved["order_options"].get(name)), repr(value)
    parts = ("batch_size", "world_size", "accumulate_grad_batches")
    old_batch, new_batch = ([side[part] for part in parts] for side in (saved, now))
    if None not in (*old_batch, *new_batch) and math.prod(old_batch) != math.prod(new_batch):
        ours, theirs = (f"{' x '.join(map(str, b))} = {math.prod(b)}" for b in (new_batch, old_batch))
        yield "a global batch (batch x devices x accumulation) of", theirs, ours


def _accept_changed_shards(saved: dict[str, Any], data: Any) -> bool:
    """Whether only shards of the stream changed that the checkpoint has not read to their ends; warns of them."""
    shards = saved.get(SHARDS)
    if shards is None or [*map(len, shards)] != [*map(len, data.stream.shard_keys)]:
        return False
    if data.find_fingerprint(shards) != saved["data_fingerprint"]:
        return False
    read, others = data.stream.find_changed(shards, saved[STREAM])
    if read:
        raise InputError(
            f"data.streaming: {read[0]} is not the file that the checkpoint has read, its name or size is another; "
            "restore it, or start a new run from the weights (model.model RUN/hf)"
        )
    if others:
        more = f" and {len(others) - 1:,} more" if len(others) > 1 else ""
        log.warning(
            "changed since the checkpoint, which had not read all of it: %s%s; resuming from there", others[0], more
        )
    return True


def _begin_next_epoch(loops: dict[str, Any]) -> None:
    for tracker in loops["epoch_progress"].values():
        tracker.update(started=tracker["ready"], processed=tracker["ready"], completed=tracker["ready"])
    batches = loops["epoch_loop.batch_progress"]
    batches["is_last_batch"] = False
    batches["current"].update(ready=0, started=0, processed=0, completed=0)


def _get_loss_sums(module: Any) -> dict[str, torch.Tensor]:
    """Returns the sums of the training loss since the start of the epoch."""
    metric = getattr(module, "train_loss", None)
    return {} if metric is None else metric.metric_state


def _restore_loss(losses: list[dict[str, torch.Tensor]], trainer: Any) -> None:
    """Restores each rank's sums; if the number of ranks changed, the first one gets the total."""
    rank, num_ranks = trainer.global_rank, trainer.world_size
    parts = [losses[rank]] if len(losses) == num_ranks else losses if rank == 0 else []
    for part in parts:
        if part:
            trainer.lightning_module.train_loss.update(**part)


def _gather(value: Any) -> list[Any]:
    """Returns the values of all ranks."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return [value]
    values: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values
