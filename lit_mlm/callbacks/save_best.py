"""Keeps the best and the last checkpoint."""

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint


class SaveBest(ModelCheckpoint):
    """Writes ``checkpoints/best.ckpt`` and ``checkpoints/last.ckpt`` after each validation.

    What is best the task says, by its `monitor` and `monitor_mode`.
    """

    def __init__(self) -> None:
        super().__init__(filename="best", save_last=True, auto_insert_metric_name=False, enable_version_counter=False)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Takes figure and direction from the task."""
        self.monitor: str = pl_module.monitor
        self.mode: str = pl_module.monitor_mode
        self.kth_value: Any = torch.tensor(math.inf if self.mode == "min" else -math.inf)
        super().setup(trainer, pl_module, stage)
