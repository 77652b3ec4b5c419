"""What loggers show of an evaluation beside its metrics, as sums that are exact over batches and ranks.

Shapes: N scored positions, V vocabulary; L labels, C classes (entity types, or labels without a scheme), W words of a
sentence; S texts of a batch.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lit_mlm.metrics.binning import (
    NUM_BINS,
    NUM_THRESHOLDS,
    count_pairs,
    count_span_pairs,
    count_thresholds,
    sum_bins,
)
from lit_mlm.metrics.sums import SumMetric, add_up
from lit_mlm.text.arrays import Float32Array, FloatArray, IntArray
from lit_mlm.text.tagging.schemes import Scheme, Span, find_spans, split_tag


class TokenDetails(NamedTuple):
    """Of masked tokens.

    Attributes:
        tokens: by the id of the masked token, their number and the sum of their losses in nats, shape (V, 2).
        calibration: of the most probable tokens, as in `sum_bins`.
    """

    tokens: FloatArray
    calibration: FloatArray


class WordDetails(NamedTuple):
    """Of tagged words.

    Attributes:
        labels: by id.
        classes: entity types, or the labels without a scheme.
        words: words by gold and predicted label, shape (L, L).
        entities: entities by gold and predicted type, as in `count_span_pairs`; None without a scheme.
        calibration: of the words' labels, as in `sum_bins`.
        thresholds: of each class, as in `count_thresholds`; an entity's score is the mean of its words'.
        num_gold: of each class, shape (C,).
    """

    labels: Sequence[str]
    classes: Sequence[str]
    words: IntArray
    entities: IntArray | None
    calibration: FloatArray
    thresholds: IntArray
    num_gold: IntArray


class TextDetails(NamedTuple):
    """Of labelled texts.

    Attributes:
        classes: labels by id.
        pairs: texts by gold and predicted label, shape (L, L); None with several labels per text.
        calibration: of the predicted labels, as in `sum_bins`.
        thresholds: of each label on all texts, as in `count_thresholds`.
        num_gold: texts of each label, shape (L,).
    """

    classes: Sequence[str]
    pairs: IntArray | None
    calibration: FloatArray
    thresholds: IntArray
    num_gold: IntArray


Details = TokenDetails | WordDetails | TextDetails


class MaskedTokenDetails(SumMetric):
    """Sums `TokenDetails`; a vocabulary has `vocab_size` ids."""

    tokens: Tensor
    calibration: Tensor

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        for name, shape in (("tokens", (vocab_size, 2)), ("calibration", (NUM_BINS, 3))):
            self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, labels: Tensor, nats: Tensor, scores: Tensor, is_right: Tensor) -> None:
        """Adds scored positions: target ids, losses, and the probability and rightness of the best token, each (N,)."""
        self.tokens.index_add_(0, labels, torch.stack([torch.ones_like(nats), nats], dim=1).double())
        self.calibration += sum_bins(scores, is_right)

    def compute(self) -> TokenDetails:
        """Returns the sums as arrays."""
        return TokenDetails(self.tokens.cpu().numpy(), self.calibration.cpu().numpy())


class TaggedWordDetails(SumMetric):
    """Sums `WordDetails`; labels are by id, `scheme` is None for plain tags."""

    words: Tensor
    entities: Tensor
    calibration: Tensor
    thresholds: Tensor
    num_gold: Tensor

    def __init__(self, labels: Sequence[str], scheme: Scheme | None) -> None:
        super().__init__()
        self.labels, self.scheme = list(labels), scheme
        types = (split_tag(label, scheme)[1] for label in labels if label != "O") if scheme else labels
        self.classes = list(dict.fromkeys(types))
        num, num_labels = len(self.classes), len(self.labels)
        shapes = {"words": (num_labels, num_labels), "entities": (num + 1, num + 1), "num_gold": (num,)}
        for name, shape in (shapes | {"thresholds": (num, NUM_THRESHOLDS, 2)}).items():
            self.add_state(name, torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("calibration", torch.zeros((NUM_BINS, 3), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predicted: Sequence[IntArray], gold: Sequence[IntArray], scores: Sequence[Float32Array]) -> None:
        """Adds sentences: predicted and gold label ids of their words, and the predicted labels' probabilities (W,)."""
        if not len(gold):
            return
        found, expected, confidence = np.concatenate(predicted), np.concatenate(gold), np.concatenate(scores)
        self._add("words", count_pairs(expected, found, len(self.labels)))
        is_right = torch.from_numpy(found == expected)
        self.calibration += sum_bins(torch.from_numpy(confidence), is_right).to(self.device)
        if self.scheme is None:
            self._add("num_gold", np.bincount(expected, minlength=len(self.labels)))
            units = zip(found.tolist(), confidence.tolist(), is_right.tolist(), strict=True)
            self._add_thresholds(list(units))
        else:
            self._add_entities(list(zip(predicted, gold, scores, strict=True)), self.scheme)

    def compute(self) -> WordDetails:
        """Returns the sums as arrays."""
        names = "words", "entities", "calibration", "thresholds", "num_gold"
        words, entities, calibration, thresholds, num_gold = (getattr(self, name).cpu().numpy() for name in names)
        pairs = None if self.scheme is None else entities
        return WordDetails(self.labels, self.classes, words, pairs, calibration, thresholds, num_gold)

    def _add_entities(self, sentences: Sequence[tuple[IntArray, IntArray, Float32Array]], scheme: Scheme) -> None:
        pairs, units, gold_types = np.zeros(self.entities.shape, dtype=np.int64), [], []
        for found, expected, scores in sentences:
            ours, theirs = (self._find_spans(ids, scheme) for ids in (found, expected))
            pairs += count_span_pairs(ours, theirs, self.classes)
            gold_types += [self.classes.index(span.type) for span in theirs]
            right = set(theirs)
            for span in ours:
                score = min(1.0, float(scores[span.start : span.end].mean(dtype=np.float64)))
                units.append((self.classes.index(span.type), score, span in right))
        self._add("entities", pairs)
        self._add("num_gold", np.bincount(gold_types, minlength=len(self.classes)))
        self._add_thresholds(units)

    def _find_spans(self, ids: IntArray, scheme: Scheme) -> list[Span]:
        return find_spans([self.labels[i] for i in ids.tolist()], scheme)

    def _add_thresholds(self, units: Sequence[tuple[int, float, bool]]) -> None:
        """Adds predicted units: class, score, and whether it is right."""
        counts = np.zeros(self.thresholds.shape, dtype=np.int64)
        for number in {number for number, _, _ in units}:
            own = [(score, is_right) for each, score, is_right in units if each == number]
            counts[number] = count_thresholds(*map(list, zip(*own, strict=True)))
        self._add("thresholds", counts)

    def _add(self, name: str, counts: IntArray) -> None:
        state: Tensor = getattr(self, name)
        state += torch.from_numpy(counts.astype(np.int64)).to(self.device)


