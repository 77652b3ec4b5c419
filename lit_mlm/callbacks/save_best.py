"""Keeps the best and the last checkpoint."""

import math
import os
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint


class SaveBest(ModelCheckpoint):
    """Writes ``checkpoints/best.ckpt`` and ``checkpoints/last.ckpt`` after each validation.

    What is best the task says, by its `monitor` and `monitor_mode`.
    """

    def __init__(self) -> None:
        super().__init__(
            filename="best",
            save_last=True,
            save_on_train_epoch_end=False,
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Takes figure and direction from the task."""
        self.monitor: str = pl_module.monitor
        self.mode: str = pl_module.monitor_mode
        self.kth_value: Any = torch.tensor(math.inf if self.mode == "min" else -math.inf)
        super().setup(trainer, pl_module, stage)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *args: Any, **kwargs: Any) -> None:
        """Asks for a validation, and with it a checkpoint, where `max_steps` ends the training within an epoch."""
        super().on_train_batch_end(trainer, pl_module, *args, **kwargs)
        if trainer.global_step == trainer.max_steps:
            trainer.should_stop = True

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Writes the last checkpoint of a run that was not validated; nothing in a run that is only tried out."""
        if not trainer.fast_dev_run:
            super().on_train_end(trainer, pl_module)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remembers the best checkpoint of this run's folder; that of another run is none of this one."""
        if os.path.realpath(state_dict["dirpath"]) == os.path.realpath(str(self.dirpath)):
            super().load_state_dict(state_dict | {"dirpath": self.dirpath})
