"""Ends a training that no longer gets better."""

import math
from typing import Any

import torch
from lightning.pytorch.callbacks import EarlyStopping
from tqdm import tqdm

from lit_mlm.errors import InputError


class StopEarly(EarlyStopping):
    """Stops when the task's figure has not got better for some validations in a row, or is no number any more.

    What is better the task says, by its `monitor` and `monitor_mode`, as for `SaveCheckpoints`, which keeps the best
    checkpoint. Each validation within the training counts, those within an epoch too. A run that goes on from a
    checkpoint goes on counting; one that had stopped stays so, unless the patience is raised.

    Args:
        patience: validations without a better figure, at least 1.
        min_delta: by how much a figure must be better than the best one before, in its unit, at least 0.

    Raises:
        InputError: if an option is out of range.
    """

    def __init__(self, patience: int = 3, min_delta: float = 0.0) -> None:
        for name, value, least in (("patience", patience, 1), ("min_delta", min_delta, 0)):
            if not value >= least:
                raise InputError(f"trainer.callbacks: {name} of StopEarly must be at least {least}, got {value}")
        # The task replaces the monitor. A check at an epoch's end would come after the checkpoint is written.
        super().__init__("", min_delta=min_delta, patience=patience, check_on_train_epoch_end=False)
        self._why: str | None = None

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Takes figure and direction from the task."""
        self.monitor: str = pl_module.monitor
        self.mode: str = pl_module.monitor_mode
        sign = 1 if self.mode == "max" else -1
        self.min_delta: float = sign * abs(self.min_delta)
        self.best_score = torch.tensor(-sign * math.inf)
        self.wait_count: int = 0
        super().setup(trainer, pl_module, stage)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Lets no epoch begin where the checkpoint had lost its patience already."""
        self._why = None
        if self.wait_count >= self.patience:
            trainer.should_stop = True
            self._why = self._describe()

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Counts the validations of a training; that of its last batch has nothing to stop."""
        if trainer.sanity_checking:
            return
        is_ours = self._why is not None or not trainer.should_stop
        super().on_validation_end(trainer, pl_module)
        figure = float(trainer.callback_metrics.get(self.monitor, math.nan))
        if is_ours and self.wait_count == 0 and math.isfinite(figure):
            trainer.should_stop = False  # `trainer.min_epochs` let it go on, and it has got better since
        self._why = None
        if is_ours and trainer.should_stop:
            self._why = self._describe() if math.isfinite(figure) else f"{self.monitor} is {figure}"

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Says why it stopped, before the summary of the run."""
        if self._why is not None and trainer.is_global_zero:
            tqdm.write(f"stopped early, at step {trainer.global_step}: {self._why}")

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on counting, with the patience that was asked for now."""
        super().load_state_dict(state_dict | {"patience": self.patience})

    def _describe(self) -> str:
        count = f"{self.wait_count} validation{'s' if self.wait_count > 1 else ''}"
        return f"{self.monitor} has not got better than {self.best_score:.4g} in {count}"
