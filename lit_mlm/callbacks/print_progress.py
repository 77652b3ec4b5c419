"""Prints what is run and its results."""

import shlex
from typing import Any, TypeVar

from lightning.pytorch import Callback, Trainer
from tqdm import tqdm

from lit_mlm.batch import get_eval_sets
from lit_mlm.callbacks.confirm_f1 import ConfirmF1
from lit_mlm.callbacks.measure_speed import MeasureSpeed
from lit_mlm.callbacks.save_predictions import SavePredictions
from lit_mlm.callbacks.save_results import find_metrics_path, get_run_folder
from lit_mlm.errors import escape_controls
from lit_mlm.nets.pretrained import count_parameters
from lit_mlm.runs.atomic import read_json
from lit_mlm.runs.loggers import describe_curves
from lit_mlm.text.tables import format_table

T = TypeVar("T")


class PrintProgress(Callback):
    """Prints one line at the start, one per validation, and a summary at the end."""

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Prints model, parameters, device, precision and data."""
        _say(trainer, _describe_run(trainer, pl_module))

    on_test_start = on_predict_start = on_fit_start

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Prints where a run is resumed."""
        if trainer.ckpt_path is not None and trainer.global_step:  # finders restore the start
            place = f"epoch {trainer.current_epoch + 1}, step {trainer.global_step}"
            _say(trainer, f"resumed from {trainer.ckpt_path}: {place}")

    def on_validation_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Prints the first line of `validate`."""
        if trainer.state.fn == "validate":
            _say(trainer, _describe_run(trainer, pl_module))

    def on_sanity_check_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Prints the metrics before the first step."""
        if "start/val" in pl_module.results:
            _say(trainer, f"start: val {_format_metrics(pl_module, 'start/val')}{_format_sets(trainer, 'start/val')}")

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Prints the metrics of a validation during training."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            place = f"epoch {trainer.current_epoch + 1}, step {trainer.global_step}"
            train_loss = _format(pl_module.results["train"]["loss"])
            val = _format_metrics(pl_module, "val") + _format_sets(trainer, "val")
            _say(trainer, f"{place}: train loss {train_loss}; val {val}")

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Prints where the results are, and the next command."""
        folder = get_run_folder(trainer)
        if not trainer.is_global_zero or not (folder / "hf").is_dir():
            return
        metrics = read_json(folder / "metrics.json")
        name = next((name for name in pl_module.headline if f"val/{name}" in metrics), None)
        keys = [f"val/{name}", *(f"val/{each}/{name}" for each in get_eval_sets(trainer.datamodule, "val"))]
        for key in [key for key in keys if key in metrics]:
            before = f"{_format(metrics[f'start/{key}'])} before training, " if f"start/{key}" in metrics else ""
            _say(trainer, f"{key}: {before}{_format(metrics[key])} after it (epoch {metrics['epoch'] + 1})")
        _say(trainer, f"model:       {folder / 'hf'} (the best checkpoint, for from_pretrained)")
        _say(trainer, f"checkpoints: {folder / 'checkpoints'}")
        _say(trainer, f"metrics:     {folder / 'metrics.json'}")
        for speed, wait in (callback.totals for callback in _find(trainer, MeasureSpeed)):
            rate = f"{speed:,.0f} tokens/s" + (" per device" if trainer.world_size > 1 else "")
            _say(trainer, f"speed:       {rate}, {wait:.1%} of the time waiting for data")
        for place in describe_curves(trainer.loggers):
            _say(trainer, f"curves:      {place}")
        if pl_module.next_command is not None:
            command = pl_module.next_command.format(model=shlex.quote(str(folder / "hf")))
            _say(trainer, f"next:        {command}")

    def teardown(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Prints the metrics of `validate` and `test`, or where predictions are, once they are written."""
        for saver in _find(trainer, SavePredictions):
            if saver.num_predictions:
                _say(trainer, f"predictions: {saver.path} ({saver.num_predictions:,} lines)")
        prefix = {"validate": "val", "test": "test"}.get(stage)
        if prefix and prefix in pl_module.results:
            path = find_metrics_path(trainer)
            confirmed = [f"; {callback.confirmed}" for callback in _find(trainer, ConfirmF1) if callback.confirmed]
            _say(trainer, f"{prefix}: {_format_metrics(pl_module, prefix)}{''.join(confirmed)}")
            for line in [*_tabulate_sets(trainer, prefix), *pl_module.describe_results(pl_module.results[prefix])]:
                _say(trainer, line)
            _say(trainer, f"metrics: {path}")


def _say(trainer: Trainer, text: str) -> None:
    if trainer.is_global_zero:
        tqdm.write(escape_controls(text))  # above a progress bar of tqdm or rich


def _find(trainer: Any, kind: type[T]) -> list[T]:
    """Returns the callbacks of a class."""
    return [callback for callback in trainer.callbacks if isinstance(callback, kind)]


def _describe_run(trainer: Trainer, module: Any) -> str:
    net, data = module.net, getattr(trainer, "datamodule", None)
    size = f"{net.config.model_type}, {count_parameters(net) / 1e6:,.1f} M parameters"
    devices = f"{trainer.world_size} x {trainer.strategy.root_device.type}, {trainer.precision}"
    return f"{size}; {devices}; {'no data module' if data is None else data.describe()}"


def _format_metrics(module: Any, prefix: str) -> str:
    metrics = module.results[prefix]
    return ", ".join(f"{name} {_format(metrics[name])}" for name in module.headline if name in metrics)


def _format_sets(trainer: Any, prefix: str) -> str:
    """Returns the most important metric of each set, for the end of a line; empty without sets."""
    module = trainer.lightning_module
    metrics, names = module.results[prefix], get_eval_sets(trainer.datamodule, prefix.removeprefix("start/"))
    column = next((column for column in module.headline if column in metrics), None)
    found = [f"{name} {_format(metrics[f'{name}/{column}'])}" for name in names if f"{name}/{column}" in metrics]
    return f"; {column} of {', '.join(found)}" if found else ""


def _tabulate_sets(trainer: Any, split: str) -> list[str]:
    """Formats a table with a row of metrics for each set; empty without sets."""
    names, metrics = get_eval_sets(trainer.datamodule, split), trainer.lightning_module.results[split]
    columns = [name for name in trainer.lightning_module.headline if name in metrics]
    keys = [[f"{name}/{column}" for column in columns] for name in names]
    rows = [[_format(metrics[key]) if key in metrics else "" for key in row] for row in keys]
    table = [["set", *columns], *([name, *row] for name, row in zip(names, rows, strict=True))]
    return format_table(table, "<" + ">" * len(columns)) if names else []


def _format(value: float | None) -> str:
    if value is None:  # JSON has no infinity
        return "inf"
    return f"{value:,.2f}" if abs(value) >= 100 else f"{value:.4g}"
