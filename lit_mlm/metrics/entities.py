"""Metrics of tagged words: entities and word accuracy, as counts that are exact over batches and ranks.

Shapes: C entity types, L labels, S sentences, W words of a sentence.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lit_mlm.batch import NO_DOCUMENT
from lit_mlm.metrics.intervals import estimate_f1_interval
from lit_mlm.metrics.sums import SumMetric
from lit_mlm.text.arrays import FloatArray, IntArray
from lit_mlm.text.tagging.schemes import Scheme, Span, find_spans, find_spans_strict, split_tag

RATES = ("precision", "recall", "f1")


class EntityMetrics(SumMetric):
    """Precision, recall and F1 of entities, as conlleval counts them and strictly, with an interval of F1.

    An entity is correct if its type and both boundaries are. Names ending in ``_strict`` use `find_spans_strict`, the
    others conlleval's `find_spans`. Under DDP each rank must call `update` at least once, if only with empty lists.

    Args:
        labels: the tag of each label id, shape (L,).
        scheme: of the labels.

    Examples:
        >>> metrics = EntityMetrics(["O", "B-PER", "I-PER"], "IOB2")
        >>> metrics.update([np.array([1, 2, 0, 1])], [np.array([1, 2, 0, 0])])
        >>> values = metrics.compute()
        >>> values["precision"], values["recall"], values["accuracy"]
        (0.5, 1.0, 0.75)
    """

    unit_columns = ("document", "correct", "predicted", "gold", "words", "right")

    entities: Tensor
    strict_entities: Tensor
    num_words: Tensor
    num_right: Tensor

    def __init__(self, labels: Sequence[str], scheme: Scheme) -> None:
        super().__init__()
        find_spans_strict(labels, scheme)  # raises for labels outside the scheme
        self.labels, self.scheme = list(labels), scheme
        self.types = list(dict.fromkeys(split_tag(label, scheme)[1] for label in labels if label != "O"))
        for name in ("entities", "strict_entities"):  # columns: correct, predicted, gold
            self.add_state(name, torch.zeros((len(self.types), 3), dtype=torch.int64), dist_reduce_fx="sum")
        for name in ("num_words", "num_right"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(
        self,
        predicted: Sequence[IntArray],
        gold: Sequence[IntArray],
        documents: Sequence[int] | None = None,
        numbers: Sequence[int] | None = None,
    ) -> None:
        """Adds sentences.

        Args:
            predicted: label ids of the words of each sentence, S arrays of shape (W,).
            gold: the same, as annotated.
            documents: number of the document of each sentence, `NO_DOCUMENT` if unknown, as by default.
            numbers: of the sentences in their split, for `collect_units`.
        """
        found, expected = join_sentences(predicted, gold, len(self.labels))
        counts = np.zeros((2, len(self.types), 3), dtype=np.int64)
        sentences = count_words(predicted, gold, documents, numbers, num_more=3)
        for row, pair in enumerate(zip(predicted, gold, strict=True)):
            ours, theirs = ([self.labels[i] for i in ids.tolist()] for ids in pair)
            loose = self._count(find_spans(ours, self.scheme), find_spans(theirs, self.scheme))
            counts[0] += loose
            counts[1] += self._count(find_spans_strict(ours, self.scheme), find_spans_strict(theirs, self.scheme))
            sentences[row, 2:5] = loose.sum(axis=0)
        both = torch.from_numpy(counts).to(self.device)
        self.entities += both[0]
        self.strict_entities += both[1]
        self.num_words += len(expected)
        self.num_right += int((found == expected).sum())
        self.add_units(sentences)

    def compute(self) -> dict[str, Any]:
        """Returns the metrics by name, fractions in [0, 1], where 0 / 0 is 0.

        ``f1_macro`` is the mean over the types in gold or prediction; ``f1_low`` and ``f1_high`` are the 95 % interval
        of ``f1`` (`estimate_f1_interval`) over ``f1_interval_unit``: documents, or sentences where they are unknown or
        all of one document.
        """
        entities, strict = self.entities.cpu().numpy(), self.strict_entities.cpu().numpy()
        total = entities.sum(axis=0)
        metrics: dict[str, Any] = {}
        for suffix, counts in (("", total), ("_strict", strict.sum(axis=0))):
            metrics |= {name + suffix: float(rate) for name, rate in zip(RATES, compute_rates(counts), strict=True)}
        f1 = compute_rates(entities[entities.sum(axis=1) > 0])[2]
        metrics["f1_macro"] = float(f1.mean()) if len(f1) else 0.0
        metrics["f1_interval_unit"], units = group_sentences(self.gather_units()[:, 1:5])
        metrics["f1_low"], metrics["f1_high"] = estimate_f1_interval(units)
        metrics["accuracy"] = int(self.num_right) / max(int(self.num_words), 1)
        metrics["num_words"] = int(self.num_words)
        metrics["num_gold_entities"], metrics["num_predicted_entities"] = int(total[2]), int(total[1])
        return metrics | _tabulate([kind or "_" for kind in self.types], entities, "num_gold")

    def _count(self, predicted: list[Span], gold: list[Span]) -> IntArray:
        """Counts correct, predicted and gold entities of each type, shape (C, 3)."""
        counts = np.zeros((len(self.types), 3), dtype=np.int64)
        for column, spans in enumerate((set(predicted) & set(gold), predicted, gold)):
            for span in spans:
                counts[self.types.index(span.type), column] += 1
        return counts


class TagMetrics(SumMetric):
    """Accuracy of plain tags, such as parts of speech, and precision, recall and F1 of each; labels are by id."""

    unit_columns = ("document", "words", "right")

    tags: Tensor

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__()
        self.labels = list(labels)
        # Columns: correct, predicted, gold.
        self.add_state("tags", torch.zeros((len(self.labels), 3), dtype=torch.int64), dist_reduce_fx="sum")

    def update(
        self,
        predicted: Sequence[IntArray],
        gold: Sequence[IntArray],
        documents: Sequence[int] | None = None,
        numbers: Sequence[int] | None = None,
    ) -> None:
        """Adds sentences, as `EntityMetrics.update` does."""
        found, expected = join_sentences(predicted, gold, len(self.labels))
        columns = (found[found == expected], found, expected)
        counts = [np.bincount(ids, minlength=len(self.labels)) for ids in columns]
        self.tags += torch.from_numpy(np.stack(counts, axis=1)).to(self.device)
        self.add_units(count_words(predicted, gold, documents, numbers))

    def compute(self) -> dict[str, float | int]:
        """Returns the metrics by name, fractions in [0, 1], where 0 / 0 is 0."""
        tags = self.tags.cpu().numpy()
        right, _, num_words = tags.sum(axis=0).tolist()
        metrics = {"accuracy": right / max(num_words, 1), "num_words": num_words}
        return metrics | _tabulate(self.labels, tags, "support")


def count_words(
    predicted: Sequence[IntArray],
    gold: Sequence[IntArray],
    documents: Sequence[int] | None,
    numbers: Sequence[int] | None,
    num_more: int = 0,
) -> IntArray:
    """Returns number, document, `num_more` zeros, words and right words of each sentence, shape (S, 4 + num_more)."""
    rows = np.zeros((len(gold), 4 + num_more), dtype=np.int64)
    rows[:, 0], rows[:, 1] = range(len(gold)) if numbers is None else numbers, NO_DOCUMENT
    if documents is not None:
        rows[:, 1] = documents
    for row, found, expected in zip(rows, predicted, gold, strict=True):
        row[-2:] = len(expected), (found == expected).sum()
    return rows


def group_sentences(sentences: IntArray) -> tuple[str, IntArray]:
    """Groups sentences by their documents, if these are known and several.

    Args:
        sentences: document and counts of each, shape (S, 1 + K).

    Returns:
        The unit, ``document`` or ``sentence``, and the counts of each, shape (U, K).

    Examples:
        >>> group_sentences(np.array([[0, 1, 2], [3, 1, 1], [0, 4, 4]]))
        ('document', array([[5, 6],
               [1, 1]]))
    """
    documents, counts = sentences[:, 0], sentences[:, 1:]
    names, indices = np.unique(documents, return_inverse=True)
    if len(names) < 2 or NO_DOCUMENT in names:
        return "sentence", counts
    units = np.zeros((len(names), counts.shape[1]), dtype=np.int64)
    np.add.at(units, indices, counts)
    return "document", units


def join_sentences(
    predicted: Sequence[IntArray], gold: Sequence[IntArray], num_labels: int
) -> tuple[IntArray, IntArray]:
    """Concatenates predicted and gold label ids of all sentences, after checking lengths and range."""
    if [len(ids) for ids in predicted] != [len(ids) for ids in gold]:
        raise ValueError("prediction and gold differ in the number of sentences, or of words in one")
    empty = np.zeros(0, dtype=np.int64)
    both = np.stack([np.concatenate([empty, *predicted]), np.concatenate([empty, *gold])])
    if both.size and not 0 <= both.min() <= both.max() < num_labels:
        raise ValueError(f"label ids must be in [0, {num_labels}), got {both.min()} to {both.max()}")
    return both[0], both[1]


def compute_rates(counts: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Returns precision, recall and F1 of counts (correct, predicted, gold), shape (..., 3); 0 / 0 is 0.

    Examples:
        >>> [float(rate) for rate in compute_rates(np.array([1, 2, 1]))]
        [0.5, 1.0, 0.6666666666666666]
    """
    right, predicted, gold = np.moveaxis(counts, -1, 0)
    precision = right / np.maximum(predicted, 1)
    recall = right / np.maximum(gold, 1)
    return precision, recall, 2 * right / np.maximum(predicted + gold, 1)


def _tabulate(names: Sequence[str], counts: IntArray, gold_name: str) -> dict[str, float | int]:
    """Names the rates and the gold count of each class, as in ``f1/PER``."""
    table: dict[str, float | int] = {}
    for name, row in zip(names, counts, strict=True):
        table |= {f"{rate}/{name}": float(value) for rate, value in zip(RATES, compute_rates(row), strict=True)}
        table[f"{gold_name}/{name}"] = int(row[2])
    return table
