"""Several processes: the same figures and the same weights as one."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForMaskedLM

from lit_mlm.checkpointing import read_checkpoint
from tests.conftest import TINY_BERT, imdb_args
from tests.ranks import name_rank, run_ranks

NO_DROPOUT = TINY_BERT | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def run(folder: Path, *args: object, num_processes: int = 1) -> Path:
    """Runs a command in processes of its own, as Lightning's launcher starts them; returns the run's folder."""
    command = [sys.executable, "-m", "lit_mlm", *map(str, args), "--run_dir", str(folder)]
    if num_processes > 1:
        command += ["--config", "overlays/ddp.yaml", "--trainer.devices", str(num_processes)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, cwd=folder.parent, env=environment, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.fixture(scope="module")
def base_args(cache_dir: str, wordpiece: Any, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    from tests.conftest import save_model

    model = save_model(tmp_path_factory.mktemp("model"), NO_DROPOUT, wordpiece)
    return imdb_args(model, cache_dir)


@pytest.mark.parametrize(("command", "split"), [("validate", "val"), ("test", "test")])
def test_figures_are_the_same_on_one_two_and_three_processes(
    command: str, split: str, base_args: list[str], tmp_path: Path
) -> None:
    """Several batches on 2 ranks, and 1 on 3 ranks, of which two score nothing."""
    figures = {}
    for num, batch_size in ((1, 7), (2, 7), (3, 1000)):
        ddp = ("--config", "overlays/ddp.yaml", "--trainer.devices", num, "--run_dir", tmp_path / f"{num}")
        options = ("--data.batch_size", batch_size, "--data.val_fraction", "0.5", "--data.num_mask_draws", 2)
        run_ranks(tmp_path, [command, *base_args, *options, *ddp], [name_rank(rank, num) for rank in range(num)])
        figures[num] = json.loads((tmp_path / f"{num}" / "metrics.json").read_text())
    for num in (2, 3):
        for name in ("perplexity", "perplexity_low", "perplexity_high", "loss", "bits_per_byte"):
            assert figures[num][f"{split}/{name}"] == pytest.approx(figures[1][f"{split}/{name}"], rel=1e-6)
        for name in ("num_scored_tokens", "top1_accuracy", "top5_accuracy", "mask_fingerprint", "num_blocks"):
            assert figures[num][f"{split}/{name}"] == figures[1][f"{split}/{name}"]


def test_ranks_times_accumulation_give_the_same_weights(base_args: list[str], tmp_path: Path) -> None:
    weights, largest = {}, 0.0
    options = ("--trainer.max_epochs", 10, "--trainer.max_steps", 10, "--data.batch_size", 2)
    clip = ("--trainer.gradient_clip_val", 1.0, "--trainer.num_sanity_val_steps", 0, "--model.lr", "1e-3")
    for num, accumulation in ((1, 4), (2, 2), (4, 1)):
        folder = run(
            tmp_path / f"{num}",
            *("fit", *base_args, *options, *clip),
            *("--trainer.accumulate_grad_batches", accumulation),
            num_processes=num,
        )
        checkpoint = read_checkpoint(folder / "checkpoints" / "last.ckpt")
        assert checkpoint["global_step"] == 10
        weights[num] = checkpoint["state_dict"]
    for num in (2, 4):
        for name, weight in weights[1].items():
            largest = max(largest, float((weights[num][name] - weight).abs().max()))
    assert largest < 1e-5
    assert (tmp_path / "2" / "hf" / "model.safetensors").exists()
    start = AutoModelForMaskedLM.from_pretrained(base_args[base_args.index("--model.model") + 1]).state_dict()
    assert max(float((weights[1][f"net.{name}"] - weight).abs().max()) for name, weight in start.items()) > 1e-3
    print(f"largest difference {largest:.1e}")
