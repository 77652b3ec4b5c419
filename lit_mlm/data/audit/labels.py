"""Audits the labels of texts."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from datasets import Dataset

from lit_mlm.data.reading.documents import PLACE, TEXT

LABELS = "labels"
"""The column with the list of labels of a text."""


def audit_labels(splits: Mapping[str, Dataset], num_examples: int) -> dict[str, Any]:
    """Counts labels by split, and finds texts that repeat an earlier one, in any split, with other labels.

    Args:
        splits: texts by split, with the columns ``text``, ``place`` and `LABELS`.
        num_examples: maximum number of repeated texts to list.

    Returns:
        ``labels`` by split, and ``inconsistent_texts``.
    """
    firsts: dict[str, tuple[list[str], str]] = {}
    counts: dict[str, dict[str, int]] = {}
    found = []
    for split, texts in splits.items():
        counter: Counter[str] = Counter()
        for row in texts:
            labels = sorted(row[LABELS])
            counter.update(labels)
            first, place = firsts.setdefault(" ".join(row[TEXT].split()), (labels, row[PLACE]))
            if first != labels:
                found.append({"first": place, "second": row[PLACE]})
        counts[split] = dict(sorted(counter.items()))
    return {"labels": counts, "inconsistent_texts": {"num": len(found), "examples": found[:num_examples]}}
