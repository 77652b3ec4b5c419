"""The units of an evaluation: the same for any batches and metrics that they are spread over."""

from typing import Any

import numpy as np
import torch

from lit_mlm.metrics.sums import MaskedTokenMetrics, add_up
from lit_mlm.modules.units import collect_units


def fill(units: Any, seed: int, sizes: tuple[int, ...] = (60,)) -> list[MaskedTokenMetrics]:
    """One metric for each of `sizes` scored tokens, the last one without any."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(len(units), 12, generator=generator)
    labels = torch.randint(12, (len(units),), generator=generator)
    metrics, start = [], 0
    for size in (*sizes, 0):
        part = slice(start, start + size)
        metrics.append(MaskedTokenMetrics())
        metrics[-1].update(logits[part], labels[part], torch.as_tensor(units)[part])
        start += size
    return metrics


def test_units_add_up_over_batches_and_to_the_metrics() -> None:
    units = np.random.default_rng(0).integers(0, 7, 60) * 3
    whole, parts = fill(units, 1)[0], add_up(fill(units, 1, (10, 1, 29, 20)))
    found, expected = parts.collect_units(), whole.collect_units()
    assert found["unit"].tolist() == sorted(set(units.tolist()))
    for name in ("nats", "scored", "right"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-14)
    figures = whole.compute()
    assert expected["nats"].sum() / expected["scored"].sum() == torch.tensor(figures["loss"], dtype=torch.float64)
    assert expected["right"].sum() == round(figures["top1_accuracy"] * 60)
    assert (expected["scored"] == np.bincount(units)[expected["unit"]]).all()
    parts.units = torch.cat(parts.units)  # type: ignore[assignment]  # as after the ranks' reduction
    assert parts.collect_units()["scored"].tolist() == expected["scored"].tolist()


class Sets:
    """Two sets; documents of which one was not scored, and one has no text."""

    def measure_units(self, name: str) -> tuple[str, dict[str, Any]]:
        size = {"val/a": 3, "val/b": 5}[name]
        return "document", {"tokens": np.arange(size), "bytes": 4 * np.arange(size)}


def test_sets_have_units_of_their_own() -> None:
    metrics = {"val/a": fill([2, 2, 2], 0, (3,))[0], "val/b": fill([1, 2, 4], 1, (3,))[0]}
    kind, found = collect_units(metrics, Sets())
    assert kind == "document"
    assert found["unit"].tolist() == [1, 2, *(number + 2**32 for number in (1, 2, 3, 4))]
    assert found["scored"].tolist() == [0, 3, 1, 1, 0, 1]
    assert found["bytes"].tolist() == [4, 8, 4, 8, 12, 16]
    kind, found = collect_units(metrics, None)
    assert found["unit"].tolist() == [2, *(number + 2**32 for number in (1, 2, 4))]
    assert list(found) == ["unit", "nats", "scored", "right"]


def test_nothing_without_units() -> None:
    metric = MaskedTokenMetrics()
    metric.update(torch.zeros(2, 8), torch.tensor([0, 5]))
    assert collect_units({"val": metric}, Sets())[1] == {}
    assert collect_units({}, None)[1] == {}
