"""Evaluates a checkpoint of a run without writing to the run."""

from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.cli import LightningCLI

from lit_mlm.callbacks.log_details import LogDetails
from lit_mlm.callbacks.record_training import RecordTraining
from lit_mlm.callbacks.save_checkpoints import SaveCheckpoints
from lit_mlm.cli.trainer import TrainerCLI


class ReadOnlyCLI(TrainerCLI):
    """Takes the options of ``validate`` and ``test``, and leaves the run folder as it is."""

    def choose_folder(self, config: Any) -> None:
        """Does nothing: the run is only read."""

    def list_callbacks(self) -> list[Callback]:
        """Callbacks of the evaluation."""
        return []

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        """Makes a Trainer that writes nothing."""
        # These have nothing to do here; Lightning would miss them, as the checkpoint has their state.
        self.trainer_defaults["callbacks"] = [RecordTraining(), SaveCheckpoints(), LogDetails(), *self.list_callbacks()]
        return LightningCLI.instantiate_trainer(self, **kwargs, logger=False, enable_progress_bar=False)
