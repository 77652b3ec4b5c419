"""What lies in a run's folder before its first step: its configuration, and which curves are its own."""

from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, SaveConfigCallback

from lit_mlm.callbacks.save_results import get_run_folder
from lit_mlm.runs.atomic import write_lines
from lit_mlm.runs.loggers import write_ids


class SaveConfig(SaveConfigCallback):
    """Saves the configuration of a run, whole, and the ids of its loggers, before the first step.

    Args:
        parser: of Lightning's own.
        config: of Lightning's own.
        config_filename: in the run's folder.
        content: of `dump_config`.
    """

    def __init__(self, parser: LightningArgumentParser, config: Namespace, config_filename: str, content: str) -> None:
        super().__init__(parser, config, config_filename, save_to_log_dir=False)
        self._content = content

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Saves on the first rank."""
        self._folder = get_run_folder(trainer)
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self.save_config(trainer, pl_module, stage)

    def save_config(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Writes the files."""
        write_lines(self._folder / self.config_filename, [self._content.rstrip("\n")])
        write_ids(trainer.loggers, self._folder)


def dump_config(parser: Any, config: Namespace) -> str:
    """A configuration as YAML, without the run's folder and the checkpoint that it resumes from."""
    saved = config.clone()
    saved.ckpt_path = saved.run_dir = None
    return str(parser.dump(saved, skip_none=False))
