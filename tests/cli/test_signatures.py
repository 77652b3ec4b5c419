"""What is read from the signatures of classes, and from jsonargparse."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple, Protocol, TypedDict

import pytest
from jsonargparse import ArgumentParser
from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger

from lit_mlm.cli.signatures import (
    Option,
    accepts,
    explain_methods,
    explain_value,
    find_classes,
    list_class_options,
    list_entries,
    list_options,
)
from lit_mlm.modules.token_classification import TokenClassification
from lit_mlm.options import Range

Positive = Annotated[int, Range(least=1)]


class Base:
    def __init__(self, size: Positive | None = None, *, name: Literal["a", "b"] = "a") -> None:
        pass


class Leaf(Base):
    def __init__(self, files: list[str], untyped=3, **kwargs: Any) -> None:  # type: ignore[no-untyped-def]
        super().__init__(**kwargs)


@dataclass
class Fields:
    weight: float = 1.0


class Shape(Protocol):
    def area(self) -> float: ...


class Row(NamedTuple):
    text: str


class Keys(TypedDict):
    text: str


class Colour(Enum):
    RED = 1


def test_options_of_a_class_are_those_of_its_bases_too() -> None:
    """Types, names and defaults are read from attributes that jsonargparse and argparse keep to themselves."""
    options = list_class_options(Leaf)
    assert list(options) == ["files", "untyped", "size", "name"]
    assert options["files"] == Option(list[str], is_required=True)
    assert options["name"] == Option(Literal["a", "b"], default="a")
    assert options["size"].hint == Positive | None
    assert accepts(options["untyped"].hint, {"anything": []})


def test_options_of_a_command() -> None:
    parser = ArgumentParser()
    parser.add_class_arguments(Base, "section")
    parser.add_subclass_arguments(Logger, "logger")
    parser.add_argument("--splits", type=str, nargs="+")
    parser.add_argument("--flag", action="store_true")
    options = list_options(parser)
    assert list(options) == ["section", "logger", "splits"]
    assert list(options["section"].hint) == ["size", "name"]
    assert find_classes(options["logger"].hint) == (Logger,)
    assert options["splits"].hint == list[str]


@pytest.mark.parametrize(
    ("hint", "classes"),
    [
        (Logger | Iterable[Logger] | bool | None, (Logger, Logger)),
        (str | Base, (Base,)),
        (Fields, (Fields,)),
        (dict[str, Base], ()),
        (Callable[[str], Base], (Base,)),
        (Shape | Row | Keys | Colour | timedelta | None, ()),
        (Literal["a"] | type[Base] | Any, ()),
    ],
)
def test_classes_whose_objects_are_made_of_options(hint: Any, classes: tuple[type, ...]) -> None:
    assert find_classes(hint) == classes


def test_entries() -> None:
    hint = list[int] | tuple[str, ...] | dict[str, Fields] | None
    assert list_entries(hint) == [int, str]
    assert list_entries(hint, of_mappings=True) == [Fields]


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (int, [3, "3"], ["3.5", "x", True, "null", [3], {"a": 3}]),
        (float, [3, 3.5, "1e-3"], ["x", "true"]),
        (bool | None, [True, "false", None, "null"], ["x", 1]),
        (Literal["warn", 16], ["warn", "16", 16], ["17", "wran"]),
        (list[str] | str | None, ["a", ["a"], None], [["a", 3]]),
        (str | timedelta | dict[str, int], ["x", {"days": 1}], [{"days": "x"}, 3]),
        (Positive, [3, "3"], ["x"]),
        (Callback | bool, [True, "Timer"], [3, "Tmier"]),
        (Colour, ["RED"], ["PINK"]),
    ],
)
def test_values_that_types_accept(hint: Any, good: list[Any], bad: list[Any]) -> None:
    assert [value for value in good if not accepts(hint, value)] == []
    assert [value for value in bad if accepts(hint, value)] == []


@pytest.mark.parametrize(
    ("hint", "value", "fault"),
    [
        (int, "3", ""),
        (int, None, "x is 'null', expected int"),
        (int | None, None, ""),
        (str, 3, "x is '3', expected str; put it in quotes"),
        (Positive, 0, "x must be at least 1, got 0"),
        (Positive | None, "0", "x must be at least 1, got 0"),
        (Literal["add", 1] | bool | None, "ad", "x is 'ad', expected add, 1, bool or null; did you mean add?"),
        (timedelta, "PT30M", "x is 'PT30M', expected timedelta (h:m:s)"),
        (list[Callback] | Callback, 3, "x is '3', expected list[Callback] or Callback"),
        (list[int] | None, [1, "a", "b"], "x has 'a', expected int"),
        (list[int] | None, "a", "x is 'a', expected list[int] or null"),
        (list[Annotated[float, Range(above=0.5)]], 3, "x is '3', expected list[Annotated[float, above 0.5]]"),
        (int, "a" * 99, f"x is '{'a' * 80}...', expected int"),
    ],
)
def test_faults_of_values(hint: Any, value: Any, fault: str) -> None:
    assert explain_value("x", hint, value) == fault


def test_methods_that_their_callers_can_not_call_are_named() -> None:
    class Good(TokenClassification):
        def training_step(self, batch: Any) -> Any:  # type: ignore[override]
            """Lightning passes the index only if it is taken."""

        def on_train_start(self, *args: Any) -> None:
            pass

        def on_train_batch_start(self, batch: Any, index: int, more: int = 3) -> None:
            pass

        def load_tokenizer(self, name: str = "") -> Any:
            pass

    class Bad(Good):
        def make_metrics(self, split: str) -> Any:  # type: ignore[override]
            pass

    libraries = ("lit_mlm", "lightning", "torch")
    assert explain_methods(Good, libraries) == ""
    assert explain_methods(Bad, libraries).endswith("must take (self), like TokenClassification.make_metrics")
