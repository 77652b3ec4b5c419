"""Kinds of pictures: each is drawn on the axes of matplotlib, or written as a table."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lit_mlm.metrics.binning import compute_calibration_error
from lit_mlm.text.arrays import FloatArray, IntArray
from lit_mlm.text.markdown import escape, format_table

MAX_ROWS = 25
"""Of a matrix: of more, those with the most pairs off the diagonal are shown."""


class Picture(ABC):
    """A picture with a title."""

    title: str
    size: tuple[float, float] = (5.0, 3.6)
    """Width and height in inches."""

    @abstractmethod
    def draw(self, axes: Any) -> None:
        """Draws on the axes of matplotlib."""

    @abstractmethod
    def tabulate(self) -> list[str]:
        """Formats a Markdown table of the same numbers."""


@dataclass(frozen=True)
class Bars(Picture):
    """A value of each group, and the number of what it is the mean of."""

    title: str
    x_label: str
    y_label: str
    groups: Sequence[str]
    values: Sequence[float]
    numbers: Sequence[int]

    def draw(self, axes: Any) -> None:
        """Draws bars, with their numbers above."""
        bars = axes.bar(range(len(self.groups)), self.values, color="tab:blue")
        axes.bar_label(bars, [f"{number:,}" if number else "" for number in self.numbers], fontsize=8)
        axes.set_xticks(range(len(self.groups)), self.groups, rotation=30, ha="right", fontsize=8)
        axes.set_xlabel(self.x_label)
        axes.set_ylabel(self.y_label)
        axes.margins(y=0.12)

    def tabulate(self) -> list[str]:
        """One row per group."""
        rows = zip(self.groups, self.values, self.numbers, strict=True)
        return format_table(
            [
                [self.x_label, self.y_label, "number"],
                *([escape(name), f"{value:.4g}", f"{number:,}"] for name, value, number in rows),
            ],
            "<>>",
        )


@dataclass(frozen=True)
class Matrix(Picture):
    """Counts of pairs of gold (rows) and predicted names (columns)."""

    title: str
    names: Sequence[str]
    counts: IntArray

    @property
    def size(self) -> tuple[float, float]:  # type: ignore[override]
        """Grows with the rows."""
        side = 2.6 + 0.36 * min(len(self.names), MAX_ROWS)
        return max(side + 0.8, 4.5), max(side, 3.6)

    def choose_rows(self) -> list[int]:
        """The rows to show, in their order."""
        wrong = self.counts.sum(axis=0) + self.counts.sum(axis=1) - 2 * self.counts.diagonal()
        return sorted(np.argsort(-wrong, kind="stable")[:MAX_ROWS].tolist())

    def draw(self, axes: Any) -> None:
        """Colours a cell by its share of the row and writes its count."""
        kept = self.choose_rows()
        counts, names = self.counts[np.ix_(kept, kept)], [self.names[row] for row in kept]
        shares = counts / np.maximum(self.counts[kept].sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", fontsize=7, color=colour)
        axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.set_xlabel("predicted")
        axes.set_ylabel("gold")

    def tabulate(self) -> list[str]:
        """One row per gold name."""
        kept = self.choose_rows()
        names = [escape(self.names[row]) for row in kept]
        rows = [[name, *(f"{self.counts[row, i]:,}" for i in kept)] for name, row in zip(names, kept, strict=True)]
        return format_table([["gold, predicted", *names], *rows], "<" + ">" * len(kept))


@dataclass(frozen=True)
class Reliability(Picture):
    """Accuracy against confidence (Niculescu-Mizil and Caruana 2005), from `lit_mlm.metrics.binning.sum_bins`."""

    title: str
    bins: FloatArray

    def _find_rows(self) -> list[tuple[str, float, float, int]]:
        """Range, mean confidence, accuracy and number of each bin that is not empty."""
        num = len(self.bins)
        return [
            (f"{i / num:.1f} to {(i + 1) / num:.1f}", scores / number, right / number, int(number))
            for i, (number, right, scores) in enumerate(self.bins.tolist())
            if number
        ]

    def draw(self, axes: Any) -> None:
        """Draws bars of accuracy, points at the mean confidence, and the diagonal of a calibrated model."""
        num = len(self.bins)
        number, right, scores = self.bins.T
        is_there = number > 0
        accuracy = right[is_there] / number[is_there]
        places = (np.arange(num) + 0.5) / num
        bars = axes.bar(places[is_there], accuracy, width=0.94 / num, color="tab:blue", alpha=0.45, label="accuracy")
        axes.bar_label(bars, [f"{int(each):,}" for each in number[is_there]], fontsize=7)
        axes.plot(scores[is_there] / number[is_there], accuracy, "o", color="tab:blue", label="mean confidence")
        axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="calibrated")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.3)  # room for the legend
        axes.set_yticks(np.arange(6) / 5)
        axes.set_xlabel(f"confidence (expected calibration error {compute_calibration_error(self.bins):.4f})")
        axes.set_ylabel("accuracy")
        axes.legend(fontsize=7, loc="upper center", ncol=3)

    def tabulate(self) -> list[str]:
        """One row per bin, and the calibration error below."""
        rows = [[name, f"{mean:.4f}", f"{acc:.4f}", f"{number:,}"] for name, mean, acc, number in self._find_rows()]
        table = format_table([["confidence", "mean", "accuracy", "number"], *rows], "<>>>")
        return [*table, "", f"Expected calibration error: {compute_calibration_error(self.bins):.4f}"]


@dataclass(frozen=True)
class Curves(Picture):
    """Precision over recall of each class."""

    title: str
    curves: Mapping[str, tuple[FloatArray, FloatArray]]
    """Recall and precision by threshold, the lowest threshold first."""

    def draw(self, axes: Any) -> None:
        """Draws a line per class."""
        for name, (recall, precision) in self.curves.items():
            axes.plot(recall, precision, marker=".", markersize=3, label=name)
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")
        axes.legend(fontsize=8, loc="lower left")

    def tabulate(self) -> list[str]:
        """Precision and recall at a few thresholds."""
        rows = [["type", "threshold", "precision", "recall"]]
        for name, (recall, precision) in self.curves.items():
            for i in range(0, len(recall) - 1, (len(recall) - 1) // 4):
                threshold = i / (len(recall) - 1)
                rows.append([escape(name), f"{threshold:.2f}", f"{precision[i]:.4f}", f"{recall[i]:.4f}"])
        return format_table(rows, "<>>>")


def render(picture: Picture) -> npt.NDArray[np.uint8] | None:
    """Draws a picture as RGB pixels, shape (height, width, 3); None without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:  # of the extra `plots`
        return None
    figure = Figure(figsize=picture.size, dpi=100)
    axes = figure.add_subplot()
    picture.draw(axes)
    axes.set_title(picture.title, fontsize=10)
    figure.tight_layout()
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
