"""How much of a training is left: steps, validations and seconds."""

import math
import time
from typing import Any

from lightning.pytorch.callbacks import Timer


def count_steps_left(trainer: Any) -> float:
    """Optimizer steps until the end of the training by epochs or steps; infinite if there is neither."""
    left = trainer.max_steps - trainer.global_step if trainer.max_steps > 0 else math.inf
    num_batches, accumulated = trainer.num_training_batches, trainer.accumulate_grad_batches
    if trainer.max_epochs not in (None, -1) and num_batches != math.inf:
        seen = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        per_epoch = math.ceil(num_batches / accumulated)  # the last step may have fewer batches
        done = per_epoch if seen >= num_batches else seen // accumulated
        left = min(left, (trainer.max_epochs - trainer.current_epoch) * per_epoch - done)
    return float(max(0, left))


def count_validations_left(trainer: Any, steps_left: float) -> float:
    """Validations until the end of the training, with the one after its last step."""
    interval = trainer.val_check_batch  # batches
    if not trainer.enable_validation or steps_left == 0:
        return 0.0
    if interval is None or interval == math.inf:
        return 1.0
    batches = interval * (trainer.check_val_every_n_epoch or 1)
    return float(max(1.0, steps_left * trainer.accumulate_grad_batches / batches))


def find_fraction(trainer: Any) -> float:
    """The fraction of the training that is done, by steps or by time, from 0 to 1; NaN if its end is unknown."""
    left = count_steps_left(trainer)
    fractions = [] if left == math.inf else [trainer.global_step / max(1, trainer.global_step + left)]
    timers = [callback for callback in trainer.callbacks if isinstance(callback, Timer)]
    clocks = [(timer.time_elapsed(), timer.time_remaining()) for timer in timers]
    fractions += [elapsed / (elapsed + max(1e-9, rest)) for elapsed, rest in clocks if rest is not None]
    return float(max(fractions, default=math.nan))


class Stopwatch:
    """Estimates the seconds that a training has left, from the pace of this process.

    The first step is not counted, as it may compile and fill caches.
    """

    def __init__(self) -> None:
        self._began = 0.0
        self._first_step: int | None = None
        self._evaluating = 0.0  # seconds since then
        self._evaluations: list[float] = []

    def add_evaluation(self, seconds: float) -> None:
        """Adds an evaluation of the whole validation split."""
        self._evaluations.append(seconds)
        self._evaluating += seconds

    def add_step(self, step: int) -> None:
        """Adds the optimizer steps up to this one; starts with the first call."""
        if self._first_step is None:
            self._began, self._first_step, self._evaluating = time.monotonic(), step, 0.0

    def estimate(self, trainer: Any) -> float:
        """The seconds left; infinite if unknown."""
        timers = [c.time_remaining() for c in trainer.callbacks if isinstance(c, Timer)]
        limit = min((seconds for seconds in timers if seconds is not None), default=math.inf)
        steps, left = trainer.global_step - (self._first_step or 0), count_steps_left(trainer)
        if self._first_step is None or steps <= 0 or left == math.inf:
            return float(limit)
        pace = (time.monotonic() - self._began - self._evaluating) / steps
        mean = sum(self._evaluations) / len(self._evaluations) if self._evaluations else 0.0
        seconds = pace * left + mean * count_validations_left(trainer, left)
        return float(min(limit, seconds))
