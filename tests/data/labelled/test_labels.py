"""Label sets and label ids."""

import pytest

from lit_mlm.data.labelled.labels import find_labels, number_labels
from lit_mlm.data.labelled.texts import LabelledText
from lit_mlm.errors import InputError


def make(*labels: tuple[str, ...] | None) -> list[LabelledText]:
    return [LabelledText(("text",), each, f"a.csv, line {i}") for i, each in enumerate(labels)]


def test_labels_are_sorted_as_numbers_or_names() -> None:
    assert find_labels(make(("10",), ("9",), ("2",))) == ["2", "9", "10"]
    assert find_labels(make(("pos",), ("neg",), None, ("10", "9"))) == ["10", "9", "neg", "pos"]


def test_numbers() -> None:
    assert number_labels(make(("b",), None, ("a",)), ["a", "b"], False, "x").tolist() == [1, -100, 0]
    assert number_labels(make(("b", "a"), None, ()), ["a", "b"], True, "x").tolist() == [[1, 1], [-100, -100], [0, 0]]
    with pytest.raises(InputError, match=r"a.csv, line 0: label 'c' is not among the labels of the model: a, b"):
        number_labels(make(("c",)), ["a", "b"], False, "the model")
