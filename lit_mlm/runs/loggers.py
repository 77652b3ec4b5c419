"""Where the curves of a run go: any loggers of Lightning's, which a run that is resumed continues."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from lit_mlm.errors import InputError
from lit_mlm.runs.atomic import write_lines
from lit_mlm.upstream import choose_messages

RUN_DIR = "{run_dir}"
"""What stands for the run's folder in the options of a logger."""

IDS = "loggers.json"
"""The file in a run's folder with the class and the `version` of each of its loggers, as Lightning calls both."""

ID_OPTIONS = {"WandbLogger": "id", "MLFlowLogger": "run_id", "CometLogger": "experiment_key"}
"""The option of a logger that its `version` is given as; that of others is ``version``."""


class RunTrainer(Trainer):
    """A Trainer whose files lie in the run's folder, `default_root_dir`, whatever loggers it has."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        choose_messages()  # of a process that it has been spawned into
        self.__dict__.update(state)

    @property
    def log_dir(self) -> str | None:
        """The run's folder, the same on every rank; a collective call."""
        return str(self.strategy.broadcast(self.default_root_dir))


def make_default_logger(folder: Path, resumed_step: int | None) -> TensorBoardLogger:
    """TensorBoard's curves, in the folder of a run.

    Args:
        folder: of the run.
        resumed_step: of the checkpoint that a training is resumed from; the points after it are dropped.
    """
    purge_step = None if resumed_step is None else resumed_step + 1
    return TensorBoardLogger(folder, name="", version="", default_hp_metric=False, purge_step=purge_step)


def fill_options(loggers: Any, folder: Path, resumed_step: int | None) -> None:
    """Fills in what the loggers of a config can't know: the run's folder, and which curves to continue.

    Args:
        loggers: the option ``trainer.logger``, parsed and not instantiated; changed in place.
        folder: of the run.
        resumed_step: of the checkpoint that a training is resumed from; TensorBoard drops the points after it.
    """
    saved = read_ids(folder)
    for number, entry in enumerate(loggers if isinstance(loggers, list) else [loggers]):
        if not hasattr(entry, "class_path"):
            continue
        options, name = entry.init_args, entry.class_path.rpartition(".")[2]
        for option, value in vars(options).items():
            if isinstance(value, str):
                options[option] = value.replace(RUN_DIR, str(folder))
        option = ID_OPTIONS.get(name, "version")
        if number < len(saved) and saved[number]["class"] == name and options.get(option, 0) is None:
            options[option] = saved[number]["version"]
        if name == "TensorBoardLogger" and resumed_step is not None:
            options["purge_step"] = resumed_step + 1


def read_ids(folder: Path) -> list[dict[str, Any]]:
    """The content of `IDS`; nothing where there is no such file."""
    path = folder / IDS
    return list(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else []


def write_ids(loggers: Sequence[Logger], folder: Path) -> None:
    """Writes `IDS`; on the first rank, once the loggers have connected."""
    write_lines(
        folder / IDS, [json.dumps([{"class": type(x).__name__, "version": x.version} for x in loggers], indent=2)]
    )


def keep_curves(loggers: Sequence[Logger], folder: Path, resumed_step: int | None) -> None:
    """Continues the files of `CSVLogger`, which deletes them; on the first rank, before anything is logged.

    Args:
        loggers: of the Trainer.
        folder: of the run.
        resumed_step: of the checkpoint that a training is resumed from; rows after it are dropped.

    Raises:
        InputError: if a file is that of another run.
    """
    known = {(entry["class"], str(entry["version"])) for entry in read_ids(folder)}
    for logger in loggers:
        path = Path(logger.log_dir or "", "metrics.csv") if isinstance(logger, CSVLogger) else None
        if path is None or not path.is_file():
            continue
        if ("CSVLogger", str(logger.version)) not in known:
            raise InputError(
                f"trainer.logger: {path} holds the curves of another run, which CSVLogger would delete: leave its "
                f"version out, or give save_dir {RUN_DIR!r}, the folder of this run"
            )
        with path.open(encoding="utf-8", newline="") as file:
            rows = [{key: value for key, value in row.items() if value} for row in csv.DictReader(file)]
        writer: Any = cast(CSVLogger, logger).experiment
        writer.metrics += [row for row in rows if resumed_step is None or int(row["step"]) <= resumed_step]
        logger.save()


def describe_curves(loggers: Sequence[Logger]) -> Iterator[str]:
    """Where the curves of each logger are, or the command that shows them; on the first rank."""
    for logger in loggers:
        run: Any = getattr(logger, "experiment", None)
        if isinstance(logger, TensorBoardLogger):
            yield f"tensorboard --logdir {Path(logger.log_dir)}"
        elif isinstance(logger, CSVLogger):
            yield str(Path(logger.log_dir, "metrics.csv"))
        elif isinstance(logger, WandbLogger):
            yield run.url or f"wandb sync {Path(run.dir).parent}"
        elif isinstance(logger, MLFlowLogger):
            yield f"MLflow run {logger.run_id} at {logger._tracking_uri}"
        else:
            yield f"{type(logger).__name__}, {logger.version}"
