"""The parser of the Trainer's commands: Lightning's, with help for the command line and errors of one line."""

import re
from argparse import SUPPRESS
from typing import Any, NoReturn

from lightning.pytorch.cli import LightningArgumentParser

from lit_mlm.cli.table import TRAINER_COMMANDS
from lit_mlm.errors import InputError
from lit_mlm.upstream import list_actions

TITLES = {
    "trainer": "options of Lightning's Trainer (devices, precision, length of training, loggers, callbacks)",
    "model": "options of the model (task, pretrained model, optimizer)",
    "data": "options of the data (data set, tokenizer, masking, batches)",
} | dict.fromkeys(TRAINER_COMMANDS, "checkpoint")
"""Titles of the groups of options."""

HELP = {
    "config": "a file, a config of lit-mlm, or the folder of a run; of several, later ones override earlier ones",
    "model": "class of the task, or a file with class_path and init_args; --model.help CLASS lists its options",
    "data": "class of the data set, or a file with class_path and init_args; --data.help CLASS lists its options",
    "ckpt_path": "a checkpoint, or best or last for those of the run; fit resumes from it, other commands score it",
}
"""Descriptions of options that Lightning and jsonargparse describe for Python."""

TRAINING = re.compile(
    r"save_every_n_(steps|minutes)|allow_changes|trainer\.((min|max)_(epochs|steps)|max_time|overfit_batches"
    r"|limit_(train|val)_batches|val_check_interval|check_val_every_n_epoch|num_sanity_val_steps"
    r"|accumulate_grad_batches|gradient_clip_\w+|reload_dataloaders_every_n_epochs|log_every_n_steps|detect_anomaly"
    r"|enable_checkpointing)"
)
"""Options of training, which the help of `test` and `predict` leaves out; configs may have them."""

EXAMPLES = {
    "fit": """
  python -m lit_mlm fit --config imdb.yaml                      a config of lit-mlm or your own
  python -m lit_mlm fit --config imdb.yaml --model.lr 5e-5      any option of a config can be typed
  python -m lit_mlm fit --config imdb.yaml --trainer.max_steps 100 --data.batch_size 8
  python -m lit_mlm fit --config imdb.yaml --config overlays/cpu.yaml    later configs win
  python -m lit_mlm fit --run_dir runs/imdb/version_0           resume a run
  python -m lit_mlm fit --config imdb.yaml --print_config       print all options, train nothing
  python -m lit_mlm fit --model.help MaskedLM                   options of a model
  python -m lit_mlm fit --data.help IMDBDataModule              options of a data set
"""
}
"""What the help of a command begins with."""


class TrainerParser(LightningArgumentParser):
    """Lightning's parser; it also prints the options of one class (``--model.help MaskedLM``)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("prog", "python -m lit_mlm")
        kwargs.setdefault("usage", "python -m lit_mlm COMMAND [options]")
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises a message on one line, for errors that `OptionChecker` can't find."""
        if not self.exit_on_error:  # the parser of a class in a union: another class may fit
            super().error(message, ex)
        raise InputError(" ".join(message.split())) from ex

    def rewrite_help(self, command: str) -> None:
        """Replaces the texts of Lightning and jsonargparse by `TITLES` and `HELP`, for a command."""
        for name, group in (self.groups or {}).items():
            group.title = TITLES.get(name, group.title)
        for action in list_actions(self):
            is_hidden = command in ("test", "predict") and TRAINING.fullmatch(action.dest)
            action.help = SUPPRESS if is_hidden else HELP.get(action.dest, action.help)

    def format_help(self, *args: Any, **kwargs: Any) -> str:
        """Formats the help, with ranges in words: ``int at least 1``."""
        text = re.sub(r"Annotated\[(\w+),(\s+[^]]+)\]", r"\1\2", super().format_help(*args, **kwargs))
        usage, description, rest = (*text.split("\n\n", 2), "")[:3]
        examples = EXAMPLES.get(usage.partition(" -m lit_mlm ")[2].partition(" ")[0], "")
        return f"{usage}\n\n{description}\n{examples}\n{rest}" if examples else text
