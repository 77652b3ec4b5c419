"""`fit`, `validate`, `test` and `predict`: one LightningCLI, the only place that knows data and modules."""

import importlib
import inspect
import logging
import os
import pkgutil
import sys
import warnings
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, cast

from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, TQDMProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import distributed

import lit_mlm.callbacks
import lit_mlm.data
import lit_mlm.modules
from lit_mlm.callbacks.print_progress import PrintProgress
from lit_mlm.callbacks.save_best import SaveBest
from lit_mlm.callbacks.save_predictions import SavePredictions
from lit_mlm.callbacks.save_results import SaveResults
from lit_mlm.checkpointing import RECORD, name_run, read_checkpoint
from lit_mlm.cli import TRAINER_COMMANDS
from lit_mlm.config_files import check_yaml
from lit_mlm.errors import InputError
from lit_mlm.mistakes import check_trainer_options, find_mistake
from lit_mlm.modules.base import TransformerModule
from lit_mlm.option_checks import check_folder, check_seed
from lit_mlm.parser import TrainerParser

TRAINER_DEFAULTS = {
    "enable_model_summary": False,
    "log_every_n_steps": 10,
    "num_sanity_val_steps": -1,  # the figures before the first step, on the full set
}

DEFAULTS = {name: option.default for name, option in inspect.signature(Trainer.__init__).parameters.items()} | (
    TRAINER_DEFAULTS
)
"""What the Trainer's options are where nobody gives them."""

FALSE_ALARMS = (
    r".*does not have many workers.*",  # masking is vectorised: workers pay on fast devices only
    r".*is smaller than the logging interval.*",  # short runs are fine
    r".*args parameter is intended to run.*",  # the commands of `lit_mlm.cli` are found before LightningCLI
    r".*exists and is not empty.*",  # a resumed run writes where it began
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated.*",  # Lightning #21326: its own use of torch
)


class SaveConfig(SaveConfigCallback):
    """Saves the configuration of a run; where it lies and what it went on from is no part of it."""

    def __init__(self, parser: LightningArgumentParser, config: Namespace, **options: Any) -> None:
        saved = config.clone()
        if options["config_filename"] == "config.yaml":
            saved.ckpt_path = saved.run_dir = None
        super().__init__(parser, saved, **options)


