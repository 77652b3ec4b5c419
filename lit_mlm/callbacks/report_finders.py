"""Reports what Lightning's finders of a learning rate and of a batch size found."""

from importlib.util import find_spec
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import BatchSizeFinder, LearningRateFinder
from tqdm import tqdm

from lit_mlm.callbacks.save_results import get_run_folder
from lit_mlm.errors import escape_controls

PICTURE = "lr_finder.png"
"""The file in the run folder with the loss at each learning rate."""


class ReportFinders(Callback):
    """Prints what was found as options, with which the run can be resumed, and draws the loss over learning rates."""

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Prints and draws, on the first rank."""
        path = get_run_folder(trainer) / PICTURE
        for callback in getattr(trainer, "callbacks", []) if trainer.is_global_zero else ():
            name, options = type(callback).__name__, []
            if isinstance(callback, BatchSizeFinder) and callback.optimal_batch_size is not None:
                options = [f"--data.batch_size {callback.optimal_batch_size}"]
            lr, former = pl_module.hparams["lr"], pl_module.hparams_initial["lr"]
            if isinstance(callback, LearningRateFinder) and callback.optimal_lr is not None and lr != former:
                options = [f"--model.lr {lr:.4g}"]
                if find_spec("matplotlib"):
                    callback.optimal_lr.plot(suggest=True).savefig(path)  # type: ignore[union-attr]
                    tqdm.write(escape_controls(f"{name}: {path}"))
            for option in options:
                tqdm.write(escape_controls(f"{name}: trains with {option}; to resume, give this, not the finder"))
