"""Measures training speed, what it is made of, and the time spent waiting for data."""

import logging
import time
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.errors import shorten
from lit_mlm.nets.flops import NetFlops, measure_flops
from lit_mlm.runs.hardware import choose_dtype, measure_memory, measure_peak

log = logging.getLogger(__name__)


class MeasureSpeed(Callback):
    """Logs speed and memory of the training since the last time they were logged.

    - ``train/tokens_per_second``, summed over devices; padding is not counted.
    - ``train/data_wait``: fraction of step time spent waiting for batches; near 0 if workers keep up.
    - ``train/mask_rate``: scored tokens / tokens.
    - ``train/padding``: fraction of the positions that is padding.
    - ``train/mfu``: model FLOP utilisation, the operations of `NetFlops` per second / the device's `peak`.
    - ``train/memory_gib``: as `measure_memory` returns it, the maximum over devices.

    The time covers fetching and training on batches, without evaluations and checkpoints. A resumed run measures its
    own process only.
    """

    peak: float | None = None
    """Floating point operations per second of the device, measured before the first step if there is a logger."""

    def __init__(self) -> None:
        self._sums: Tensor | None = None  # tokens, scored, positions, squared lengths; on the device, without waiting
        self._seconds = self._waited = 0.0
        self._began = self._seen = 0.0
        self._loader: Any = None
        self._totals = [0.0, 0.0, 0.0]  # tokens, seconds, seconds of waiting
        self._logged_step = 0
        self._flops: NetFlops | None = None

    @property
    def totals(self) -> tuple[float, float]:
        """Tokens per second of this device and the fraction of time spent waiting; zeros before the first step."""
        tokens, seconds, waited = self._totals
        return (tokens / seconds, waited / seconds) if seconds else (0.0, 0.0)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Starts the logging interval, in a resumed run too, and measures the peak."""
        self._logged_step = trainer.global_step
        if trainer.loggers and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            peak = None
            try:
                self._flops = measure_flops(pl_module.net)
                peak = measure_peak(pl_module.device, choose_dtype(str(trainer.precision)))
            except Exception as error:  # a net that can't run a short sequence trains all the same
                log.warning("train/mfu is not logged: %s", shorten(error))
            # On all ranks or on none: a rank that logs it alone would wait for the others.
            self.peak = peak if trainer.strategy.reduce_boolean_decision(peak is not None) else None

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Adds the wait for the batch."""
        if trainer.train_dataloader is not self._loader:  # a new loader counts from 0
            self._loader, self._seen = trainer.train_dataloader, 0.0
        waited = float(getattr(self._loader, "seconds_waited", 0.0))
        self._waited += waited - self._seen
        self._seconds += waited - self._seen
        self._seen, self._began = waited, time.perf_counter()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Adds the batch, and logs the measurements since the last time."""
        sums = sum_batch(batch)
        self._sums = sums if self._sums is None else self._sums + sums
        step = trainer.global_step
        is_due = step - self._logged_step >= trainer.log_every_n_steps
        if is_due and pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)
        self._seconds += time.perf_counter() - self._began
        if is_due:
            self._logged_step = step
            (tokens, scored, positions, squared), seconds, waited = self._take()
            rates = {"data_wait": waited / seconds} if seconds else {}
            rates |= {"mask_rate": scored / tokens, "padding": 1 - tokens / positions} if tokens else {}
            if self._flops is not None and self.peak and seconds:
                scored = scored if "MaskedLM" in pl_module.auto_class.__name__ else tokens
                rates["mfu"] = self._flops.count_step(tokens, scored, squared) / seconds / self.peak
            speed = tokens / seconds if seconds else 0.0
            pl_module.log("train/tokens_per_second", speed, sync_dist=True, reduce_fx="sum")
            pl_module.log_dict({f"train/{name}": rate for name, rate in rates.items()}, sync_dist=True)
            if (memory := measure_memory(pl_module.device)) is not None:
                pl_module.log("train/memory_gib", memory, sync_dist=True, reduce_fx="max")

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Adds what was not logged to the totals."""
        self._take()

    def _take(self) -> tuple[list[float], float, float]:
        """Returns the sums, seconds and seconds of waiting since the last call, and adds them to the totals."""
        sums = [0.0] * 4 if self._sums is None else self._sums.tolist()
        seconds, waited = self._seconds, self._waited
        self._totals = [a + b for a, b in zip(self._totals, (sums[0], seconds, waited), strict=True)]
        self._sums, self._seconds, self._waited = None, 0.0, 0.0
        return sums, seconds, waited


def sum_batch(batch: dict[str, Tensor]) -> Tensor:
    """Sums tokens, scored tokens, positions, and the squared lengths of the sequences of a batch, shape (4,) int64.

    Examples:
        >>> mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])
        >>> labels = torch.tensor([[-100, 7, -100, -100], [5, 6, 7, 8]])
        >>> sum_batch({"attention_mask": mask, "labels": labels}).tolist()
        [7, 5, 8, 25]
    """
    mask, scored = batch["attention_mask"], batch["labels"] != IGNORE_INDEX
    lengths, num_positions = mask.sum(dim=1), batch.get("packing", mask).numel()
    return torch.stack([mask.sum(), scored.sum(), mask.new_tensor(num_positions), lengths.square().sum()])
