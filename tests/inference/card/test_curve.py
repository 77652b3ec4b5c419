"""The curve as a picture, or as a table without matplotlib."""

import sys
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest

from lit_mlm.inference.card.curve import MAX_ROWS, PICTURE, format_curve, save_curve

HISTORY: list[dict[str, Any]] = [
    {"step": 10 * n, "epoch": n, "train/loss": 3 - n / 50, "val/perplexity": 20.0 - n / 10, "val/loss": 3.0}
    for n in range(100)
]


def test_picture(tmp_path: Path) -> None:
    history = [{"step": 0, "epoch": 0, "val/perplexity": None, "val/loss": float("nan")}, *HISTORY]
    assert save_curve(history, ["val/perplexity", "val/loss"], 40, tmp_path)
    height, width, _ = matplotlib.image.imread(tmp_path / PICTURE).shape
    assert width > 2 * height
    first = (tmp_path / PICTURE).read_bytes()
    save_curve(history, ["val/perplexity", "val/loss"], 40, tmp_path)
    assert (tmp_path / PICTURE).read_bytes() == first


def test_no_picture_of_values_that_are_not_finite(tmp_path: Path) -> None:
    lost = [{"step": n, "epoch": n, "val/loss": float("nan"), "val/perplexity": float("inf")} for n in range(3)]
    assert not save_curve(lost, ["val/perplexity", "val/loss"], 1, tmp_path)
    diverged = [{"step": 0, "epoch": 0, "val/loss": 900.0, "val/perplexity": float("inf")}, *lost]
    assert save_curve(diverged, ["val/perplexity", "val/loss"], 1, tmp_path)


def test_no_picture_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert not save_curve(HISTORY, ["val/perplexity"], 40, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_table_is_short_and_has_the_exported_step() -> None:
    lines = format_curve(HISTORY, ["val/perplexity", "val/loss"], 430)
    assert lines[0] == "| step | epoch | train/loss | val/perplexity | val/loss |"
    assert len(lines) <= MAX_ROWS + 4
    assert lines[2].startswith("| 0 | 0 | 3.000 | 20.00 |")
    assert "| **430** | 43 | 2.140 | 15.70 | 3.000 |" in lines
    assert lines[-1].startswith("| 990 | 99 |")


def test_table_of_values_that_are_not_finite() -> None:
    assert format_curve([{"step": 0, "epoch": 0, "val/loss": float("inf")}] * 2, ["val/loss"], 1)[2].endswith(
        "| not finite |"
    )
