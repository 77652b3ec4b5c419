"""Measures how fast a training goes, and how much of its time it waits for data."""

import time
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor


class MeasureSpeed(Callback):
    """Logs ``train/tokens_per_second``, of all devices, and ``train/data_wait``, a share of the time of the steps.

    The time is that of fetching batches and of training on them, without evaluations and checkpoints. The wait is what
    the loader keeps the process waiting for, in `seconds_waited`; where workers are ahead of the training it is next to
    nothing. Tokens are those that are attended, padding left out. What a run did before it was interrupted is not in
    its figures, which belong to this process.
    """

    def __init__(self) -> None:
        self._tokens: Tensor | None = None  # on the device, where it is added to without waiting for it
        self._seconds = self._waited = 0.0
        self._began = self._seen = 0.0
        self._loader: Any = None
        self._totals = [0.0, 0.0, 0.0]  # tokens, seconds and seconds of waiting until the last time they were logged
        self._logged_step = 0

    @property
    def totals(self) -> tuple[float, float]:
        """Tokens a second of this device, and the share of the time that it waited for data; 0 before a first step."""
        tokens, seconds, waited = self._totals
        return (tokens / seconds, waited / seconds) if seconds else (0.0, 0.0)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """A run that goes on doesn't log its speed for the steps before it."""
        self._logged_step = trainer.global_step

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Takes up what the batch kept waiting for."""
        if trainer.train_dataloader is not self._loader:  # a new one, whose wait is counted from 0
            self._loader, self._seen = trainer.train_dataloader, 0.0
        waited = float(getattr(self._loader, "seconds_waited", 0.0))
        self._waited += waited - self._seen
        self._seconds += waited - self._seen
        self._seen, self._began = waited, time.perf_counter()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Adds the batch, and logs the speed since the last time."""
        tokens = batch["attention_mask"].sum()
        self._tokens = tokens if self._tokens is None else self._tokens + tokens
        step = trainer.global_step
        is_due = step - self._logged_step >= trainer.log_every_n_steps
        if is_due and pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)
        self._seconds += time.perf_counter() - self._began
        if is_due:
            self._logged_step = step
            speed, wait = self._take()
            pl_module.log("train/tokens_per_second", speed, sync_dist=True, reduce_fx="sum")
            pl_module.log("train/data_wait", wait, sync_dist=True)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Takes up what has not been logged."""
        self._take()

    def _take(self) -> tuple[float, float]:
        """The figures since the last time, which go to the totals."""
        tokens = 0.0 if self._tokens is None else float(self._tokens)
        seconds, waited = self._seconds, self._waited
        self._totals = [a + b for a, b in zip(self._totals, (tokens, seconds, waited), strict=True)]
        self._tokens, self._seconds, self._waited = None, 0.0, 0.0
        return (tokens / seconds, waited / seconds) if seconds else (0.0, 0.0)
