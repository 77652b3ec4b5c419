"""Packed rows in nets: the sequences of a row know nothing of each other."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoModelForTokenClassification

from lit_mlm import CoNLLDataModule, IMDBDataModule, MaskedLM, TokenClassification
from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.nets.packing import count_positions, isolate_segments, run_net
from lit_mlm.nets.sparse_head import compute_scored_logits
from tests.conftest import FIXTURES, NO_DROPOUT, imdb_args
from tests.nets.architectures import TINY
from tests.nets.packing_table import IMPLEMENTATIONS, SHOWN, build, compare, make_batch, pad
from tests.nets.test_isolation import ISOLATING


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("model_type", SHOWN)
def test_logits_and_gradients_are_those_of_padded_sequences(model_type: str, implementation: str) -> None:
    logits, gradients = compare(build(model_type, implementation))
    print(f"{model_type}, {implementation}: logits {logits:.1e}, gradients {gradients:.1e}")
    assert logits < 2e-6
    assert gradients < 3e-6


@pytest.mark.parametrize("model_type", ["bert", "modernbert"])
def test_sparse_head_checkpointing_and_autocast(model_type: str) -> None:
    net, batch = build(model_type, "sdpa"), make_batch()
    dense = run_net(net, batch)[0][batch["labels"] != IGNORE_INDEX]
    sparse, labels = compute_scored_logits(net, batch)
    torch.testing.assert_close(sparse, dense, rtol=0, atol=1e-6)
    assert torch.equal(labels, batch["labels"][batch["labels"] != IGNORE_INDEX])
    net.activation_checkpointing_enable({"use_reentrant": False})
    assert max(compare(net)) < 3e-6
    with torch.no_grad():
        alone = run_net(net, pad(batch))[0][1, :30]
        with torch.autocast("cpu", torch.bfloat16):
            mixed = run_net(net, batch)[0][1, :30]
        half = run_net(net.bfloat16(), batch)[0][1, :30]
    assert half.dtype == torch.bfloat16
    for found in (mixed, half):
        torch.testing.assert_close(found.float(), alone, rtol=0, atol=0.04 * float(alone.abs().max()))


CLASSIFIERS: list[tuple[Any, str]] = [(AutoModelForTokenClassification, name) for name in sorted(ISOLATING - {"tapas"})]
CLASSIFIERS += [(AutoModelForSequenceClassification, name) for name in ("bert", "distilbert", "electra", "modernbert")]


@pytest.mark.filterwarnings("ignore")  # warnings of the architectures themselves
@pytest.mark.parametrize(("auto_class", "model_type"), CLASSIFIERS)
def test_losses_and_gradients_of_classifiers(auto_class: Any, model_type: str) -> None:
    torch.manual_seed(0)
    net = auto_class.from_config(AutoConfig.for_model(model_type, **TINY[model_type])).eval()
    batch = make_batch()
    labels = torch.where(batch["labels"] == IGNORE_INDEX, IGNORE_INDEX, batch["labels"] % 2)
    if auto_class is AutoModelForSequenceClassification:
        labels = torch.arange(len(labels)) % 2
    results = []
    for each in (batch, pad(batch)):
        net.zero_grad()
        loss = F.cross_entropy(run_net(net, each).logits.movedim(-1, 1), labels)
        loss.backward()
        results.append((loss, {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}))
    (loss, found), (expected, gradients) = results
    torch.testing.assert_close(loss, expected, rtol=2e-6, atol=0)
    largest = max(float(gradient.abs().max()) for gradient in gradients.values())
    for name, gradient in gradients.items():
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=3e-6 * largest)


def test_arguments_by_hand() -> None:
    segments = torch.tensor([[1, 1, 2, 2, 2, 0]])
    assert count_positions(segments).tolist() == [[0, 1, 0, 1, 2, 0]]
    arguments = isolate_segments(build("roberta", "eager"), segments)
    assert arguments["position_ids"].tolist() == [[2, 3, 2, 3, 4, 2]]  # its padding_idx is 1
    seen = [[1, 1, 0, 0, 0, 0]] * 2 + [[0, 0, 1, 1, 1, 0]] * 3 + [[0, 0, 0, 0, 0, 1]]
    lowest = torch.finfo(torch.float32).min
    assert torch.equal(arguments["attention_mask"], torch.where(torch.tensor([[seen]]) == 1, 0.0, lowest))
    masks = isolate_segments(build("modernbert", "sdpa"), torch.ones(1, 9, dtype=torch.int64))["attention_mask"]
    assert not masks["full_attention"].any()
    assert (masks["sliding_attention"][0, 0, 0] == 0).tolist() == [True] * 5 + [False] * 4  # 4 to either side


def make_reviews(tiny_bert: str, cache_dir: str, **options: Any) -> IMDBDataModule:
    defaults: dict[str, Any] = {"tokenizer": tiny_bert, "block_size": 32, "batch_size": 4, "cache_dir": cache_dir}
    shape: dict[str, Any] = {"block_policy": "document", "special_tokens": "block"}
    return IMDBDataModule(data_dir=str(FIXTURES / "aclImdb"), **(defaults | shape | options))


def make_news(tiny_bert: str, cache_dir: str, **options: Any) -> CoNLLDataModule:
    defaults: dict[str, Any] = {"tokenizer": tiny_bert, "batch_size": 8, "cache_dir": cache_dir, "window": 40}
    return CoNLLDataModule(data_dir=str(FIXTURES / "conll"), **(defaults | options))


@pytest.mark.parametrize("make_data", [make_reviews, make_news])
def test_loss_of_an_epoch_is_that_without_packing(make_data: Any, tiny_bert: str, cache_dir: str) -> None:
    sums = []
    for options in ({}, {"pack_length": 64}):
        data = make_data(tiny_bert, cache_dir, **options)
        data.setup("fit")
        torch.manual_seed(0)
        config = NO_DROPOUT | {"vocab_size": len(data.tokenizer)}
        module: Any = MaskedLM(config=config)
        if make_data is make_news:
            module = TokenClassification(config=config | {"num_labels": len(data.labels)})
        module.build()
        with torch.no_grad():
            losses = [module.sum_loss(batch) for batch in data.train_dataloader()]
        sums.append([len(losses), sum(float(nats) for nats, _ in losses), sum(int(num) for _, num in losses)])
    (num_batches, nats, num_scored), (num_packed, packed_nats, packed_scored) = sums
    assert num_packed < 0.7 * num_batches
    assert packed_scored == num_scored
    assert packed_nats == pytest.approx(nats, rel=1e-6)


def test_runs_of_masked_blocks(tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path], capsys: Any) -> None:
    """Evaluation, which is packed too, gives what it gives without, and so does that of the test."""
    args = [*imdb_args(tiny_bert, cache_dir), "--data.block_policy", "document", "--data.special_tokens", "block"]
    figures = []
    for name, options in {"plain": ["--data.pack_batches", "false"], "packed": ["--data.pack_length", "64"]}.items():
        folder = run_cli("fit", *args, *options, "--run_dir", name) / name
        figures.append(json.loads((folder / "metrics.json").read_text()))
    plain, packed = figures
    found = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert re.search(r"packed into \d+ rows of 64 \(\d+\.\d% padding, \d+\.\d% without\)", found)
    for name in ("perplexity", "loss", "bits_per_byte", "top1_accuracy"):
        assert packed[f"start/val/{name}"] == pytest.approx(plain[f"start/val/{name}"], rel=1e-6)
    for name in ("mask_fingerprint", "data_fingerprint", "num_blocks", "num_scored_tokens"):
        assert packed[f"val/{name}"] == plain[f"val/{name}"]
    assert packed["val/num_rows"] < packed["val/num_blocks"]
    assert 0 < packed["val/padding_fraction"] < 0.4
    assert "val/num_rows" not in plain
    assert packed["val/perplexity"] < packed["start/val/perplexity"]


@pytest.mark.parametrize("options", [{}, {"window": 16, "context_tokens": 6}, {"max_tokens_per_batch": 90}])
def test_runs_of_tagged_words(options: dict[str, Any], tiny_bert: str, cache_dir: str, make_trainer: Any) -> None:
    """With and without packing the same steps, and the same metrics to the digit."""
    runs = []
    for pack_batches in (True, False):
        data = make_news(tiny_bert, cache_dir, vocab_size=200, tokenizer=None, **options, pack_batches=pack_batches)
        torch.manual_seed(0)
        module = TokenClassification(config=NO_DROPOUT, lr=3e-3)
        trainer = make_trainer(enable_checkpointing=False, gradient_clip_val=1.0)
        trainer.fit(module, data)
        assert data.packs == pack_batches
        metrics = module.results["val"]
        numbers = {name: value for name, value in metrics.items() if name not in ("loss", "padding_fraction")}
        runs.append((numbers, metrics["loss"], trainer.global_step, module.state_dict()))
    (numbers, loss, num_steps, weights), (expected, expected_loss, expected_steps, expected_weights) = runs
    assert numbers == expected
    assert loss == pytest.approx(expected_loss, rel=1e-4)
    assert num_steps == expected_steps
    for name, weight in expected_weights.items():
        torch.testing.assert_close(weights[name], weight, rtol=0, atol=5e-4)


def test_windows_are_packed_into_rows_for_all_epochs(
    tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path], capsys: Any
) -> None:
    args = ["--config", "conll.yaml", "--data.data_dir", str(FIXTURES / "conll"), "--data.cache_dir", cache_dir]
    run_cli("show", *args, "--model.model", tiny_bert, "--data.pack_length", "64", "--num_examples", "1")
    assert re.search(r"packed into \d+ rows of 64 \(\d+\.\d% padding", re.sub(r"\s+", " ", capsys.readouterr().out))
