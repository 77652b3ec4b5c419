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


SCRATCH = (".lr_find_*", ".scale_batch_size_*")
"""Checkpoints that a finder writes into the run folder, and leaves there if it is killed."""


class ReportFinders(Callback):
    """Prints what was found as options, and draws the loss over learning rates where matplotlib is installed."""

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Removes what the finders of a killed run have left, on the first rank."""
        folder = get_run_folder(trainer)
        for pattern in SCRATCH if stage == "fit" and trainer.is_global_zero else ():
            for path in folder.glob(pattern):
                path.unlink()

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Prints and draws, on the first rank."""
        for callback in getattr(trainer, "callbacks", []) if trainer.is_global_zero else ():
            if isinstance(callback, BatchSizeFinder) and callback.optimal_batch_size is not None:
                _report(callback, f"--data.batch_size {callback.optimal_batch_size}")
            if isinstance(callback, LearningRateFinder) and callback.optimal_lr is not None:
                lr, former = pl_module.hparams["lr"], pl_module.hparams_initial["lr"]
                if lr != former:  # else there was no suggestion, as Lightning has reported
                    _report(callback, f"--model.lr {lr!r}")
                if find_spec("matplotlib"):
                    callback.optimal_lr.plot(suggest=True).savefig(get_run_folder(trainer) / PICTURE)  # type: ignore[union-attr]


def _report(callback: Callback, option: str) -> None:
    """Prints an option with all its digits, as a resumed run compares it."""
    advice = "to resume, give it and --allow_changes true, and leave the finder out"
    tqdm.write(escape_controls(f"{type(callback).__name__}: trains with {option}; {advice}"))