class LabelledTextDetails(SumMetric):
    """Sums `TextDetails`; labels are by id."""

    pairs: Tensor
    calibration: Tensor
    thresholds: Tensor
    num_gold: Tensor

    def __init__(self, labels: Sequence[str], multi_label: bool) -> None:
        super().__init__()
        self.labels, self.multi_label, num = list(labels), multi_label, len(labels)
        for name, shape in {"pairs": (num, num), "thresholds": (num, NUM_THRESHOLDS, 2), "num_gold": (num,)}.items():
            self.add_state(name, torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("calibration", torch.zeros((NUM_BINS, 3), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, probs: Tensor, found: Tensor, gold: Tensor) -> None:
        """Adds texts: the probability of each label, and whether a text is given it, and has it, shape (S, L) each."""
        self.calibration += sum_bins(probs[found], gold[found])
        self.num_gold += gold.sum(dim=0)
        if not self.multi_label:
            self.pairs += (gold.double().T @ found.double()).long()  # GPUs have no product of integers
        scores, is_right = probs.cpu().numpy(), gold.cpu().numpy()
        counts = [count_thresholds(scores[:, i], is_right[:, i]) for i in range(len(self.labels))]
        self.thresholds += torch.from_numpy(np.stack(counts)).to(self.device)

    def compute(self) -> TextDetails:
        """Returns the sums as arrays."""
        names = "pairs", "calibration", "thresholds", "num_gold"
        pairs, *others = (getattr(self, name).cpu().numpy() for name in names)
        return TextDetails(self.labels, None if self.multi_label else pairs, *others)


def compute_details(metrics: Sequence[SumMetric]) -> Details | None:
    """Returns the details of metrics of one kind, summed; None if they have none. A collective call."""
    found = [each for each in (getattr(metric, "details", None) for metric in metrics) if isinstance(each, SumMetric)]
    details: Details | None = add_up(found).compute() if found else None
    return details
