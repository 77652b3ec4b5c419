"""Metrics against torchmetrics and scikit-learn, over any batches."""

import math
import pickle
from multiprocessing.reduction import ForkingPickler

import pytest
import torch
from scipy import stats
from torch import Tensor
from torchmetrics.text import Perplexity

from lit_mlm.metrics.sums import MaskedTokenMetrics, MeanLoss, add_up, estimate_interval, exponential


def make_scores(num: int = 500, vocab: int = 50) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(num, vocab, generator=generator), torch.randint(0, vocab, (num,), generator=generator)


@pytest.mark.parametrize("size", [1, 7, 64, 500])
def test_figures_equal_references_for_any_batch_size(size: int) -> None:
    logits, labels = make_scores()
    metrics = MaskedTokenMetrics()
    for part in torch.arange(len(labels)).split(size):
        metrics.update(logits[part], labels[part])
    figures = metrics.compute()
    reference = Perplexity()
    reference.update(logits.double()[None], labels[None])
    assert figures["perplexity"] == pytest.approx(float(reference.compute()), rel=1e-6)
    assert figures["loss"] == pytest.approx(math.log(figures["perplexity"]), rel=1e-12)
    order = logits.argsort(dim=-1, descending=True)
    ranks = (order == labels[:, None]).nonzero()[:, 1]
    assert figures["top1_accuracy"] == float((ranks == 0).double().mean())
    assert figures["top5_accuracy"] == float((ranks < 5).double().mean())
    assert figures["num_scored_tokens"] == 500


def test_batch_mean_is_what_the_recipes_print() -> None:
    logits, labels = make_scores(12)
    metrics = MaskedTokenMetrics()
    losses = []
    for part in torch.arange(12).split([1, 3, 8]):
        metrics.update(logits[part], labels[part])
        losses.append(float(torch.nn.functional.cross_entropy(logits[part], labels[part])))
    figures = metrics.compute()
    assert figures["perplexity_batch_mean"] == pytest.approx(math.exp(sum(losses) / 3), rel=1e-6)
    assert abs(figures["perplexity_batch_mean"] / figures["perplexity"] - 1) > 0.01


def test_batch_without_masked_tokens_adds_nothing() -> None:
    logits, labels = make_scores()
    one, two = MaskedTokenMetrics(), MaskedTokenMetrics()
    one.update(logits, labels)
    for part in (slice(0, 200), slice(0, 0), slice(200, 500)):
        two.update(logits[part], labels[part])
    one.batch_means, one.num_batches = two.batch_means, two.num_batches
    assert two.num_batches == 2
    assert one.compute() == pytest.approx(two.compute())


def test_empty_evaluation_is_an_error() -> None:
    metrics = MaskedTokenMetrics()
    metrics.update(torch.empty(0, 50), torch.empty(0, dtype=torch.int64))
    with pytest.raises(ValueError, match="scored no token"):
        metrics.compute()


def test_low_precision_logits_are_summed_in_full() -> None:
    logits, labels = make_scores()
    logits = logits.bfloat16()
    metrics, reference = MaskedTokenMetrics(), MaskedTokenMetrics()
    metrics.update(logits, labels)
    reference.update(logits.float(), labels)
    assert metrics.compute() == reference.compute()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sums_stay_exact_when_the_net_is_cast(dtype: torch.dtype) -> None:
    logits, labels = make_scores()
    metrics, reference, mean = MaskedTokenMetrics(), MaskedTokenMetrics(), MeanLoss()
    reference.update(logits, labels)
    metrics.update(logits, labels)
    torch.nn.ModuleList([metrics, mean]).to(dtype).half().bfloat16()
    assert metrics.compute() == reference.compute()
    metrics.reset()
    assert metrics.nats.dtype == mean.nats.dtype == torch.float64


def test_infinite_perplexity() -> None:
    assert exponential(1e4) == math.inf
    assert exponential(1.0) == math.e


def test_mean_loss_weights_by_tokens() -> None:
    loss = MeanLoss()
    loss.update(torch.tensor(6.0, requires_grad=True), torch.tensor(2))
    loss.update(torch.tensor(1.0), 8)
    assert loss.compute() == 0.7


@pytest.mark.parametrize("samples", [[1.0, 2.0], [2.5, 2.7, 2.4, 2.6, 2.55]])
@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_interval_equals_scipy_s(samples: list[float], confidence: float) -> None:
    expected = stats.t.interval(confidence, len(samples) - 1, loc=sum(samples) / len(samples), scale=stats.sem(samples))
    assert estimate_interval(samples, confidence) == pytest.approx(expected)


def test_sum_of_metrics_is_the_metric_of_all_they_saw() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(40, 11), torch.randint(0, 11, (40,))
    whole, parts = MaskedTokenMetrics(), [MaskedTokenMetrics() for _ in range(4)]
    for part, rows in zip(parts, torch.arange(40).chunk(4), strict=True):
        part.update(logits[rows], labels[rows])
        whole.update(logits[rows], labels[rows])
    assert add_up(parts).compute() == pytest.approx(whole.compute())
    assert add_up(parts[:1]).compute() == parts[0].compute()
    assert add_up(parts).compute() == pytest.approx(whole.compute())  # the first one's figures have been computed
    assert parts[0].compute()["num_scored_tokens"] == 10


def test_sums_of_spawned_processes_are_their_own() -> None:
    metric = MeanLoss()
    metric.update(torch.tensor(3.0), torch.tensor(2))
    spawned = pickle.loads(bytes(ForkingPickler.dumps(metric)))
    spawned.update(torch.tensor(3.0), torch.tensor(2))
    assert (float(metric.nats), float(spawned.nats)) == (3, 6)
