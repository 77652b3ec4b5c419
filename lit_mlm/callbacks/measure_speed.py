"""Measures training speed and the time spent waiting for data."""

import time
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor


class MeasureSpeed(Callback):
    """Logs ``train/tokens_per_second``, summed over devices, and ``train/data_wait``, a fraction of step time.

    The time covers fetching and training on batches, without evaluations and checkpoints. The wait is the loader's
    `seconds_waited`, near 0 if workers keep up. Padding is not counted as tokens. A resumed run measures its own
    process only.
    """

    def __init__(self) -> None:
        self._tokens: Tensor | None = None  # on the device, to avoid synchronisation
        self._seconds = self._waited = 0.0
        self._began = self._seen = 0.0
        self._loader: Any = None
        self._totals = [0.0, 0.0, 0.0]  # tokens, seconds, seconds of waiting
        self._logged_step = 0

    @property
    def totals(self) -> tuple[float, float]:
        """Tokens per second of this device and the fraction of time spent waiting; zeros before the first step."""
        tokens, seconds, waited = self._totals
        return (tokens / seconds, waited / seconds) if seconds else (0.0, 0.0)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Starts the logging interval, in a resumed run too."""
        self._logged_step = trainer.global_step

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Adds the wait for the batch."""
        if trainer.train_dataloader is not self._loader:  # a new loader counts from 0
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
        """Adds what was not logged to the totals."""
        self._take()

    def _take(self) -> tuple[float, float]:
        """Returns the measurements since the last call and adds them to the totals."""
        tokens = 0.0 if self._tokens is None else float(self._tokens)
        seconds, waited = self._seconds, self._waited
        self._totals = [a + b for a, b in zip(self._totals, (tokens, seconds, waited), strict=True)]
        self._tokens, self._seconds, self._waited = None, 0.0, 0.0
        return (tokens / seconds, waited / seconds) if seconds else (0.0, 0.0)
