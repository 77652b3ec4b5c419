"""The results of a sweep: which trials keep their weights, the best config, a table and pictures."""

import shutil
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from lit_mlm.callbacks.record_training import HISTORY
from lit_mlm.cli.inputs import type_options
from lit_mlm.cli.plain import print_result
from lit_mlm.cli.trials import Study
from lit_mlm.errors import InputError
from lit_mlm.metrics.intervals import estimate_ratio_interval, format_estimate
from lit_mlm.runs.atomic import atomic_file, read_json, write_json, write_lines
from lit_mlm.text.tables import format_table

MAX_ROWS = 10
"""Trials that are printed at the end."""


def describe(study: Study, trial: FrozenTrial) -> str:
    """Says how a trial ended, and which is the best so far."""
    best = study.best
    value = "" if trial.value is None else f" at {format_estimate(trial.value)[0]}"
    so_far = "" if best is None else f"; best {format_estimate(best.value)[0]} of trial {best.number}"
    return f"{trial.state.name.lower()}{value}{so_far}"


def remove_weights(study: Study, folder: Path) -> None:
    """Removes checkpoints and models of all trials that have ended, but for the best one."""
    for trial in study.trials:
        if study.best is None or trial.number != study.best.number:
            for run in (folder / f"trial_{trial.number}").glob("seed_*"):
                for part in ("checkpoints", "hf"):
                    shutil.rmtree(run / part, ignore_errors=True)


def write_results(study: Study, folder: Path) -> None:
    """Writes ``sweep.json``, ``best.yaml`` and pictures, and prints the best trials."""
    best = study.best
    if best is None:
        raise InputError(f"no trial was completed; see the log.txt of each in {folder}")
    runs = sorted((folder / f"trial_{best.number}").glob("seed_*"))
    metric = read_json(runs[0] / HISTORY)["monitor"]
    figures = [read_json(run / "metrics.json") for run in runs]
    values = np.array([float(figure[metric]) for figure in figures])
    low, high = figures[0].get(f"{metric}_low"), figures[0].get(f"{metric}_high")
    if len(runs) > 1:
        low, high = estimate_ratio_interval(values, np.ones(len(values)))
    figure, interval = format_estimate(best.value, low, high)
    about = f"{metric} {figure}" + (f" [{interval}]" if interval else "")
    head = f"# {about}, trial {best.number} of {len(study.trials)}; partly luck, so score it on test"
    write_lines(folder / "best.yaml", [head, *(runs[0] / "config.yaml").read_text("utf-8").splitlines()])
    trials = [
        {"number": trial.number, "state": trial.state.name.lower(), "value": trial.value, "options": trial.params}
        for trial in study.trials
    ]
    content = {"metric": metric, "best": best.number, "value": best.value, "low": low, "high": high, "trials": trials}
    write_json(folder / "sweep.json", content)
    done = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    done.sort(key=lambda trial: trial.value or 0.0, reverse=study.study.direction.name == "MAXIMIZE")
    rows = [
        (str(trial.number), format_estimate(trial.value)[0], *type_options(trial.params)[1::2])
        for trial in done[:MAX_ROWS]
    ]
    table = [("trial", metric, *study.space), *rows]
    print_result("\n".join(format_table(table, ">>" + ">" * len(study.space))))
    draw(study, folder, metric, [trial.value for trial in done])
    print_result(
        f"best:    {about}, trial {best.number}\nconfig:  {folder / 'best.yaml'}\nmetrics: {folder / 'sweep.json'}"
    )


def draw(study: Study, folder: Path, metric: str, values: Sequence[float | None]) -> None:
    """Draws the history of the trials and the importance of the options, where matplotlib is installed.

    Args:
        study: of the sweep.
        folder: of the pictures.
        metric: the name of the monitored metric.
        values: of the complete trials.
    """
    if find_spec("matplotlib") is None or len(values) < 2:
        return
    from matplotlib import pyplot
    from optuna.visualization import matplotlib as plots

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        pictures = {"history": plots.plot_optimization_history(study.study, target_name=metric)}
        if len(study.space) > 1 and len({*values}) > 1:  # of equal ones nothing can be said
            pictures["importance"] = plots.plot_param_importances(study.study, target_name=metric)
    for name, axes in pictures.items():
        with atomic_file(folder / f"{name}.png") as path:
            axes.figure.get_figure(root=True).savefig(path, format="png", dpi=150, bbox_inches="tight")
        pyplot.close(axes.figure.get_figure(root=True))
