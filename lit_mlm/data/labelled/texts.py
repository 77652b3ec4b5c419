"""Labelled texts, from files with columns and from the Hub."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import ClassLabel

from lit_mlm.data.reading.files import BadRecordError, OnBad, map_records, refuse
from lit_mlm.data.reading.hub import iterate_rows, load_split
from lit_mlm.data.reading.readers import Row, describe_missing, get_text, read_rows, require_column
from lit_mlm.errors import InputError


@dataclass(frozen=True)
class LabelledText:
    """A text and its labels.

    Attributes:
        columns: its texts, one per column.
        labels: names; one, or any number of several labels; None if unknown.
        place: file, line or row, for messages and predictions.
    """

    columns: tuple[str, ...]
    labels: tuple[str, ...] | None
    place: str


@dataclass(frozen=True)
class Columns:
    """The columns of a record.

    Attributes:
        texts: names of those with text.
        label: name of that with the label, its number, or a list of such.
        names: of the labels, by number; None if numbers are names.
        multi_label: whether a text has a list of labels.
        needs_label: rejects records without a label.
    """

    texts: tuple[str, ...] = ("text",)
    label: str = "label"
    names: Sequence[str] | None = None
    multi_label: bool = False
    needs_label: bool = True

    def read(self, row: Row) -> LabelledText:
        """Makes a text of a record; raises a `BadRecordError` if it is not one.

        >>> Columns(names=["neg", "pos"]).read(Row("a.jsonl, line 1", {"text": "A fine film.", "label": 1})).labels
        ('pos',)
        """
        columns = tuple(str(get_text(row, column)) for column in self.texts)
        value = row.fields.get(self.label)
        if value is None or (value == -1 and self.names is not None):  # the Hub's test splits without labels have -1
            if self.needs_label:
                found = (
                    "no label" if self.label in row.fields else describe_missing(self.label, row.fields, "label_column")
                )
                raise BadRecordError(f"{row.place}: {found}")
            return LabelledText(columns, None, row.place)
        if self.multi_label:
            values = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
            if not isinstance(values, list):
                raise BadRecordError(
                    f"{row.place}: the column {self.label!r} must hold a list of labels, got {value!r:.60}"
                )
        else:
            values = [value]
        return LabelledText(columns, tuple(dict.fromkeys(self._name(row, value) for value in values)), row.place)

    def _name(self, row: Row, value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, int | str) or not str(value).strip():
            advice = "; data.multi_label true reads lists" if isinstance(value, list) else ""
            raise BadRecordError(
                f"{row.place}: expected a label in the column {self.label!r}, got {value!r:.60}{advice}"
            )
        if isinstance(value, str) or self.names is None:
            return str(value).strip()
        if not 0 <= value < len(self.names):
            known = ", ".join(self.names)
            raise BadRecordError(f"{row.place}: the label is {value}, but there are {len(self.names)}: {known}")
        return self.names[value]


def read_labelled(
    path: Path, columns: Columns, encoding: str = "utf-8", on_bad: OnBad = refuse
) -> Iterator[LabelledText]:
    """Yields the texts of a file with columns, as `read_rows` reads it."""
    return map_records(columns.read, read_rows(path, encoding, on_bad=on_bad), on_bad)


def load_labelled(
    dataset: str,
    split: str,
    columns: Columns,
    revision: str | None = None,
    subset: str | None = None,
    on_bad: OnBad = refuse,
) -> Iterator[LabelledText]:
    """Yields the texts of a split on the Hub or of a local copy, which may name its labels; see `load_split`."""
    rows = load_split(dataset, split, revision, subset)
    for column in columns.texts:
        require_column(f"{dataset}, {split}", rows.column_names, column)
    if columns.label in rows.column_names:
        kind = rows.features[columns.label]
        kind = getattr(kind, "feature", kind)
        if isinstance(kind, ClassLabel):
            columns = Columns(columns.texts, columns.label, kind.names, columns.multi_label, columns.needs_label)
    wanted = [name for name in dict.fromkeys((*columns.texts, columns.label)) if name in rows.column_names]
    numbered = enumerate(iterate_rows(rows.select_columns(wanted)), start=1)
    found = (Row(f"{dataset}, {split}, row {number}", fields) for number, fields in numbered)
    return map_records(columns.read, found, on_bad)


def hold_out(
    texts: Sequence[LabelledText], fraction: float, seed: int
) -> tuple[list[LabelledText], list[LabelledText]]:
    """Splits texts at random, whatever their labels.

    Args:
        texts: in order, at least two.
        fraction: that is held out, at least one text, in (0, 1).
        seed: of the choice.

    Returns:
        The rest and what is held out, each in order.
    """
    size = max(1, round(fraction * len(texts)))
    if size >= len(texts):
        raise InputError(f"{len(texts)} texts for training are too few to hold out {size} for validation")
    chosen = set(np.random.default_rng(seed).permutation(len(texts))[:size].tolist())
    parts = [[text for i, text in enumerate(texts) if (i in chosen) is side] for side in (False, True)]
    return parts[0], parts[1]


def hash_labelled(texts: Iterable[LabelledText]) -> str:
    """SHA-256 (hex) of texts and labels."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(json.dumps([text.columns, text.labels]).encode() + b"\n")
    return digest.hexdigest()
