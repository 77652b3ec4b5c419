"""Each kind of picture is drawn, and written as a table where matplotlib is missing."""

import sys

import numpy as np
import pytest

from lit_mlm.inference.pictures.drawing import MAX_ROWS, Bars, Curves, Matrix, Picture, Reliability, render

PICTURES: list[Picture] = [
    Bars("Loss", "part", "nats", ["start", "a|b"], [1.5, 2.0], [10, 1200]),
    Matrix("Tags", ["O", "B-PER"], np.array([[5, 1], [0, 2]])),
    Reliability("Reliability", np.array([[0, 0, 0], [4, 3, 3.6]])),
    Curves("Curves", {"PER": (np.linspace(1, 0, 101), np.linspace(0.5, 1, 101))}),
]


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: type(picture).__name__)
def test_pictures_are_drawn_or_tabulated(picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    pixels = render(picture)
    assert pixels is not None
    assert pixels.dtype == np.uint8
    assert pixels.shape == (round(picture.size[1] * 100), round(picture.size[0] * 100), 3)
    assert pixels.std() > 5
    for name in ("matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    assert render(picture) is None
    header, rule, *rows = [line for line in picture.tabulate() if line.startswith("|")]
    assert rows
    assert header.count("|") == rule.count("|")


def test_tables_have_the_numbers() -> None:
    bars, matrix, reliability, curves = (picture.tabulate() for picture in PICTURES)
    assert bars[-1] == r"| a\|b | 2 | 1,200 |"
    assert matrix[-1] == "| B-PER | 0 | 2 |"
    assert reliability[2:] == [
        "| 0.5 to 1.0 | 0.9000 | 0.7500 | 4 |",
        "",
        "Expected calibration error: 0.1500",
    ]
    assert curves[2] == "| PER | 0.00 | 0.5000 | 1.0000 |"


def test_large_matrices_show_the_most_confused() -> None:
    counts = np.diag(np.full(40, 100))
    counts[3, 39] = 7
    names = [f"T{i}" for i in range(40)]
    matrix = Matrix("Tags", names, counts)
    kept = matrix.choose_rows()
    assert len(kept) == MAX_ROWS
    assert {3, 39} <= set(kept)
    assert len(matrix.tabulate()) == MAX_ROWS + 2
