"""The results of `python -m lit_mlm adapt`: tables, JSON, Markdown and a picture."""

from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from lit_mlm.callbacks.record_training import HISTORY
from lit_mlm.cli.adapt_plan import Entry
from lit_mlm.cli.adapt_runs import AdaptRuns
from lit_mlm.cli.compare import COMMANDS, FEW_UNITS, compare, format_difference, stack
from lit_mlm.cli.compared_runs import ComparedRun, choose_metrics, read_run
from lit_mlm.cli.plain import print_result
from lit_mlm.inference.card.training import format_seconds
from lit_mlm.metrics.intervals import format_estimate
from lit_mlm.metrics.paired import adjust_holm, list_metrics
from lit_mlm.runs.atomic import atomic_file, read_json, write_json, write_lines
from lit_mlm.runs.units import get_units_path
from lit_mlm.text import markdown, tables

NUM_RESAMPLES, SEED = 10_000, 42
"""Of the bootstrap and randomisation of comparisons."""

COSTS = {"num_steps": "step", "num_tokens": "train/num_tokens"}
"""Names in ``metrics.json``, behind ``last/``."""

Rows = list[list[str]]


def write_results(runs: AdaptRuns) -> None:
    """Writes ``adapt.json``, ``adapt.md`` and, of several models along the adaptation, ``curve.png``."""
    figures = [compare_models(runs, entry) for entry in (*runs.plan.tasks, *runs.plan.texts)]
    tests = [test for figure in figures for test in figure["comparisons"]]
    for test, p in zip(tests, adjust_holm([test["p"] for test in tests]), strict=True):
        test["p_holm"] = p
    content: dict[str, Any] = {
        "model": runs.plan.model,
        "seeds": list(runs.plan.seeds),
        "adaptation_seeds": list(runs.plan.adaptation_seeds),
        "num_resamples": NUM_RESAMPLES,
        "figures": figures,
        "cost": list(measure_cost(runs)),
    }
    if runs.steps:
        content["curve"] = list(measure_curve(runs, figures))
    write_json(runs.folder / "adapt.json", content)
    parts, has_picture = [*tabulate(content)], draw(content, runs.folder)
    write_lines(runs.folder / "adapt.md", format_markdown(runs.plan.model, parts, has_picture))
    for _, rows, note in parts:
        print_result("\n".join([*tables.format_table(rows, _justify(rows)), *([note] if note else []), ""]))
    print_result(f"tables:  {runs.folder / 'adapt.md'}\nmetrics: {runs.folder / 'adapt.json'}")


def compare_models(runs: AdaptRuns, entry: Entry) -> dict[str, Any]:
    """Compares the models on a task or text by its main metric, each with each."""
    models = runs.plan.models
    sides = [read_side(runs, entry, model) for model in models]
    chosen = choose_metrics([run for side in sides for run in side], None, COMMANDS[entry.split])
    options = Namespace(runs=models, split=entry.split, num_resamples=NUM_RESAMPLES, seed=SEED, all_pairs=True)
    found, (metric,) = compare(sides, chosen, options), chosen
    return {
        "name": entry.label,
        "kind": ("old task" if entry.is_old else "task") if entry in runs.plan.tasks else "text",
        "metric": metric,
        **{key: found[key] for key in ("split", "unit", "num_units")},
        "values": {run["run"]: run["values"][metric] for run in found["runs"]},
        "comparisons": found["comparisons"],
    }


def read_side(runs: AdaptRuns, entry: Entry, model: str) -> list[ComparedRun]:
    """Reads the units of a model on a task or text, of one run for each seed."""
    return [read_run(run, get_units_path(run / "metrics.json", entry.split)) for run in runs.list_runs(entry, model)]