class TrainerCLI(LightningCLI):
    """LightningCLI with a run folder, and with checkpoints that never override what the user typed.

    Args:
        args: of LightningCLI.
        kwargs: of LightningCLI.

    Raises:
        InputError: for mistakes in options, Lightning's own complaints about them among them.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().__init__(*args, **kwargs)
        except (ValueError, TypeError, RuntimeError, ImportError, MisconfigurationException) as error:
            options = self.config[self.subcommand].trainer.as_dict() if hasattr(self, "subcommand") else {}
            mistake = find_mistake(error, {key: v for key, v in options.items() if v != DEFAULTS.get(key)})
            if mistake is None:
                raise
            raise InputError(mistake) from error

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        """Adds to ``predict`` which split it is of."""
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        if subcommand == "predict":
            parser.add_argument("--split", type=Literal["train", "val", "test"], default="test", help="to predict")
        return parser

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses the command line; a mistake in it is told from one in a config."""
        command = cast(TrainerParser, self._subcommand_parsers[args[0]])
        command.configs = [value for option, value in pairwise(args) if option == "--config"]
        command.typed = args
        cast(TrainerParser, parser).command = command
        for path in command.configs:
            check_yaml(path)
        super().parse_arguments(parser, args)
        check_seed("--seed_everything", self.config[args[0]].seed_everything)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds ``--run_dir``."""
        parser.add_argument(
            "--run_dir",
            type=str | None,
            default=None,
            help="folder of the run; by default a new runs/<name of the first config>/version_<N>",
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The Trainer's methods that are commands."""
        methods = LightningCLI.subcommands()
        return {name: methods[name] | {"verbose", "return_predictions"} for name in TRAINER_COMMANDS}

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        """Leaves out Lightning's table of figures, which has a column a loader; `PrintProgress` has them all."""
        quiet = {"verbose": False} if subcommand in ("validate", "test") else {}
        quiet |= {"return_predictions": False} if subcommand == "predict" else {}  # `SavePredictions` keeps them
        return super()._prepare_subcommand_kwargs(subcommand) | quiet

    def _parse_ckpt_path(self) -> None:
        """Keeps what was typed, where LightningCLI would lay the checkpoint's options over it (Lightning #21455).

        `TransformerModule.on_load_checkpoint` refuses those that the checkpoint would silently replace.
        """

    def before_instantiate_classes(self) -> None:
        """Finds the checkpoint, and refuses a run folder that holds something else."""
        config, is_fit = self.config[self.subcommand], self.subcommand == "fit"
        run_dir = None if config.run_dir is None else Path(config.run_dir)
        check_trainer_options(config.trainer)
        if config.run_dir is not None:
            check_folder("--run_dir", config.run_dir)
        cache_dir = config.get("data.init_args.cache_dir")
        if cache_dir is not None and not Path(cache_dir).expanduser().is_dir():  # one that is full may be read-only
            check_folder("data.cache_dir", cache_dir)
        if config.ckpt_path in ("best", "last"):
            if run_dir is None:
                raise InputError(f"--ckpt_path {config.ckpt_path} needs --run_dir, the folder of the run it is from")
            config.ckpt_path = str(run_dir / "checkpoints" / f"{config.ckpt_path}.ckpt")
        if config.ckpt_path is not None and not Path(config.ckpt_path).is_file():
            raise InputError(f"--ckpt_path: there is no checkpoint {config.ckpt_path}")
        if run_dir and is_fit and (run_dir / "config.yaml").exists() and not config.ckpt_path:
            raise InputError(
                f"--run_dir {run_dir} holds a run already; give another folder, or continue it with --ckpt_path last"
            )
        best = run_dir and run_dir / "checkpoints" / "best.ckpt"
        if best and best.exists() and self.subcommand == "predict" and not config.ckpt_path:
            raise InputError(f"--run_dir {run_dir} holds a run: give --ckpt_path best to predict with its net")
        is_scored = self.subcommand in ("validate", "test")
        if best and is_scored and best.exists() and Path(config.ckpt_path or "").resolve() != best.resolve():
            raise InputError(
                f"the figures in {run_dir} are those of its best checkpoint: give --ckpt_path best, or leave --run_dir "
                f"out to score {config.ckpt_path or 'another model'} in a folder of its own"
            )
        self.save_config_kwargs = {
            "config_filename": "config.yaml" if is_fit else f"{self.subcommand}.yaml",
            "overwrite": not is_fit or bool(config.ckpt_path),
        }

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Puts the run in its folder, which TensorBoard's logger makes, unless another logger is asked for."""
        config = self.config[self.subcommand]
        run_dir, root = config.run_dir, config.trainer.default_root_dir
        if run_dir is not None and root is not None:
            raise InputError(f"--run_dir {run_dir} and trainer.default_root_dir {root} exclude each other")
        if config.trainer.logger in (None, True):
            name = name_run(Path(str(config.config[0]))) if config.config else "run"
            place: dict[str, Any] = {"save_dir": root or "runs", "name": name}
            if run_dir is not None:
                place = {"save_dir": run_dir, "name": "", "version": ""}
            kwargs["logger"] = TensorBoardLogger(**place, default_hp_metric=False)
        elif config.trainer.logger is False:
            if run_dir is None and root is None and not config.trainer.fast_dev_run:
                raise InputError("trainer.logger false needs --run_dir: a logger is what finds a new folder")
            kwargs["default_root_dir"] = run_dir or root
        elif run_dir is not None:
            raise InputError(f"--run_dir {run_dir} and trainer.logger exclude each other: both say where the run lies")
        if self.subcommand == "fit" and config.ckpt_path is not None:
            kwargs["num_sanity_val_steps"] = 0  # the figures of the start are in the checkpoint
        kwargs["enable_progress_bar"] = self._add_callbacks()
        return super().instantiate_trainer(**kwargs)

    def _add_callbacks(self) -> bool:
        """Adds what saves and prints to the callbacks that are asked for; returns whether there is a progress bar."""
        options = self.config_init[self.subcommand].trainer
        writers = [SavePredictions()] if self.subcommand == "predict" else []
        added = [SaveResults(), PrintProgress(), SaveBest(), *writers]
        has_checkpoints = options.enable_checkpointing is not False
        self.trainer_defaults["callbacks"] = added if has_checkpoints else [PrintProgress(), *writers]
        asked = options.callbacks if isinstance(options.callbacks, list) else [options.callbacks]
        for callback in asked:
            if type(callback) in map(type, added):
                raise InputError(f"trainer.callbacks: every run has {type(callback).__name__} already; leave it out")
        has_own_bar = any(isinstance(callback, ProgressBar) for callback in asked)
        # A log file has the lines alone. Lightning's choice of a bar, where rich is installed, draws over them.
        shows_bar: bool | None = options.enable_progress_bar
        shows_bar = has_own_bar or sys.stderr.isatty() if shows_bar is None else shows_bar
        if shows_bar and not has_own_bar:
            self.trainer_defaults["callbacks"].append(TQDMProgressBar())
        return shows_bar

    def after_instantiate_classes(self) -> None:
        """Gives the module what it takes to build the checkpoint's net without its first model."""
        ckpt_path = self.config_init[self.subcommand].ckpt_path
        if ckpt_path is not None:
            self.model.restore_from(read_checkpoint(ckpt_path)[RECORD])
        if self.subcommand == "predict":
            self.datamodule.predict_split = self.config[self.subcommand].split
            if hasattr(self.model, "label_names") and self.model.label_names is None:
                raise InputError(
                    "there is nothing trained to predict with: give --ckpt_path, or a trained tagger as model.model"
                )


def run(args: Sequence[str], cli_class: type[TrainerCLI] = TrainerCLI) -> None:
    """Runs a command of the Trainer.

    Args:
        args: the command line, the command first.
        cli_class: what runs it.
    """
    import_all(lit_mlm.callbacks, lit_mlm.data, lit_mlm.modules)
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # Lightning #21900: its own use of jsonargparse
    for pattern in FALSE_ALARMS:
        warnings.filterwarnings("ignore", pattern)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("lit_mlm").setLevel(logging.INFO)
    cli_class(
        TransformerModule,
        LightningDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        save_config_callback=SaveConfig,
        trainer_defaults=dict(TRAINER_DEFAULTS),
        seed_everything_default=42,
        parser_class=TrainerParser,
        parser_kwargs={"prog": "python -m lit_mlm", "allow_abbrev": False},
        auto_configure_optimizers=False,
        args=list(args),
    )
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()  # gloo's threads, if they outlive the interpreter, abort the process


def import_all(*packages: Any) -> None:
    """Imports every file of a package, so that the classes in it have short names on the command line."""
    for package in packages:
        for file in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(file.name)
