"""Loggers of a run; a resumed run continues their curves."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from torch import distributed

from lit_mlm.errors import InputError, shorten
from lit_mlm.runs.atomic import write_lines
from lit_mlm.upstream import choose_messages

RUN_DIR = "{run_dir}"
"""Stands for the run folder in the options of a logger."""

IDS = "loggers.json"
"""The file in a run folder with class and `version` of each logger."""

ID_OPTIONS = {"WandbLogger": "id", "MLFlowLogger": "run_id", "CometLogger": "experiment_key"}
"""The option that a logger takes its `version` by; ``version`` for all others."""


class RunTrainer(Trainer):
    """A Trainer whose `log_dir` is the run folder, `default_root_dir`, whatever its loggers."""

    _shared_log_dir: str | None = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        choose_messages()  # in a spawned process
        self.__dict__.update(state)

    @property
    def log_dir(self) -> str | None:
        """The run folder, the same on every rank; the first use after the ranks have met is a collective call."""
        if self._shared_log_dir is not None:
            return self._shared_log_dir
        folder = str(self.strategy.broadcast(self.default_root_dir))
        if distributed.is_available() and distributed.is_initialized():
            self._shared_log_dir = folder
        return folder


def make_default_logger(folder: Path, resumed_step: int | None, command: str = "fit") -> TensorBoardLogger:
    """Creates a TensorBoard logger in the run folder; points after `resumed_step` are dropped.

    Evaluations have a folder of their own, as TensorBoard hides the points of a curve after that of an earlier step.
    """
    purge_step, part = None if resumed_step is None else resumed_step + 1, None if command == "fit" else command
    return TensorBoardLogger(folder, "", "", default_hp_metric=False, sub_dir=part, purge_step=purge_step)


def fill_options(loggers: Any, folder: Path, resumed_step: int | None, command: str = "fit") -> None:
    """Fills in the run folder, and which curves to continue, in the parsed option ``trainer.logger``."""
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
        if name == "TensorBoardLogger" and command != "fit" and options.get("sub_dir") is None:
            options["sub_dir"] = command


def read_ids(folder: Path) -> list[dict[str, Any]]:
    """Reads `IDS`; an empty list without the file."""
    path = folder / IDS
    try:
        ids = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
        if not (isinstance(ids, list) and all({"class", "version"} <= set(entry) for entry in ids)):
            raise ValueError("it has something else than the class and version of each logger")
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is damaged: {shorten(error)}; remove it, and loggers begin new curves") from error
    return ids


def write_ids(loggers: Sequence[Logger], folder: Path) -> None:
    """Writes `IDS`, on the first rank, after the loggers have connected."""
    ids = [{"class": type(logger).__name__, "version": logger.version} for logger in loggers]
    write_lines(folder / IDS, [json.dumps(ids, indent=2)])


def keep_curves(loggers: Sequence[Logger], folder: Path, resumed_step: int | None) -> None:
    """Keeps the rows of `CSVLogger`, which deletes them, up to `resumed_step`.

    Must be called on the first rank, before anything is logged.
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
    """Yields where each logger's curves are, or the command that shows them; on the first rank."""
    for logger in loggers:
        run: Any = getattr(logger, "experiment", None)
        if isinstance(logger, TensorBoardLogger):
            yield f"tensorboard --logdir {Path(logger.log_dir)}"
        elif isinstance(logger, CSVLogger):
            yield str(Path(logger.log_dir, "metrics.csv"))
        elif isinstance(logger, WandbLogger):
            yield run.url or f"wandb sync {Path(run.dir).parent}"
        elif isinstance(logger, MLFlowLogger):
            yield f"MLflow run {logger.run_id} at {run.tracking_uri}"
        else:
            yield f"{type(logger).__name__}, {logger.version}"
