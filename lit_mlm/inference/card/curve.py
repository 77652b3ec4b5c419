"""The curve of a training: a picture, or a table where matplotlib is not installed."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lit_mlm.metrics.intervals import format_estimate
from lit_mlm.text.markdown import escape, format_table

PICTURE = "curve.png"

MAX_ROWS = 12
"""Validations in a table; of more, those between are left out."""

History = Sequence[Mapping[str, Any]]


def save_curve(history: History, keys: Sequence[str], best_step: int, folder: Path) -> bool:
    """Draws the losses and the first of `keys` over the steps as `PICTURE`; returns False without matplotlib or points.

    Args:
        history: step and metrics of each validation.
        keys: of the metrics, such as ``val/f1``, the most important one first.
        best_step: of the exported checkpoint, which is marked.
        folder: of the picture.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:  # of the extra `plots`
        return False
    lines = {key: _find_points(history, key) for key in ("train/loss", "val/loss", *keys)}
    losses = [key for key in ("train/loss", "val/loss") if lines[key]]
    others = [key for key in keys[:1] if lines[key] and key not in losses]
    panels = [panel for panel in (losses, others) if panel]
    if not panels:
        return False
    figure = Figure(figsize=(4.5 * len(panels), 3.2), layout="constrained")
    for number, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), number)
        for key in panel:
            axes.plot(*zip(*lines[key], strict=True), marker="o", markersize=3, label=key)
        axes.axvline(best_step, color="grey", linestyle=":", label="exported")
        axes.set_xlabel("optimizer step")
        axes.set_ylabel("nats per token" if panel is losses else panel[0])
        if panel == ["val/perplexity"]:
            axes.set_yscale("log")
        axes.legend()
    figure.savefig(folder / PICTURE, dpi=150, metadata={"Software": None})
    return True


def _find_points(history: History, key: str) -> list[tuple[int, float]]:
    """The steps and values of a metric, where it is finite."""
    values = ((point["step"], point.get(key)) for point in history)
    return [(step, value) for step, value in values if isinstance(value, float) and math.isfinite(value)]


def format_curve(history: History, keys: Sequence[str], best_step: int) -> list[str]:
    """Formats the curve as a table of `MAX_ROWS` validations, and of the first and the exported one if left out."""
    every = -(-len(history) // MAX_ROWS)
    last = len(history) - 1
    shown = [
        point
        for number, point in enumerate(history)
        if (last - number) % every == 0 or number == 0 or point["step"] == best_step
    ]
    keys = [key for key in dict.fromkeys(("train/loss", *keys)) if any(key in point for point in history)][:4]
    rows = [["step", "epoch", *map(escape, keys)]]
    for point in shown:
        mark = "**" if point["step"] == best_step else ""
        values = [format_estimate(point[key])[0] if key in point else "" for key in keys]
        rows.append([f"{mark}{point['step']:,}{mark}", str(point["epoch"]), *values])
    return format_table(rows, ">" * len(rows[0]))
