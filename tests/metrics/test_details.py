"""Details of evaluations are the same for any batches, and agree with the metrics."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lit_mlm.metrics.binning import accumulate_thresholds
from lit_mlm.metrics.details import MaskedTokenDetails, TaggedWordDetails, TokenDetails, WordDetails, compute_details
from lit_mlm.metrics.entities import EntityMetrics, TagMetrics
from lit_mlm.metrics.sums import MaskedTokenMetrics

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_masked_tokens(dtype: torch.dtype) -> None:
    """Against a softmax over all logits; two metrics that are added up are one."""
    torch.manual_seed(0)
    logits, labels = (3 * torch.randn(60, 12)).to(dtype), torch.randint(12, (60,))
    metrics = [MaskedTokenMetrics(MaskedTokenDetails(12)) for _ in range(2)]
    metrics[0].update(logits[:13], labels[:13])
    metrics[0].update(logits[:0], labels[:0])
    metrics[1].update(logits[13:], labels[13:])
    found = compute_details(metrics)
    assert isinstance(found, TokenDetails)
    nats = F.cross_entropy(logits.double(), labels, reduction="none")
    for label in range(12):
        expected = [int((labels == label).sum()), float(nats[labels == label].sum())]
        assert found.tokens[label] == pytest.approx(expected, rel=1e-5)
    best = logits.double().softmax(dim=-1).max(dim=-1)
    number, right, scores = found.calibration.sum(axis=0)
    assert (number, right) == (60, (best.indices == labels).sum())
    assert scores == pytest.approx(float(best.values.sum()), rel=1e-5)
    total = metrics[0].compute()["loss"] * 13 + metrics[1].compute()["loss"] * 47
    assert found.tokens.sum(axis=0) == pytest.approx([60, total])
    metrics[0].reset()
    metrics[0].update(logits[:0], labels[:0])
    again = compute_details(metrics[:1])
    assert isinstance(again, TokenDetails)
    assert not again.tokens.any()
    assert compute_details([MaskedTokenMetrics()]) is None


def make_sentences() -> list[tuple[Any, Any, Any]]:
    generator = np.random.default_rng(0)
    sizes = generator.integers(1, 12, 40)
    gold = [generator.integers(0, 5, size) for size in sizes]
    predicted = [np.where(generator.random(len(ids)) < 0.7, ids, generator.integers(0, 5, len(ids))) for ids in gold]
    scores = [generator.random(size).astype(np.float32) for size in sizes]
    return list(zip(predicted, gold, scores, strict=True))


@pytest.mark.parametrize("scheme", ["IOB2", None])
def test_tagged_words(scheme: Any) -> None:
    """At threshold 0, precision and recall of each class are those of the metrics."""
    sentences = make_sentences()
    parts = [TaggedWordDetails(LABELS, scheme) for _ in range(3)]
    for part, chosen in zip(parts, (sentences[:1], sentences[1:25], sentences[25:]), strict=True):
        part.update(*map(list, zip(*chosen, strict=True)))
    parts[0].update([], [], [])
    whole = TaggedWordDetails(LABELS, scheme)
    whole.update(*map(list, zip(*sentences, strict=True)))

    class Holder(torch.nn.Module):
        def __init__(self, details: TaggedWordDetails) -> None:
            super().__init__()
            self.details = details

    found: Any = compute_details([Holder(part) for part in parts])  # type: ignore[misc]
    expected = whole.compute()
    assert isinstance(found, WordDetails)
    for name in ("words", "thresholds", "num_gold"):
        assert (getattr(found, name) == getattr(expected, name)).all()
    assert found.calibration == pytest.approx(expected.calibration)

    metrics = TagMetrics(LABELS) if scheme is None else EntityMetrics(LABELS, scheme)
    metrics.update([ids for ids, _, _ in sentences], [ids for _, ids, _ in sentences])
    values = metrics.compute()
    right, wrong = accumulate_thresholds(found.thresholds)
    for i, name in enumerate(found.classes):
        assert right[i, 0] / (right[i, 0] + wrong[i, 0]) == values[f"precision/{name}"]
        assert right[i, 0] / found.num_gold[i] == values[f"recall/{name}"]
    assert found.words.diagonal().sum() / found.words.sum() == values["accuracy"]
    assert found.calibration[:, 0].sum() == values["num_words"]
    if scheme is not None:
        assert found.entities is not None
        assert (found.entities[:-1].sum(axis=1) == found.num_gold).all()
        assert found.entities[:, :-1].sum() == values["num_predicted_entities"]
        assert (found.entities.diagonal()[:-1] == right[:, 0]).all()
    else:
        assert found.entities is None
