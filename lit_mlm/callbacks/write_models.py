"""Writes models along the training."""

from typing import Annotated, Any

from lightning.pytorch import Callback

from lit_mlm.callbacks.save_checkpoints import SaveCheckpoints
from lit_mlm.callbacks.save_results import get_run_folder
from lit_mlm.errors import InputError
from lit_mlm.inference.export import export_checkpoint
from lit_mlm.options import Range, check_options
from lit_mlm.runs.progress import get_random_state, set_random_state
from lit_mlm.upstream import is_accumulating

FOLDER = "models"
"""The folder in the run folder."""


class WriteModels(Callback):
    """Writes the net at evenly spaced steps as `from_pretrained` folders ``models/step_<N>``.

    Args:
        number: of models; the last one is that of the end of training, which is in ``hf``.
    """

    def __init__(self, number: Annotated[int, Range(least=2)] = 5) -> None:
        check_options("WriteModels", WriteModels, {"number": number})
        self.number = number
        self._steps: set[int] = set()

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Refuses a run without checkpoints."""
        if stage == "fit" and not any(isinstance(callback, SaveCheckpoints) for callback in trainer.callbacks):
            raise InputError("WriteModels writes checkpoints, but trainer.enable_checkpointing is off")

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Finds the steps, and writes what a killed process had no time to."""
        num_steps = int(trainer.estimated_stepping_batches)
        self._steps = {round(part * num_steps / self.number) for part in range(1, self.number)} - {0, num_steps}
        self._write(trainer)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any, **kwargs: Any) -> None:
        """Writes a checkpoint and its model, if one is due."""
        if trainer.global_step in self._steps and not is_accumulating(trainer) and not trainer.fast_dev_run:
            self._find_saver(trainer).save(trainer)
            self._write(trainer)

    def _write(self, trainer: Any) -> None:
        folder = get_run_folder(trainer) / FOLDER / f"step_{trainer.global_step}"
        if trainer.is_global_zero and trainer.global_step in self._steps and not folder.exists():
            state = get_random_state()  # a net is built with random weights first
            export_checkpoint(self._find_saver(trainer).last_model_path, folder)
            set_random_state(state)

    def _find_saver(self, trainer: Any) -> SaveCheckpoints:
        return next(callback for callback in trainer.callbacks if isinstance(callback, SaveCheckpoints))
