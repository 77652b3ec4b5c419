"""`fit`, `validate`, `test` and `predict`: one LightningCLI, the only place that knows data and modules."""

import inspect
import os
import sys
from argparse import SUPPRESS
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

import yaml
from jsonargparse import Namespace, set_parsing_settings
from lightning.pytorch import Callback, LightningDataModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, TQDMProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

import lit_mlm.callbacks
import lit_mlm.data
import lit_mlm.modules
from lit_mlm.callbacks.clean_up_failed_run import CleanUpFailedRun
from lit_mlm.callbacks.explain_out_of_memory import ExplainOutOfMemory
from lit_mlm.callbacks.measure_speed import MeasureSpeed
from lit_mlm.callbacks.print_progress import PrintProgress
from lit_mlm.callbacks.save_checkpoints import SaveCheckpoints
from lit_mlm.callbacks.save_predictions import SavePredictions
from lit_mlm.callbacks.save_results import SaveResults
from lit_mlm.callbacks.stop_on_signal import StopOnSignal, handle_signals
from lit_mlm.cli.admitted import list_admitted, refuse_running
from lit_mlm.cli.class_paths import import_all
from lit_mlm.cli.mistakes import MistakeFinder
from lit_mlm.cli.option_checks import check_folder, check_seed
from lit_mlm.cli.parser import TrainerParser
from lit_mlm.cli.save_config import SaveConfig, dump_config
from lit_mlm.cli.table import TRAINER_COMMANDS
from lit_mlm.cli.trainer_options import check_port, check_trainer_options, find_mistake
from lit_mlm.cli.trust import take_trust
from lit_mlm.errors import InputError
from lit_mlm.modules.base import TransformerModule
from lit_mlm.runs.checkpoints import RECORD, name_run, read_checkpoint
from lit_mlm.runs.folder import choose_evaluated, choose_run, hold_folder, release_folders
from lit_mlm.runs.loggers import RunTrainer, fill_options, keep_curves, make_default_logger
from lit_mlm.runs.ranks import end_children, leave_group, watch_ranks
from lit_mlm.upstream import (
    JSONARGPARSE_WARNINGS,
    IgnoreCheckpointOptions,
    choose_messages,
    watch_children,
)

TRAINER_DEFAULTS = {
    "enable_model_summary": False,
    "log_every_n_steps": 10,
    "num_sanity_val_steps": -1,  # the figures before the first step, on the full set
}

DEFAULTS = {name: option.default for name, option in inspect.signature(Trainer.__init__).parameters.items()} | (
    TRAINER_DEFAULTS
)
"""What the Trainer's options are where nobody gives them."""


