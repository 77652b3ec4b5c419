"""The label set of labelled texts in a fixed order, and the label ids of texts."""

from collections.abc import Iterable, Sequence

import numpy as np

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.data.labelled.texts import LabelledText
from lit_mlm.errors import InputError
from lit_mlm.text.arrays import IntArray


def find_labels(texts: Iterable[LabelledText]) -> list[str]:
    """The labels of texts, sorted: numbers by value, names alphabetically.

    >>> find_labels([LabelledText(("Fine.",), ("pos",), "a"), LabelledText(("Dull.",), ("neg",), "b")])
    ['neg', 'pos']
    """
    names = {name for text in texts for name in text.labels or ()}
    return sorted(names, key=lambda name: (int(name), name)) if all(map(str.isdecimal, names)) else sorted(names)


def number_labels(texts: Sequence[LabelledText], labels: Sequence[str], multi_label: bool, owner: str) -> IntArray:
    """The labels of texts as numbers, `IGNORE_INDEX` where they are unknown.

    Args:
        texts: of a split, N.
        labels: names, by id, L.
        multi_label: whether a text has any number of labels.
        owner: of the labels, for the message about an unknown one.

    Returns:
        Label ids, shape (N,), or 0 and 1, shape (N, L).
    """
    ids = {label: i for i, label in enumerate(labels)}
    for text in texts:
        for name in text.labels or ():
            if name not in ids:
                raise InputError(
                    f"{text.place}: label {name!r} is not among the labels of {owner}: {', '.join(labels)}"
                )
    if not multi_label:
        return np.array(
            [IGNORE_INDEX if text.labels is None else ids[text.labels[0]] for text in texts], dtype=np.int64
        )
    numbers = np.zeros((len(texts), len(labels)), dtype=np.int64)
    for row, text in zip(numbers, texts, strict=True):
        row[[ids[name] for name in text.labels or ()]] = 1
        if text.labels is None:
            row[:] = IGNORE_INDEX
    return numbers
