"""`fit`, `validate`, `test` and `predict`: a LightningCLI that connects data, modules and runs."""

import inspect
import os
from argparse import SUPPRESS
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import yaml
from jsonargparse import Namespace, set_parsing_settings
from lightning.pytorch import Callback, LightningDataModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.profilers import AdvancedProfiler, SimpleProfiler

import lit_mlm.callbacks
import lit_mlm.data
import lit_mlm.modules
from lit_mlm.callbacks.clean_up_failed_run import CleanUpFailedRun
from lit_mlm.callbacks.confirm_f1 import ConfirmF1
from lit_mlm.callbacks.explain_out_of_memory import ExplainOutOfMemory
from lit_mlm.callbacks.log_details import LogDetails
from lit_mlm.callbacks.measure_speed import MeasureSpeed
from lit_mlm.callbacks.print_progress import PrintProgress
from lit_mlm.callbacks.record_training import RecordTraining
from lit_mlm.callbacks.report_finders import ReportFinders
from lit_mlm.callbacks.save_checkpoints import SaveCheckpoints
from lit_mlm.callbacks.save_config import SaveConfig
from lit_mlm.callbacks.save_predictions import SavePredictions
from lit_mlm.callbacks.save_results import SaveResults
from lit_mlm.callbacks.show_progress import ShowProgress
from lit_mlm.callbacks.stop_on_signal import StopOnSignal, handle_signals
from lit_mlm.cli.class_paths import import_all
from lit_mlm.cli.inputs import check_folder
from lit_mlm.cli.option_checker import OptionChecker
from lit_mlm.cli.parser import TrainerParser
from lit_mlm.cli.save_options import save_options
from lit_mlm.cli.table import SHOW_COMMANDS, TRAINER_COMMANDS
from lit_mlm.cli.trainer_options import check_device, check_port, explain_error
from lit_mlm.cli.trust import check_executables, take_trust
from lit_mlm.errors import InputError
from lit_mlm.modules.base import TransformerModule
from lit_mlm.options import Count, Range, Seed
from lit_mlm.runs.checkpoints import RECORD, name_run, read_checkpoint
from lit_mlm.runs.folder import choose_evaluated, choose_run, hold_folder, release_folders
from lit_mlm.runs.loggers import RunTrainer, fill_options, keep_curves, make_default_logger
from lit_mlm.runs.ranks import end_children, leave_group, watch_ranks
from lit_mlm.upstream import (
    JSONARGPARSE_WARNINGS,
    choose_messages,
    get_command_parsers,
    ignore_checkpoint_options,
    mend_rich_bar,
    represent_enums,
    watch_children,
)

TRAINER_DEFAULTS = {
    "enable_model_summary": False,
    "log_every_n_steps": 10,
    "num_sanity_val_steps": -1,  # metrics before the first step, on the whole validation split
}

DEFAULTS = {name: option.default for name, option in inspect.signature(Trainer.__init__).parameters.items()} | (
    TRAINER_DEFAULTS
)
"""Default values of the Trainer's options."""


