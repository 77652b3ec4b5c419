"""Writes the config of a run before its first step."""

from typing import Any

from lightning.pytorch import Callback

from lit_mlm.callbacks.save_results import get_run_folder
from lit_mlm.runs.atomic import write_lines
from lit_mlm.runs.loggers import write_ids


class SaveConfig(Callback):
    """Writes the config of a run and the ids of its loggers to the run folder.

    Args:
        filename: name of the file in the run folder.
        content: the whole config as YAML.
    """

    def __init__(self, filename: str, content: str) -> None:
        self.filename = filename
        self.content = content

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Writes the files on the first rank."""
        folder = get_run_folder(trainer)
        if trainer.is_global_zero and not trainer.fast_dev_run:
            write_lines(folder / self.filename, [self.content.rstrip("\n")])
            write_ids(trainer.loggers, folder)