class TrainerCLI(IgnoreCheckpointOptions, LightningCLI):
    """LightningCLI with a run folder, and with checkpoints that never override what the user typed.

    Args:
        args: of LightningCLI.
        kwargs: of LightningCLI.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().__init__(*args, **kwargs)
        except Exception as error:
            end_children(getattr(self, "trainer", None), error)
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
        """Parses the command line, once it has no mistakes that can be found before; imports nothing untrusted."""
        args, trust = take_trust(args, list_admitted())
        # It asks this before each import of what a value names, wherever that is, and makes objects of classes only
        # where a class is expected.
        set_parsing_settings(
            import_path_denylist=["*", *trust.attributes],
            import_path_allowlist=[*trust.packages, *trust.paths],
            instantiate_subclass_spec_in_any=False,
        )
        MistakeFinder(self._subcommand_parsers[args[0]], trust).check(args[1:])
        super().parse_arguments(parser, args)
        refuse_running(self.config[args[0]], args, trust)
        typed = any(arg.partition("=")[0] == "--model.trust_remote_code" for arg in args)
        if self.config[args[0]].get("model.init_args.trust_remote_code") and not typed:
            raise InputError("a config can't trust a model's code: type --model.trust_remote_code true")
        check_seed("--seed_everything", self.config[args[0]].seed_everything)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds ``--run_dir``, and ``--trust`` for its help: `parse_arguments` takes it out, so no config saves it."""
        parser.add_argument(
            "--run_dir",
            type=str | None,
            default=None,
            help="folder of the run; by default a new runs/<name of the first config>/version_<N>",
        )
        parser.add_argument(
            "--save_every_n_steps", type=int | None, default=None, help="optimizer steps between checkpoints of fit"
        )
        parser.add_argument(
            "--save_every_n_minutes", type=float | None, default=30.0, help="minutes between checkpoints of fit"
        )
        parser.add_argument(
            "--allow_changes",
            type=bool,
            default=False,
            help="go on with other data, batches or trainer options than the checkpoint's, from the next epoch",
        )
        parser.add_argument(
            "--trust",
            default=SUPPRESS,
            metavar="PACKAGE",
            help="let configs name all that is in this package, which is imported; may be given several times",
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The Trainer's methods that are commands."""
        methods = LightningCLI.subcommands()
        return {name: methods[name] | {"verbose", "return_predictions", "weights_only"} for name in TRAINER_COMMANDS}

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        """Leaves out Lightning's table of figures, which has a column a loader; `PrintProgress` has them all.

        A checkpoint's pickle is read as data alone, whatever TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD says.
        """
        quiet = {"verbose": False} if subcommand in ("validate", "test") else {}
        quiet |= {"return_predictions": False} if subcommand == "predict" else {}  # `SavePredictions` keeps them
        return super()._prepare_subcommand_kwargs(subcommand) | quiet | {"weights_only": True}

    def before_instantiate_classes(self) -> None:
        """Finds the checkpoint, and refuses a run folder that holds something else."""
        config = self.config[self.subcommand]
        run_dir, root = config.run_dir, config.trainer.default_root_dir
        check_trainer_options(config.trainer)
        if run_dir is not None and root is not None:
            raise InputError(f"--run_dir {run_dir} and trainer.default_root_dir {root} exclude each other")
        if run_dir is not None:
            check_folder("--run_dir", run_dir)
        cache_dir = config.get("data.init_args.cache_dir")
        if cache_dir is not None and not Path(cache_dir).expanduser().is_dir():  # one that is full may be read-only
            check_folder("data.cache_dir", cache_dir)
        self.choose_folder(config)

    def choose_folder(self, config: Namespace) -> None:
        """Chooses the run's folder, and fills in what follows from it.

        Args:
            config: of the command.
        """
        content = dump_config(self._parser(self.subcommand), config)
        name = name_run(Path(str(config.config[0]))) if config.config else "run"
        if self.subcommand == "fit":
            choose_run(config, name, yaml.safe_load(content))
        else:
            choose_evaluated(config, name)
        filename = "config.yaml" if self.subcommand == "fit" else f"{self.subcommand}.yaml"
        self.save_config_kwargs = {"config_filename": filename, "content": content}
        if config.run_dir is not None:
            fill_options(config.trainer.logger, Path(config.run_dir), self._find_resumed_step(config))

    def _find_resumed_step(self, config: Namespace) -> int | None:
        """The step of the checkpoint that a training is resumed from."""
        if self.subcommand != "fit" or config.ckpt_path is None:
            return None
        return int(read_checkpoint(config.ckpt_path)["global_step"])

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Puts the run in its folder, with TensorBoard's curves unless other loggers are asked for.

        A run that is refused leaves none.
        """
        config = self.config[self.subcommand]
        folder, step = Path(config.run_dir or "."), self._find_resumed_step(config)
        if config.run_dir is not None:
            kwargs["default_root_dir"] = config.run_dir
        if config.trainer.logger in (None, True) and config.run_dir is not None:
            kwargs["logger"] = make_default_logger(folder, step)
        if self.subcommand == "fit" and config.ckpt_path is not None:
            kwargs["num_sanity_val_steps"] = 0  # the figures of the start are in the checkpoint
        trainer = super().instantiate_trainer(**kwargs, enable_progress_bar=self._add_callbacks())
        check_port(trainer)
        if trainer.is_global_zero and config.run_dir is not None and not config.trainer.fast_dev_run:
            hold_folder(folder)
            cast(Any, trainer).callbacks.append(CleanUpFailedRun(folder))
            keep_curves(trainer.loggers, folder, step)
        return trainer

    def _add_callbacks(self) -> bool:
        """Adds what saves and prints to the callbacks that are asked for; returns whether there is a progress bar."""
        config = self.config_init[self.subcommand]
        options = config.trainer
        saver = SaveCheckpoints(config.save_every_n_steps, config.save_every_n_minutes, config.allow_changes)
        writers = [SavePredictions()] if self.subcommand == "predict" else []
        always: list[Callback] = [MeasureSpeed(), PrintProgress(), StopOnSignal(), ExplainOutOfMemory(), *writers]
        has_checkpoints = options.enable_checkpointing is not False
        added = [SaveResults(), saver, *always] if has_checkpoints else always
        self.trainer_defaults["callbacks"] = added
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
    os.environ.setdefault(JSONARGPARSE_WARNINGS, "off")
    choose_messages()
    with handle_signals():
        watch_children(watch_ranks)
        try:
            _call(cli_class, args)
        finally:
            release_folders()


def _call(cli_class: type[TrainerCLI], args: Sequence[str]) -> None:
    cli_class(
        TransformerModule,
        LightningDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        save_config_callback=SaveConfig,
        trainer_class=RunTrainer,
        trainer_defaults=dict(TRAINER_DEFAULTS),
        seed_everything_default=42,
        parser_class=TrainerParser,
        parser_kwargs={"prog": "python -m lit_mlm", "allow_abbrev": False},
        auto_configure_optimizers=False,
        args=list(args),
    )
    leave_group()