def measure_curve(runs: AdaptRuns, figures: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yields step, model and figures along the adaptation, those of its start and end included."""
    entries = [*runs.plan.tasks, *runs.plan.texts]
    yield {"step": 0, "model": "unadapted", "values": {each["name"]: each["values"]["unadapted"] for each in figures}}
    for model in runs.steps:
        values = {}
        for entry, figure in zip(entries, figures, strict=True):
            side = read_side(runs, entry, model)
            metric = list_metrics(side[0].sums)[figure["metric"]]
            values[figure["name"]] = metric.compute(stack(side, metric).sum(axis=1)).tolist()
        yield {"step": int(model.removeprefix("step_")), "model": model, "values": values}
    last = read_json(runs.folder / "adapted" / f"seed_{runs.plan.seeds[0]}" / "metrics.json")["step"]
    yield {"step": last, "model": "adapted", "values": {each["name"]: each["values"]["adapted"] for each in figures}}


def measure_cost(runs: AdaptRuns) -> Iterator[dict[str, Any]]:
    """Yields the number of trainings of a kind, and their optimizer steps, tokens and seconds in all."""
    kinds = [("adaptation" if name == "adapted" else name, f"{name}/seed_*") for name in runs.plan.models[:0:-1]]
    for name, pattern in (*kinds, *((entry.label, f"{entry.folder}/*/seed_*") for entry in runs.plan.tasks)):
        found = [read_json(run / "metrics.json") for run in sorted(runs.folder.glob(pattern))]
        sums = {key: sum(each[f"last/{name}"] for each in found) for key, name in COSTS.items()}
        seconds = sum(read_json(run / HISTORY)["seconds"] for run in runs.folder.glob(pattern))
        yield {"name": name, "num_runs": len(found), **sums, "seconds": seconds}


def tabulate(content: Mapping[str, Any]) -> Iterator[tuple[str, Rows, str]]:
    """Yields title, rows, the first one a header, and a note of each table."""
    figures, models = content["figures"], [*content["figures"][0]["values"]]
    names = [name_figure(figure) for figure in figures]
    rows = [[name, *(_format_mean(f["values"][m]) for m in models)] for name, f in zip(names, figures, strict=True)]
    scored = [f"{f['name']}: {f['num_units']:,} {f['unit']}s of {f['split']}" for f in figures]
    yield "Figures", [["", *models], *rows], "; ".join(scored)
    rows = [["", "", "difference", "95 % interval", "p", "p (Holm)"]]
    for name, figure in zip(names, figures, strict=True):
        for test in figure["comparisons"]:
            rows.append([name, f"{test['second']} - {test['first']}", *format_difference(test)])
    note = f"Tasks: {len(content['seeds'])} seeds; {content['num_resamples']:,} resamples"
    if len(content["adaptation_seeds"]) == 1:
        note += "; one adaptation, so p and intervals say nothing of others"
    few = [f"{figure['num_units']} {figure['unit']}s" for figure in figures if figure["num_units"] < FEW_UNITS]
    note += f"; intervals of {' and '.join(few)} may be too narrow" if few else ""
    yield "Differences", rows, note
    rows = [
        [each["name"], *(f"{each[key]:,}" for key in ("num_runs", *COSTS)), format_seconds(each["seconds"])]
        for each in content["cost"]
    ]
    yield "Cost", [["training", "runs", "steps", "tokens", "time"], *rows], ""
    if curve := content.get("curve"):
        rows = [[f"{p['step']:,}", *(_format_mean(p["values"][f["name"]]) for f in figures)] for p in curve]
        yield "Along the adaptation", [["step", *names], *rows], "Means over seeds"


def name_figure(figure: Mapping[str, Any]) -> str:
    """Names a figure in a table."""
    return f"{figure['name']}, {figure['metric']}" + (" (old task)" if figure["kind"] == "old task" else "")


def format_markdown(model: str, parts: Sequence[tuple[str, Rows, str]], has_picture: bool) -> Iterator[str]:
    """Formats the tables as a page."""
    yield f"# Adaptation of {markdown.quote_code(model)}"
    for title, rows, note in parts:
        cells = [[markdown.escape(cell) for cell in row] for row in rows]
        yield from ["", f"## {title}", "", *markdown.format_table(cells, _justify(rows))]
        yield from ["", f"{markdown.escape(note)}."] if note else []
    yield from ["", "![Figures over the steps of the adaptation](curve.png)"] if has_picture else []


def draw(content: Mapping[str, Any], folder: Path) -> bool:
    """Draws each figure over the steps of the adaptation, where matplotlib is installed; returns whether it did."""
    curve, figures = content.get("curve"), content["figures"]
    if not curve or find_spec("matplotlib") is None:
        return False
    from matplotlib.figure import Figure

    picture = Figure(figsize=(4.2 * len(figures), 3.4), dpi=100)
    for axes, figure in zip(picture.subplots(1, len(figures), squeeze=False)[0], figures, strict=True):
        steps, values = [point["step"] for point in curve], [point["values"][figure["name"]] for point in curve]
        axes.plot(steps, [np.mean(each) for each in values], color="tab:blue")
        for step, each in zip(steps, values, strict=True):
            axes.plot([step] * len(each), each, ".", color="tab:grey")
        axes.set_title(name_figure(figure), fontsize=10)
        axes.set_xlabel("steps of the adaptation")
        if figure["metric"] == "perplexity":
            axes.set_yscale("log")
    picture.tight_layout()
    with atomic_file(folder / "curve.png") as path:
        picture.savefig(path, format="png")
    return True


def _format_mean(values: Sequence[float]) -> str:
    return format_estimate(float(np.mean(values)))[0]


def _justify(rows: Rows) -> str:
    """Numbers go right, names left."""
    num_names = 2 if rows[0][:2] == ["", ""] else 1
    return "<" * num_names + ">" * (len(rows[0]) - num_names)
