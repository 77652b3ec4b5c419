"""Metrics of tagged words: entities that were found, and words with the right tag.

Counts are sums, exact over batches and ranks. Shapes: T types of entities, L labels, S sentences, W words of one.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lit_mlm.metrics.sums import SumMetric
from lit_mlm.text.blocks import IntArray
from lit_mlm.text.tagging.schemes import Scheme, Span, find_spans, find_spans_strict, split_tag

FloatArray = npt.NDArray[np.float64]


class EntityMetrics(SumMetric):
    """Precision, recall and F1 of entities, as conlleval counts them and strictly, with an interval of F1.

    An entity is right if its type and both of its boundaries are. Figures without a name behind them are conlleval's,
    `find_spans`; those of `find_spans_strict` end in ``_strict``. Under DDP each rank must call `update` at least once,
    if only with empty lists.

    Args:
        labels: the tag of each label id, shape (L,).
        scheme: of the labels.

    Raises:
        InputError: if a label is no tag of the scheme.
    """

    entities: Tensor
    strict_entities: Tensor
    num_words: Tensor
    num_right: Tensor
    sentences: list[Tensor]

    def __init__(self, labels: Sequence[str], scheme: Scheme) -> None:
        super().__init__()
        find_spans_strict(labels, scheme)  # raises where a label is none of the scheme's
        self.labels, self.scheme = list(labels), scheme
        self.types = list(dict.fromkeys(split_tag(label)[1] for label in labels if label != "O"))
        for name in ("entities", "strict_entities"):  # columns: right, predicted, gold
            self.add_state(name, torch.zeros((len(self.types), 3), dtype=torch.int64), dist_reduce_fx="sum")
        for name in ("num_words", "num_right"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("sentences", [], dist_reduce_fx="cat")  # columns as above, a row for each sentence

    def update(self, predicted: Sequence[IntArray], gold: Sequence[IntArray]) -> None:
        """Adds sentences, none of them or more.

        Args:
            predicted: label ids of the words of each sentence, S arrays of shape (W,).
            gold: the same, as they should be.

        Raises:
            ValueError: if the two differ in length, or an id is that of no label.
        """
        found, expected = join_sentences(predicted, gold, len(self.labels))
        counts = np.zeros((2, len(self.types), 3), dtype=np.int64)
        sentences = np.zeros((len(gold), 3), dtype=np.int64)
        for row, pair in enumerate(zip(predicted, gold, strict=True)):
            ours, theirs = ([self.labels[i] for i in ids.tolist()] for ids in pair)
            loose = self._count(find_spans(ours), find_spans(theirs))
            counts[0] += loose
            counts[1] += self._count(find_spans_strict(ours, self.scheme), find_spans_strict(theirs, self.scheme))
            sentences[row] = loose.sum(axis=0)
        both = torch.from_numpy(counts).to(self.device)
        self.entities += both[0]
        self.strict_entities += both[1]
        self.num_words += len(expected)
        self.num_right += int((found == expected).sum())
        self.sentences.append(torch.from_numpy(sentences).to(self.device))

    def compute(self) -> dict[str, float | int]:
        """The figures by name, shares between 0 and 1.

        A share of nothing is 0. ``f1_macro`` is the mean over the types that are in gold or prediction; ``f1_low`` and
        ``f1_high`` are the ends of the 95 % interval of ``f1``, see `bootstrap_f1`.
        """
        entities, strict = self.entities.cpu().numpy(), self.strict_entities.cpu().numpy()
        total = entities.sum(axis=0)
        figures: dict[str, float | int] = {}
        for suffix, counts in (("", total), ("_strict", strict.sum(axis=0))):
            for name, value in zip(("precision", "recall", "f1"), compute_rates(counts), strict=True):
                figures[name + suffix] = float(value)
        rates = compute_rates(entities)
        is_there = entities.sum(axis=1) > 0
        figures["f1_macro"] = float(rates[2][is_there].mean()) if is_there.any() else 0.0
        figures["f1_low"], figures["f1_high"] = bootstrap_f1(self._gather_sentences())
        figures["accuracy"] = int(self.num_right) / max(int(self.num_words), 1)
        figures["num_words"] = int(self.num_words)
        figures["num_gold_entities"], figures["num_predicted_entities"] = int(total[2]), int(total[1])
        for i, kind in enumerate(self.types):
            for name, values in zip(("precision", "recall", "f1"), rates, strict=True):
                figures[f"{name}/{kind or '_'}"] = float(values[i])
            figures[f"num_gold/{kind or '_'}"] = int(entities[i, 2])
        return figures

    def _count(self, predicted: list[Span], gold: list[Span]) -> IntArray:
        """How many entities of each type are right, predicted and gold, shape (T, 3)."""
        counts = np.zeros((len(self.types), 3), dtype=np.int64)
        for column, spans in enumerate((set(predicted) & set(gold), predicted, gold)):
            for span in spans:
                counts[self.types.index(span.type), column] += 1
        return counts

    def _gather_sentences(self) -> IntArray:
        """Right, predicted and gold entities of each sentence, shape (S, 3)."""
        parts = self.sentences
        if isinstance(parts, Tensor):  # what the ranks' lists are reduced to
            parts = [parts]
        return torch.cat([torch.zeros((0, 3), dtype=torch.int64, device=self.device), *parts]).cpu().numpy()


class TagMetrics(SumMetric):
    """Accuracy of plain tags, such as parts of speech, and a table by tag.

    Args:
        labels: the tag of each label id, shape (L,).
    """

    tags: Tensor

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__()
        self.labels = list(labels)
        # Columns: right, predicted, gold.
        self.add_state("tags", torch.zeros((len(self.labels), 3), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predicted: Sequence[IntArray], gold: Sequence[IntArray]) -> None:
        """Adds sentences, as `EntityMetrics.update` does."""
        found, expected = join_sentences(predicted, gold, len(self.labels))
        columns = (found[found == expected], found, expected)
        counts = [np.bincount(ids, minlength=len(self.labels)) for ids in columns]
        self.tags += torch.from_numpy(np.stack(counts, axis=1)).to(self.device)

    def compute(self) -> dict[str, float | int]:
        """The figures by name, shares between 0 and 1; a share of nothing is 0."""
        tags = self.tags.cpu().numpy()
        right, _, num_words = tags.sum(axis=0).tolist()
        figures: dict[str, float | int] = {"accuracy": right / max(num_words, 1), "num_words": num_words}
        rates = compute_rates(tags)
        for i, label in enumerate(self.labels):
            for name, values in zip(("precision", "recall", "f1"), rates, strict=True):
                figures[f"{name}/{label}"] = float(values[i])
            figures[f"support/{label}"] = int(tags[i, 2])
        return figures


def join_sentences(
    predicted: Sequence[IntArray], gold: Sequence[IntArray], num_labels: int
) -> tuple[IntArray, IntArray]:
    """The words of all sentences in a row, predicted and gold.

    Raises:
        ValueError: if the two differ in length, or an id is that of no label.
    """
    if [len(ids) for ids in predicted] != [len(ids) for ids in gold]:
        raise ValueError("prediction and gold differ in the number of sentences, or of words in one")
    empty = np.zeros(0, dtype=np.int64)
    both = np.stack([np.concatenate([empty, *predicted]), np.concatenate([empty, *gold])])
    if both.size and not 0 <= both.min() <= both.max() < num_labels:
        raise ValueError(f"label ids must be in [0, {num_labels}), got {both.min()} to {both.max()}")
    return both[0], both[1]


def compute_rates(counts: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Precision, recall and F1 of counts (right, predicted, gold), shape (..., 3); a share of nothing is 0."""
    right, predicted, gold = np.moveaxis(counts, -1, 0)
    precision = right / np.maximum(predicted, 1)
    recall = right / np.maximum(gold, 1)
    return precision, recall, 2 * right / np.maximum(predicted + gold, 1)


def bootstrap_f1(
    sentences: IntArray, confidence: float = 0.95, num_resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """The percentile bootstrap's interval of F1 over sentences (Efron 1979, "Bootstrap methods").

    Sentences with the same counts are the same to F1, so a resample is how often each kind of them is drawn. Kinds are
    sorted, and the interval doesn't depend on the order of the sentences.

    Args:
        sentences: right, predicted and gold entities of each sentence, shape (S, 3).
        confidence: share of the resamples within the interval, between 0 and 1.
        num_resamples: how often S sentences are drawn from the S, with replacement.
        seed: of the draws.

    Returns:
        The ends of the interval; both 0 without sentences.
    """
    if len(sentences) == 0:
        return 0.0, 0.0
    kinds, numbers = np.unique(sentences, axis=0, return_counts=True)
    draws = np.random.default_rng(seed).multinomial(len(sentences), numbers / len(sentences), size=num_resamples)
    low, high = np.quantile(compute_rates(draws @ kinds)[2], [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
