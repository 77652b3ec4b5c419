"""Prints what is run and its results."""

import shlex
import textwrap
from itertools import chain
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
from lit_mlm.text.tables import MAX_WIDTH, format_metrics, format_number, format_table

T = TypeVar("T")

NUM_SHOWN = 3
"""How many metrics a line has; the rest is in the table at the end."""


class PrintProgress(Callback):
    """Prints one line at the start, one per validation, and tables at the end."""

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Prints model, parameters, device, precision and data."""
        _say_status(trainer, _describe_run(trainer, pl_module))

    on_test_start = on_predict_start = on_fit_start

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Prints where a run is resumed."""
        if trainer.ckpt_path is not None and trainer.global_step:  # finders restore the start
            place = f"epoch {trainer.current_epoch + 1}, step {trainer.global_step}"
            _say(trainer, f"resumed from {trainer.ckpt_path}: {place}")

    def on_validation_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Prints the first line of `validate`."""
        if trainer.state.fn == "validate":
            _say_status(trainer, _describe_run(trainer, pl_module))

    def on_sanity_check_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Prints the metrics before the first step."""
        if "start/val" in pl_module.results:
            _say_status(trainer, f"start: val {_format_shown(trainer, 'start/val')}")

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Prints the metrics of a validation during training."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            place = f"epoch {trainer.current_epoch + 1}, step {trainer.global_step}"
            train_loss = format_number(pl_module.results["train"]["loss"])
            _say_status(trainer, f"{place}: val {_format_shown(trainer, 'val')}; train loss {train_loss}")

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Prints the metrics, where the results are, and the next command."""
        folder = get_run_folder(trainer)
        has_model = trainer.is_global_zero and (folder / "hf").is_dir()
        for line in _tabulate_run(trainer, read_json(folder / "metrics.json") if has_model else {}):
            _say(trainer, line)
        if not has_model:
            return
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
            metrics = pl_module.results[prefix]
            confirmed = [f"; {callback.confirmed}" for callback in _find(trainer, ConfirmF1) if callback.confirmed]
            shown = format_metrics(metrics, _choose_shown(pl_module, metrics))
            _say_status(trainer, f"{prefix}: {shown}{''.join(confirmed)}")
            tables = (_tabulate_rest(pl_module, metrics), _tabulate_sets(trainer, prefix))
            for line in [*chain.from_iterable(tables), *pl_module.describe_results(metrics)]:
                _say(trainer, line)
            _say(trainer, f"metrics: {path}")


def _say(trainer: Trainer, text: str) -> None:
    if trainer.is_global_zero:
        tqdm.write(escape_controls(text))  # above a progress bar of tqdm or rich


def _say_status(trainer: Trainer, text: str) -> None:
    """Prints text in lines of at most `MAX_WIDTH` columns."""
    for line in textwrap.wrap(text, MAX_WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False):
        _say(trainer, line)


def _find(trainer: Any, kind: type[T]) -> list[T]:
    """Returns the callbacks of a class."""
    return [callback for callback in trainer.callbacks if isinstance(callback, kind)]


def _describe_run(trainer: Trainer, module: Any) -> str:
    net, data = module.net, getattr(trainer, "datamodule", None)
    size = f"{net.config.model_type}, {count_parameters(net) / 1e6:,.1f} M parameters"
    if trainer.training and (num_frozen := sum(p.numel() for p in net.parameters() if not p.requires_grad)):
        size += f", {(count_parameters(net) - num_frozen) / 1e6:,.1f} M of them trained"
    devices = f"{trainer.world_size} x {trainer.strategy.root_device.type}, {trainer.precision}"
    return f"{size}; {devices}; {'no data module' if data is None else data.describe()}"


def _choose_shown(module: Any, metrics: dict[str, Any]) -> list[str]:
    """The first metrics of the task's headline, without the ends of intervals."""
    names = [name for name in module.headline if name in metrics and not name.endswith(("_low", "_high"))]
    return names[:NUM_SHOWN]


def _format_shown(trainer: Any, prefix: str) -> str:
    """Formats the first metrics of an evaluation, and the most important one of each set."""
    module = trainer.lightning_module
    metrics, sets = module.results[prefix], get_eval_sets(trainer.datamodule, prefix.removeprefix("start/"))
    names = _choose_shown(module, metrics)
    keys = {name: f"{name}/{names[0]}" for name in sets if names}
    found = [f"{name} {format_number(metrics[key])}" for name, key in keys.items() if key in metrics]
    return format_metrics(metrics, names) + (f"; {names[0]} of {', '.join(found)}" if found else "")


def _tabulate_run(trainer: Any, metrics: dict[str, Any]) -> list[str]:
    """Formats the metrics of the start, the best and the last validation, and those of types for the best one.

    Args:
        trainer: at the end of training.
        metrics: the content of ``metrics.json``; empty if there is no best checkpoint.
    """
    module = trainer.lightning_module
    last = module.results.get("val", {})
    if metrics.get("step") in (None, metrics.get("last/step")):
        columns = {f"epoch {trainer.current_epoch}": last}
    else:
        best = {key.removeprefix("val/"): value for key, value in metrics.items() if key.startswith("val/")}
        columns = {f"best, epoch {metrics['epoch'] + 1}": best, f"last, epoch {trainer.current_epoch}": last}
    columns = {"start": module.results.get("start/val", {})} | columns
    columns = {name: column for name, column in columns.items() if column}
    best = next((column for name, column in columns.items() if name != "start"), {})
    names = [name for name in module.headline if name in best]
    names += [f"{part}/{name}" for part in get_eval_sets(trainer.datamodule, "val") for name in names[:1]]
    rows = [[name, *(_format_cell(column, name) for column in columns.values())] for name in names]
    table = format_table([["val", *columns], *rows], "<" + ">" * len(columns)) if names else []
    return [*table, *(module.describe_results(best) if best else [])]


def _tabulate_rest(module: Any, metrics: dict[str, Any]) -> list[str]:
    """Formats the metrics of the headline that are not on the line, one a row."""
    shown = _choose_shown(module, metrics)
    hidden = {*shown, *(f"{name}_{end}" for name in shown for end in ("low", "high"))}
    rows = [[name, _format_cell(metrics, name)] for name in module.headline if name in metrics and name not in hidden]
    return format_table(rows, "<>") if rows else []


def _tabulate_sets(trainer: Any, split: str) -> list[str]:
    """Formats a table with a row of metrics for each set; empty without sets."""
    names, metrics = get_eval_sets(trainer.datamodule, split), trainer.lightning_module.results[split]
    columns = [name for name in trainer.lightning_module.headline if name in metrics]
    keys = [[f"{name}/{column}" for column in columns] for name in names]
    rows = [[_format_cell(metrics, key) for key in row] for row in keys]
    table = [["set", *columns], *([name, *row] for name, row in zip(names, rows, strict=True))]
    return format_table(table, "<" + ">" * len(columns)) if names else []


def _format_cell(metrics: dict[str, Any], name: str) -> str:
    return format_number(metrics[name]) if name in metrics else ""
