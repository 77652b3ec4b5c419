"""Figures of masked language modelling over several draws of the masks."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from scipy import stats
from transformers import AutoModelForMaskedLM

from lit_mlm import IMDBDataModule, MaskedLM
from lit_mlm.errors import InputError
from tests.conftest import FIXTURES, imdb_args


def test_draws_give_the_pooled_figure_and_the_interval_of_their_mean(
    tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path]
) -> None:
    options = ("--data.num_mask_draws", 5, "--run_dir", "out")
    folder = run_cli("validate", *imdb_args(tiny_bert, cache_dir), *options)
    metrics = json.loads((folder / "out" / "metrics.json").read_text())

    data = IMDBDataModule(
        str(FIXTURES / "aclImdb"), tokenizer=tiny_bert, block_size=32, num_mask_draws=5, cache_dir=cache_dir
    )
    data.setup("validate")
    net = AutoModelForMaskedLM.from_pretrained(tiny_bert).eval()
    losses, counts = [], []
    with torch.inference_mode():
        for loader in data.val_dataloader():
            batches = list(loader)
            counts.append(sum(int((batch["labels"] != -100).sum()) for batch in batches))
            nats = sum(float(net(**batch).loss) * int((batch["labels"] != -100).sum()) for batch in batches)
            losses.append(nats / counts[-1])
    pooled = sum(loss * count for loss, count in zip(losses, counts, strict=True)) / sum(counts)
    interval = stats.t.interval(0.95, 4, loc=sum(losses) / 5, scale=stats.sem(losses))
    assert metrics["val/num_mask_draws"] == 5
    assert metrics["val/num_scored_tokens"] == sum(counts)
    assert metrics["val/perplexity"] == pytest.approx(math.exp(pooled), rel=1e-6)
    assert metrics["val/perplexity_low"] == pytest.approx(math.exp(interval[0]), rel=1e-6)
    assert metrics["val/perplexity_high"] == pytest.approx(math.exp(interval[1]), rel=1e-6)
    assert metrics["val/perplexity_low"] < metrics["val/perplexity"] < metrics["val/perplexity_high"]


def test_draws_in_training_are_in_the_lines_and_the_results(
    tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--data.num_mask_draws", 2, "--data.num_workers", 1, "--run_dir", "out")
    folder = run_cli("fit", *imdb_args(tiny_bert, cache_dir), *options)
    metrics = json.loads((folder / "out" / "metrics.json").read_text())
    for prefix in ("start/val", "val", "last/val"):
        assert metrics[f"{prefix}/num_mask_draws"] == 2
    assert metrics["start/val/num_scored_tokens"] == metrics["val/num_scored_tokens"]
    assert "perplexity_low" in capsys.readouterr().out


def test_redrawn_masks_give_another_text_to_score_at_each_evaluation(
    tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path]
) -> None:
    options = ("--data.redraw_eval_masks", "true", "--model.lr", 0, "--model.weight_decay", 0, "--run_dir", "out")
    folder = run_cli("fit", *imdb_args(tiny_bert, cache_dir), *options)
    metrics = json.loads((folder / "out" / "metrics.json").read_text())
    assert metrics["start/val/mask_fingerprint"] != metrics["last/val/mask_fingerprint"]
    assert metrics["start/val/perplexity"] != metrics["last/val/perplexity"]  # of the same weights
    run_cli("validate", *imdb_args(tiny_bert, cache_dir), *options, "--ckpt_path", "best")
    again = json.loads((folder / "out" / "metrics.json").read_text())
    assert again["val/mask_fingerprint"] == metrics["val/mask_fingerprint"]  # those of the step that it was saved at
    assert again["val/perplexity"] == pytest.approx(metrics["val/perplexity"], rel=1e-6)


def test_evaluations_of_fewer_draws_leave_nothing_of_earlier_ones(
    tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path]
) -> None:
    args = (*imdb_args(tiny_bert, cache_dir), "--run_dir", "out")
    for num in (3, 1):
        folder = run_cli("validate", *args, "--data.num_mask_draws", num)
        metrics = json.loads((folder / "out" / "metrics.json").read_text())
        assert ("val/perplexity_low" in metrics) == (num > 1)
    module = MaskedLM(tiny_bert)
    trainer = Trainer(logger=False, enable_progress_bar=False, accelerator="cpu", enable_checkpointing=False)
    options: dict[str, Any] = {"data_dir": str(FIXTURES / "aclImdb"), "block_size": 32, "cache_dir": cache_dir}
    for num in (3, 1, 2):
        trainer.validate(module, IMDBDataModule(num_mask_draws=num, **options), verbose=False)
        assert module.results["val"].get("num_mask_draws", 1) == num


def test_draws_that_score_nothing_are_left_out_of_the_interval(
    tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path]
) -> None:
    options = ("--data.num_mask_draws", 8, "--data.mask_prob", 0.01, "--run_dir", "out")
    folder = run_cli("validate", *imdb_args(tiny_bert, cache_dir), *options)
    metrics = json.loads((folder / "out" / "metrics.json").read_text())
    assert 1 < metrics["val/num_mask_draws"] < 8


@pytest.mark.parametrize("limit", [1, 0.5])
def test_part_of_a_split_has_no_facts_of_the_whole(
    limit: float, tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path]
) -> None:
    options = ("--data.eval_batch_size", 1, "--trainer.limit_val_batches", limit, "--run_dir", "out")
    folder = run_cli("validate", *imdb_args(tiny_bert, cache_dir), *options)
    metrics = json.loads((folder / "out" / "metrics.json").read_text())
    names = {"mask_fingerprint", "data_fingerprint", "num_blocks", "num_blocks_shared_with_train"}
    assert not {f"val/{name}" for name in names} & set(metrics)


def test_data_of_the_other_task_is_refused(cache_dir: str, run_cli: Callable[..., Path]) -> None:
    """Label ids are no tokens."""
    sample = ("--config", "ner-sample.yaml", "--data.data_dir", FIXTURES / "conll", "--data.cache_dir", cache_dir)
    with pytest.raises(InputError, match="MaskedLM needs masks, and CoNLLDataModule has labels"):
        run_cli("fit", *sample, "--model", "MaskedLM")
