"""Packed rows in nets: the sequences of a row know nothing of each other."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForTokenClassification

from lit_mlm import CoNLLDataModule, IMDBDataModule, MaskedLM, TokenClassification
from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.nets.packing import count_positions, isolate_segments, run_net
from lit_mlm.nets.sparse_head import compute_scored_logits
from tests.conftest import FIXTURES, NO_DROPOUT, imdb_args
from tests.nets.architectures import TINY
from tests.nets.packing_table import IMPLEMENTATIONS, SHOWN, build, compare, make_batch, part


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("model_type", SHOWN)
def test_logits_and_gradients_are_those_of_each_sequence_alone(model_type: str, implementation: str) -> None:
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
        alone = run_net(net, part(batch)[1])[0][0]
        with torch.autocast("cpu", torch.bfloat16):
            mixed = run_net(net, batch)[0][0, 3:33]
        half = run_net(net.bfloat16(), batch)[0][0, 3:33]
    assert half.dtype == torch.bfloat16
    for found in (mixed, half):
        torch.testing.assert_close(found.float(), alone, rtol=0, atol=0.04 * float(alone.abs().max()))


@pytest.mark.parametrize("model_type", ["bert", "distilbert", "roberta", "modernbert"])
def test_taggers_too(model_type: str) -> None:
    torch.manual_seed(0)
    net = AutoModelForTokenClassification.from_config(AutoConfig.for_model(model_type, **TINY[model_type]))
    module = TokenClassification(config={"model_type": model_type})
    module.net = net.eval()
    batch = make_batch()
    batch["labels"] = torch.where(batch["labels"] == IGNORE_INDEX, IGNORE_INDEX, batch["labels"] % 2)
    nats, num_scored = module.sum_loss(batch)
    expected = sum(
        F.cross_entropy(net(one["input_ids"]).logits[0], one["labels"][0], reduction="sum") for one in part(batch)
    )
    torch.testing.assert_close(nats, torch.as_tensor(expected), rtol=1e-6, atol=0)
    assert num_scored == (batch["labels"] != IGNORE_INDEX).sum()


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
    for name, options in {"plain": [], "packed": ["--data.pack_length", "64"]}.items():
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


def test_runs_of_tagged_words(tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path], capsys: Any) -> None:
    args = [
        *("--config", "conll.yaml", "--config", "overlays/cpu.yaml", "--trainer.enable_progress_bar", "false"),
        *("--data.data_dir", str(FIXTURES / "conll"), "--data.cache_dir", cache_dir, "--model.model", tiny_bert),
        *("--data.pack_length", "64", "--trainer.max_epochs", "1", "--model.lr", "1e-3"),
    ]
    folder = run_cli("fit", *args, "--run_dir", "run") / "run"
    assert re.search(r"packed into \d+ rows of 64 \(\d+\.\d% padding", re.sub(r"\s+", " ", capsys.readouterr().out))
    figures = json.loads((folder / "metrics.json").read_text())
    assert figures["val/loss"] < figures["start/val/loss"]
    run_cli("show", *args[:2], *args[6:12], "--data.pack_length", "64", "--num_examples", "1")
    assert "packed into" in capsys.readouterr().out
