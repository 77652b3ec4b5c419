"""Keeps the best and the last checkpoint."""

import math
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint


class SaveBest(ModelCheckpoint):
    """Writes ``checkpoints/best.ckpt`` and ``checkpoints/last.ckpt`` after each validation.

    What is best the task says, by its `monitor` and `monitor_mode`. The end of a training is always validated, so that
    the last checkpoint is its end, and has figures.
    """

    def __init__(self) -> None:
        super().__init__(
            filename="best",
            save_last=True,
            save_on_train_epoch_end=False,
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )
        self._continues_its_own_run = False

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Takes figure and direction from the task."""
        self.monitor: str = pl_module.monitor
        self.mode: str = pl_module.monitor_mode
        self.kth_value: Any = torch.tensor(math.inf if self.mode == "min" else -math.inf)
        super().setup(trainer, pl_module, stage)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Has the last epoch validated, where only some are."""
        if trainer.check_val_every_n_epoch is not None and trainer.current_epoch + 1 == trainer.max_epochs:
            trainer.check_val_every_n_epoch = 1

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any, **kwargs: Any) -> None:
        """Asks for a validation at the last batch: Lightning validates where it is told to stop."""
        super().on_train_batch_end(trainer, pl_module, *args, **kwargs)
        is_last_batch = trainer.is_last_batch and trainer.current_epoch + 1 == trainer.max_epochs
        if is_last_batch or trainer.global_step == trainer.max_steps:
            trainer.should_stop = True

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Writes the last checkpoint also where it is not the best, which Lightning alone does not."""
        super().on_validation_end(trainer, pl_module)
        if not self._should_skip_saving_checkpoint(trainer):
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Writes the last checkpoint of a run that was not validated; nothing in a run that is only tried out."""
        if not self._should_skip_saving_checkpoint(trainer):
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Notes whether the checkpoint lies in this run's folder, wherever that has been moved."""
        folder = Path(str(self.dirpath)).resolve()
        self._continues_its_own_run = Path(str(trainer.ckpt_path)).resolve().parent == folder

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remembers the best checkpoint of this run; that of another run is none of this one."""
        if not self._continues_its_own_run:
            return

        def find_here(path: str) -> str:
            return path and str(Path(str(self.dirpath)) / Path(path).name)

        moved = {
            name: find_here(state_dict[name]) for name in ("best_model_path", "last_model_path", "kth_best_model_path")
        }
        best = {find_here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(state_dict | moved | {"best_k_models": best, "dirpath": self.dirpath})
