"""Several nodes and jobs of SLURM: the launchers' environment, on one machine, gives the figures of one process."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from lit_mlm.runs.checkpoints import read_checkpoint
from tests.conftest import TINY_BERT, imdb_args, save_model
from tests.ranks import name_rank, run_ranks

NO_DROPOUT = TINY_BERT | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}

SLURM_JOB = {
    "SLURM_JOB_ID": "4711",
    "SLURM_JOB_NAME": "lit-mlm",
    "SLURM_NODELIST": "127.0.0.1",
    "SLURM_NNODES": "1",
    "SLURM_NODEID": "0",
    "SLURM_NTASKS": "2",
    "SLURM_NTASKS_PER_NODE": "2",
}

LAUNCHERS: dict[str, tuple[list[dict[str, str]], tuple[object, ...]]] = {
    "one": ([{}], ("--data.batch_size", 4, "--trainer.devices", 1)),
    "two nodes": (
        [name_rank(rank, 2, num_nodes=2) for rank in range(2)],
        ("--config", "overlays/ddp.yaml", "--trainer.devices", 1, "--trainer.num_nodes", 2),
    ),
    "slurm": (
        [SLURM_JOB | {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)} for rank in range(2)],
        ("--config", "overlays/slurm.yaml", "--trainer.devices", 2, "--trainer.num_nodes", 1),
    ),
}


def fit(folder: Path, ranks: list[dict[str, str]], *args: object) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    run_ranks(folder, ["fit", *args, "--run_dir", folder / "run"], ranks)
    metrics = json.loads((folder / "run" / "metrics.json").read_text())
    return metrics, read_checkpoint(folder / "run" / "checkpoints" / "last.ckpt")["state_dict"]


def test_two_nodes_and_slurm_train_the_weights_of_one_process(wordpiece: Any, tmp_path: Path) -> None:
    """All start with an empty cache, which the nodes share."""
    model = save_model(tmp_path / "model", NO_DROPOUT, wordpiece)
    runs = {}
    for name, (ranks, options) in LAUNCHERS.items():
        (tmp_path / name).mkdir()
        args = (*imdb_args(model, str(tmp_path / name / "cache")), "--trainer.max_epochs", 1, "--data.batch_size", 2)
        runs[name] = fit(tmp_path / name, ranks, *args, *options)
        cached = [file for file in (tmp_path / name / "cache" / "tokens").iterdir() if file.is_dir()]
        assert len(cached) == 2
    for name in ("two nodes", "slurm"):
        for figure in ("start/val/perplexity", "val/perplexity", "last/train/loss"):
            assert runs[name][0][figure] == pytest.approx(runs["one"][0][figure], rel=1e-5)
        assert runs[name][0]["val/num_scored_tokens"] == runs["one"][0]["val/num_scored_tokens"]
        assert max(float((runs[name][1][key] - weight).abs().max()) for key, weight in runs["one"][1].items()) < 1e-5
