"""Keeps the best and the last checkpoint, from which a run resumes exactly."""

import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint

from lit_mlm.errors import InputError
from lit_mlm.runs.atomic import remove_unfinished
from lit_mlm.runs.checkpoint_io import SafeCheckpointIO
from lit_mlm.runs.checkpoints import link_checkpoint
from lit_mlm.runs.progress import (
    PROGRESS,
    choose_random_state,
    describe_progress,
    restore_progress,
    set_random_state,
)
from lit_mlm.upstream import (
    begin_training,
    is_accumulating,
    is_validation_due,
    set_logged_step,
    settle_progress,
)

BYTES_PER_PARAMETER = 12
"""Of a checkpoint: a float32 weight and AdamW's two moments."""


class SaveCheckpoints(Checkpoint):
    """Writes ``checkpoints/last.ckpt`` and, if a validation was the best one, ``checkpoints/best.ckpt``.

    The task's `monitor` and `monitor_mode` define the best. Checkpoints are written after each validation, at the end
    of training and at the given intervals, always at an optimizer step. The end of training is always validated.

    Args:
        every_n_steps: optimizer steps between checkpoints; None for no such interval.
        every_n_minutes: the same in minutes.
        allow_changes: resumes from the next epoch although data or global batch have changed.
    """

    _folder: Path  # of the checkpoints, known from setup on

    def __init__(
        self, every_n_steps: int | None = None, every_n_minutes: float | None = 30.0, allow_changes: bool = False
    ) -> None:
        for name, value in (("every_n_steps", every_n_steps), ("every_n_minutes", every_n_minutes)):
            if value is not None and value <= 0:
                raise InputError(f"--save_{name} must be above 0, got {value}")
        self.every_n_steps = every_n_steps
        self.every_n_minutes = every_n_minutes
        self.allow_changes = allow_changes
        self.monitor, self.mode = "", "min"
        self.best_model_path = self.last_model_path = ""
        self.best_score: float | None = None
        self.best_step = 0
        self._saved_step = self._loaded_step = 0
        self._saved_at, self._loaded_path, self._max_steps = time.monotonic(), Path(), -1
        self._is_first = self._is_due = self._is_changed = self._continues_its_own_run = False
        self._io: SafeCheckpointIO | None = None
        self._random_state: dict[str, Any] | None = None

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Takes the monitor from the task and installs `SafeCheckpointIO`; checks that the folder is writable."""
        self._folder = Path(str(trainer.log_dir or trainer.default_root_dir)) / "checkpoints"
        self._io = trainer.strategy.checkpoint_io = SafeCheckpointIO()
        self._is_first = trainer.is_global_zero
        if stage != "fit" or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        self.monitor, self.mode = pl_module.monitor, pl_module.monitor_mode
        self._on_first_rank(trainer, check_writable, self._folder)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Checks that the disk has room for the best, the last and the next checkpoint."""
        if trainer.fast_dev_run:
            return
        num_parameters = sum(parameter.numel() for parameter in pl_module.parameters())
        self._on_first_rank(trainer, check_space, self._folder, 3 * BYTES_PER_PARAMETER * num_parameters)
        if self._is_due and self._loaded_step >= trainer.max_steps > 0:
            # Keeps Lightning from ending here, as `on_train_start` has a validation to run.
            self._max_steps, trainer.fit_loop.epoch_loop.max_steps = trainer.max_steps, -1

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Runs the validation that was due when the checkpoint was written."""
        self._validate_at_the_end(trainer)
        self._saved_at = time.monotonic()
        begin_training(trainer, self._is_due)
        if self._max_steps > 0:
            trainer.fit_loop.epoch_loop.max_steps, self._max_steps = self._max_steps, -1

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Forces validation after the last epoch."""
        self._validate_at_the_end(trainer)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *args: Any, **kwargs: Any) -> None:
        """Restores the checkpoint's random state, whatever was drawn since."""
        if self._random_state is not None:
            set_random_state(self._random_state)
            self._random_state = None
            set_logged_step(trainer, trainer.global_step)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any, **kwargs: Any) -> None:
        """Writes a checkpoint if one is due; stops at the last batch, where Lightning then validates."""
        if _is_at_the_end(trainer):
            trainer.should_stop = True
        if not is_accumulating(trainer) and not trainer.fast_dev_run and self._is_time(trainer):
            self.save(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Writes the last checkpoint and, if it is the best, links it."""
        if trainer.state.fn != "fit" or trainer.sanity_checking or trainer.fast_dev_run:
            return
        if self.monitor not in trainer.callback_metrics:
            known = ", ".join(sorted(trainer.callback_metrics))
            raise InputError(f"the task's monitor is {self.monitor}, but only these metrics were logged: {known}")
        score = float(trainer.callback_metrics[self.monitor])
        is_best = self.best_score is None or math.isnan(self.best_score)
        is_best = is_best or (score > self.best_score if self.mode == "max" else score < self.best_score)  # type: ignore[operator]
        if is_best:
            self.best_score, self.best_model_path = score, str(self._folder / "best.ckpt")
            self.best_step = trainer.global_step
        self.save(trainer, is_validated=True)
        if is_best:
            self._on_first_rank(trainer, link_checkpoint, Path(self.last_model_path), Path(self.best_model_path))

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Writes the last checkpoint of a run without validation."""
        if self._saved_step != trainer.global_step and not trainer.fast_dev_run:
            self.save(trainer, is_validated=True)

    def save(self, trainer: Any, is_validated: bool = False) -> None:
        """Writes the last checkpoint, on all ranks; must be called right after an optimizer step.

        `is_validated` tells that the validation due at this step, if any, is done.
        """
        self._is_due = not is_validated and (trainer.validating or is_validation_due(trainer, _is_at_the_end(trainer)))
        path = self._folder / "last.ckpt"
        self.last_model_path = str(path)
        trainer.save_checkpoint(path)
        self._is_due = False
        self._saved_step, self._saved_at = trainer.global_step, time.monotonic()
        failure = trainer.strategy.broadcast(self._io.failure if self._io else None)
        if failure is not None:
            raise failure

    def state_dict(self) -> dict[str, Any]:
        """Returns the best score and step, and whether a validation was due."""
        return {"best_score": self.best_score, "best_step": self.best_step, "is_due": self._is_due}

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Stores the training progress in the form that `restore_progress` expects."""
        settle_progress(checkpoint["loops"]["fit_loop"])
        checkpoint[PROGRESS] = describe_progress(trainer, self._random_state)

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Restores the training progress; notes whether the checkpoint is of this run."""
        self._continues_its_own_run = Path(str(trainer.ckpt_path)).resolve().parent == self._folder.resolve()
        if trainer.state.fn == "fit" and PROGRESS in checkpoint:
            self._is_changed = restore_progress(checkpoint, trainer, self.allow_changes)
            self._loaded_step, self._loaded_path = checkpoint["global_step"], Path(str(trainer.ckpt_path))
            position = (trainer.global_rank, trainer.world_size, self._loaded_step)
            self._random_state = choose_random_state(checkpoint[PROGRESS], *position)
            if self._continues_its_own_run and self._loaded_path.name == "last.ckpt":
                self._saved_step = self._loaded_step  # the run may have been killed in its export

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the best checkpoint, unless it is of another run or of other data."""
        self._is_due = state_dict["is_due"] and not self._is_changed
        if not self._continues_its_own_run or self._is_changed:  # metrics of other data are not comparable
            return
        best, self.last_model_path = self._folder / "best.ckpt", str(self._folder / "last.ckpt")
        self.best_score, self.best_step = state_dict["best_score"], state_dict["best_step"]
        if self.best_step and self.best_step == self._loaded_step and self._is_first:
            link_checkpoint(self._loaded_path, best)  # the run may have been killed before it did
        self.best_model_path = str(best) if self.best_step else ""

    def _on_first_rank(self, trainer: Any, check: Callable[..., None], *args: Any) -> None:
        """Runs a check on the first rank and raises its error on all."""
        found = None
        if trainer.is_global_zero:
            try:
                check(*args)
            except InputError as error:
                found = error
        found = trainer.strategy.broadcast(found)
        if found is not None:
            raise found

    def _is_time(self, trainer: Any) -> bool:
        if self.every_n_steps is not None and trainer.global_step % self.every_n_steps == 0:
            return True
        if self.every_n_minutes is None:
            return False
        is_late = torch.tensor(time.monotonic() - self._saved_at >= 60 * self.every_n_minutes, dtype=torch.int64)
        return bool(trainer.strategy.reduce(is_late.to(trainer.strategy.root_device), reduce_op="max"))

    @staticmethod
    def _validate_at_the_end(trainer: Any) -> None:
        if trainer.check_val_every_n_epoch is not None and trainer.current_epoch + 1 == trainer.max_epochs:
            trainer.check_val_every_n_epoch = 1


def check_space(folder: Path, num_bytes: int) -> None:
    """Checks that checkpoints of `num_bytes` in total fit on the disk, counting existing ones as free."""
    states = [path.stat() for path in folder.glob("*.ckpt")]
    there = sum({state.st_ino: state.st_size for state in states}.values())  # best and last may be one file
    needed, free = num_bytes - there, shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{folder} has {free / 2**20:,.0f} MiB left, and checkpoints need {needed / 2**20:,.0f}: make room there, "
            "or give --run_dir on another disk"
        )


def check_writable(folder: Path) -> None:
    """Checks that a folder can be written to, and removes partial files of a killed run."""
    probe = folder / ".probe.unfinished"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"\0" * 4096)
        remove_unfinished(folder)
    except OSError as error:
        raise InputError(
            f"{folder} can't be written to ({error.strerror}), so no checkpoint could be saved; change its "
            "permissions, or give another --run_dir"
        ) from error


def _is_at_the_end(trainer: Any) -> bool:
    is_last_batch = trainer.is_last_batch and trainer.current_epoch + 1 == trainer.max_epochs
    return bool(is_last_batch or trainer.global_step == trainer.max_steps)
