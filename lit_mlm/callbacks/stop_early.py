"""Stops a training that no longer improves."""

import math
from typing import Any

import torch
from lightning.pytorch.callbacks import EarlyStopping
from tqdm import tqdm

from lit_mlm.errors import escape_controls
from lit_mlm.options import Amount, Count, check_options


class StopEarly(EarlyStopping):
    """Stops when the task's metric has not improved for some validations in a row, or is NaN or infinite.

    The task's `monitor` and `monitor_mode` define better, as for `SaveCheckpoints`, which keeps the best checkpoint.
    Every validation during training counts. A resumed run continues to count; one that had stopped stays so, unless the
    patience is raised.

    Args:
        patience: validations without improvement, >= 1.
        min_delta: smallest change that counts as an improvement, in the metric's unit, >= 0.
    """

    def __init__(self, patience: Count = 3, min_delta: Amount = 0.0) -> None:
        check_options("StopEarly", StopEarly, {"patience": patience, "min_delta": min_delta})
        # `setup` sets the monitor. A check at the epoch's end would come after the checkpoint.
        super().__init__("", min_delta=min_delta, patience=patience, check_on_train_epoch_end=False)
        self._why: str | None = None

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Takes the monitor from the task."""
        self.monitor: str = pl_module.monitor
        self.mode: str = pl_module.monitor_mode
        sign = 1 if self.mode == "max" else -1
        self.min_delta: float = sign * abs(self.min_delta)
        self.best_score = torch.tensor(-sign * math.inf)
        self.wait_count: int = 0
        super().setup(trainer, pl_module, stage)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Stops at once if the checkpoint had already run out of patience."""
        self._why = None
        if self.wait_count >= self.patience:
            trainer.should_stop = True
            self._why = self._describe()

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Counts the validations of a training, except one after its last batch."""
        if trainer.sanity_checking:
            return
        is_ours = self._why is not None or not trainer.should_stop
        super().on_validation_end(trainer, pl_module)
        value = float(trainer.callback_metrics.get(self.monitor, math.nan))
        if is_ours and self.wait_count == 0 and math.isfinite(value):
            trainer.should_stop = False  # it improved during `trainer.min_epochs`
        self._why = None
        if is_ours and trainer.should_stop:
            self._why = self._describe() if math.isfinite(value) else f"{self.monitor} is {value}"

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Prints why it stopped, before the summary of the run."""
        if self._why is not None and trainer.is_global_zero:
            tqdm.write(escape_controls(f"stopped early, at step {trainer.global_step}: {self._why}"))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues to count, with the current patience."""
        super().load_state_dict(state_dict | {"patience": self.patience})

    def _describe(self) -> str:
        count = f"{self.wait_count} validation{'s' if self.wait_count > 1 else ''}"
        return f"{self.monitor} has not improved on {self.best_score:.4g} in {count}"
