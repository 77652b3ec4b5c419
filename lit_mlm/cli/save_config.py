"""Writes the config of a run, and the ids of its loggers, before the first step."""

from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, SaveConfigCallback

from lit_mlm.callbacks.save_results import get_run_folder
from lit_mlm.runs.atomic import write_lines
from lit_mlm.runs.loggers import write_ids


class SaveConfig(SaveConfigCallback):
    """Writes the complete config of a run and the ids of its loggers to the run folder before the first step.

    Args:
        parser: of `SaveConfigCallback`.
        config: of `SaveConfigCallback`.
        config_filename: name of the file in the run folder.
        content: result of `dump_config`.
    """

    def __init__(self, parser: LightningArgumentParser, config: Namespace, config_filename: str, content: str) -> None:
        super().__init__(parser, config, config_filename, save_to_log_dir=False)
        self._content = content

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Writes on the first rank."""
        self._folder = get_run_folder(trainer)
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self.save_config(trainer, pl_module, stage)

    def save_config(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Writes the files."""
        write_lines(self._folder / self.config_filename, [self._content.rstrip("\n")])
        write_ids(trainer.loggers, self._folder)


def dump_config(parser: Any, config: Namespace) -> str:
    """Formats a config as YAML, without the run folder and the checkpoint to resume from."""
    saved = config.clone()
    saved.ckpt_path = saved.run_dir = None
    return str(parser.dump(saved, skip_none=False))