@ignore_checkpoint_options
class TrainerCLI(LightningCLI):
    """LightningCLI with run folders, in which checkpoints never override typed options."""

    def __init__(self, *args: Any, save_as: str | None = None, **kwargs: Any) -> None:
        self._save_as = save_as
        try:
            super().__init__(*args, **kwargs)
        except Exception as error:
            end_children(getattr(self, "trainer", None), error)
            options = self.config[self.subcommand].trainer.as_dict() if hasattr(self, "subcommand") else {}
            message = explain_error(error, {key: v for key, v in options.items() if v != DEFAULTS.get(key)})
            if message is None:
                raise
            raise InputError(message) from error

    def setup_parser(self, *args: Any, **kwargs: Any) -> None:
        """Adds what only one command takes, and rewrites the help of all."""
        super().setup_parser(*args, **kwargs)
        for command, parser in get_command_parsers(self).items():
            if command == "predict":
                parser.add_argument("--split", type=Literal["train", "val", "test"], default="test", help="to predict")
            parser.rewrite_help(command)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses the command line after `OptionChecker` has checked it; imports nothing untrusted."""
        args, trust = take_trust(args)
        # jsonargparse consults these lists before each import that a value causes, and makes no objects for Any.
        set_parsing_settings(
            import_path_denylist=["*", *trust.attributes],
            import_path_allowlist=[*trust.packages, *trust.paths],
            instantiate_subclass_spec_in_any=False,
        )
        checker = OptionChecker(get_command_parsers(self)[args[0]], trust)
        if self._save_as is not None:
            save_options(self._save_as, checker)
        checker.check(args[1:])
        super().parse_arguments(parser, args)
        check_executables(self.config[args[0]], args, trust)

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the seed."""
        parser.add_argument(
            "--seed_everything",
            type=Seed | bool,
            default=42,
            help="seed of weights, order, dropout and training masks; true draws one, false sets none",
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds options of the run; ``--trust`` for its help only, as `take_trust` removes it from the arguments."""
        add = parser.add_argument
        folder = "folder of the run; by default a new runs/<name of the first config>/version_<N>"
        add("--run_dir", type=str | None, default=None, help=folder)
        add("--save_every_n_steps", type=Count | None, default=None, help="optimizer steps between checkpoints of fit")
        minutes: Any = Annotated[float, Range(above=0)] | None
        add("--save_every_n_minutes", type=minutes, default=30.0, help="minutes between checkpoints of fit")
        changes = "resume with another lr or schedule; with other data, batches or trainer options from the next epoch"
        add("--allow_changes", type=bool, default=False, help=changes)
        trust = "let configs name everything in this package, which is imported; may be given several times"
        add("--trust", default=SUPPRESS, metavar="PACKAGE", help=trust)

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The Trainer's methods that are commands, each with the parameters that are no options."""
        methods = LightningCLI.subcommands()
        return {name: methods[name] | {"verbose", "return_predictions", "weights_only"} for name in TRAINER_COMMANDS}

    # LightningCLI calls these in place of the Trainer's methods. `weights_only` is given, as otherwise
    # TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD would let checkpoints run code.

    def fit(self, **options: Any) -> None:
        """Trains."""
        self.trainer.fit(**options, weights_only=True)

    def validate(self, **options: Any) -> None:
        """Scores the validation split; `PrintProgress` prints the metrics."""
        self.trainer.validate(**options, verbose=False, weights_only=True)

    def test(self, **options: Any) -> None:
        """Scores the test split."""
        self.trainer.test(**options, verbose=False, weights_only=True)

    def predict(self, **options: Any) -> None:
        """Predicts a split; `SavePredictions` writes the predictions."""
        self.trainer.predict(**options, return_predictions=False, weights_only=True)

    def before_instantiate_classes(self) -> None:
        """Selects checkpoint and run folder, and refuses a folder that holds something else."""
        config = self.config[self.subcommand]
        run_dir, root = config.run_dir, config.trainer.default_root_dir
        check_device(config.trainer.accelerator, str(config.trainer.precision))
        if run_dir is not None and root is not None:
            raise InputError(f"--run_dir {run_dir} and trainer.default_root_dir {root} exclude each other")
        if run_dir is not None:
            check_folder("--run_dir", run_dir)
        cache_dir = config.get("data.init_args.cache_dir")
        if cache_dir is not None and not Path(cache_dir).expanduser().is_dir():  # an existing one may be read-only
            check_folder("data.cache_dir", cache_dir)
        self.choose_folder(config)

    def choose_folder(self, config: Namespace) -> None:
        """Selects the run folder, and sets the options that depend on it."""
        saved = config.clone()
        saved.ckpt_path = saved.run_dir = None  # the saved config makes the same run anywhere
        content = str(get_command_parsers(self)[str(self.subcommand)].dump(saved, skip_none=False))
        name = name_run(Path(str(config.config[0]))) if config.config else "run"
        self._resumed_step: int | None = None
        if self.subcommand == "fit":
            choose_run(config, name, yaml.safe_load(content))
            if config.ckpt_path is not None:
                self._resumed_step = int(read_checkpoint(config.ckpt_path)["global_step"])
        else:
            choose_evaluated(config, name)
        filename = "config.yaml" if self.subcommand == "fit" else f"{self.subcommand}.yaml"
        self._save_config = SaveConfig(filename, content)
        if config.run_dir is not None:
            fill_options(config.trainer.logger, Path(config.run_dir), self._resumed_step, str(self.subcommand))

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Makes the Trainer of the run folder, by default with a TensorBoard logger.

        Creates no folder for a run that is refused.
        """
        config = self.config[self.subcommand]
        folder = Path(config.run_dir or ".")
        if config.run_dir is not None:
            kwargs["default_root_dir"] = config.run_dir
        if config.trainer.logger in (None, True) and config.run_dir is not None:
            kwargs["logger"] = make_default_logger(folder, self._resumed_step, str(self.subcommand))
        if (name := config.trainer.profiler) in ("simple", "advanced"):
            profiler = SimpleProfiler if name == "simple" else AdvancedProfiler
            kwargs["profiler"] = profiler(dirpath=config.run_dir, filename="profile")
        if self._resumed_step is not None:
            kwargs["num_sanity_val_steps"] = 0  # the checkpoint has the metrics before the first step
        trainer = super().instantiate_trainer(**kwargs, enable_progress_bar=self._add_callbacks())
        check_port(trainer)
        if trainer.is_global_zero and config.run_dir is not None and not config.trainer.fast_dev_run:
            hold_folder(folder)
            cast(Any, trainer).callbacks.append(CleanUpFailedRun(folder))
            keep_curves(trainer.loggers, folder, self._resumed_step)
        return trainer

    def _add_callbacks(self) -> bool:
        """Adds the callbacks of every run to those of the config; returns whether there is a progress bar."""
        config = self.config_init[self.subcommand]
        options = config.trainer
        added: list[Callback] = [MeasureSpeed(), PrintProgress(), ReportFinders(), StopOnSignal(), ExplainOutOfMemory()]
        if self.subcommand == "predict":
            added.append(SavePredictions())
        if options.enable_checkpointing is not False:
            saver = SaveCheckpoints(config.save_every_n_steps, config.save_every_n_minutes, config.allow_changes)
            added = [RecordTraining(), SaveResults(), saver, *added]
        if self.subcommand in ("validate", "test"):
            added.insert(0, ConfirmF1())  # before the metrics are written
        added.append(self._save_config)
        own = options.callbacks if isinstance(options.callbacks, list) else [options.callbacks]
        if not any(isinstance(callback, LogDetails) for callback in own):  # one of the config has other options
            added.append(LogDetails())
        for callback in own:
            if type(callback) in map(type, added):
                raise InputError(f"trainer.callbacks: every run has {type(callback).__name__} already; leave it out")
        has_own_bar = any(isinstance(callback, ProgressBar) for callback in own)
        shows_progress = options.enable_progress_bar is not False
        if shows_progress and not has_own_bar:
            added.append(ShowProgress())
        self.trainer_defaults["callbacks"] = added
        return shows_progress

    def after_instantiate_classes(self) -> None:
        """Restores the checkpoint's config and tokenizer, so that its net is built without its first model."""
        ckpt_path = self.config_init[self.subcommand].ckpt_path
        if ckpt_path is not None:
            self.model.restore_from(read_checkpoint(ckpt_path)[RECORD])
        if self.subcommand == "predict":
            self.datamodule.predict_split = self.config[self.subcommand].split
            if hasattr(self.model, "label_names") and self.model.label_names is None:
                raise InputError(
                    "there is nothing trained to predict with: give --ckpt_path, or a trained tagger as model.model"
                )


def run(args: Sequence[str], cli_class: Callable[..., TrainerCLI] = TrainerCLI, save_as: str | None = None) -> None:
    """Runs a command that takes the Trainer's options.

    Args:
        args: the command line, the command first.
        cli_class: makes the CLI of the command.
        save_as: the command as which `lit_mlm.cli.saved_options` saves the options; None saves none.
    """
    import_all(lit_mlm.callbacks, lit_mlm.data, lit_mlm.modules)
    os.environ.setdefault(JSONARGPARSE_WARNINGS, "off")
    choose_messages()
    represent_enums()
    mend_rich_bar()
    with handle_signals():
        watch_children(watch_ranks)
        try:
            build_cli(args, cli_class, save_as)
            leave_group()
        finally:
            release_folders()


def build_cli(args: Sequence[str], cli_class: Callable[..., TrainerCLI], save_as: str | None = None) -> None:
    """Builds the CLI, which runs the command; `show` and its like parse as `fit`."""
    commands = TRAINER_COMMANDS | SHOW_COMMANDS
    subcommand = args[0] if args[0] in TRAINER_COMMANDS else "fit"
    help_texts = {"usage": f"python -m lit_mlm {args[0]} [options]", "description": commands[args[0]]}
    cli_class(
        TransformerModule,
        LightningDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        save_config_callback=None,  # `_add_callbacks` adds ours
        trainer_class=RunTrainer,
        trainer_defaults=dict(TRAINER_DEFAULTS),
        parser_class=TrainerParser,
        parser_kwargs={subcommand: help_texts},
        auto_configure_optimizers=False,
        args=[subcommand, *args[1:]],
        **({} if save_as is None else {"save_as": save_as}),
    )
