from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed
from torch.distributed.fsdp import FSDPModule
from transformers import AutoConfig, AutoModelForMaskedLM, AutoModelForTokenClassification

from lit_mlm.nets.sharding import gather, shard_net
from lit_mlm.runs.checkpoints import read_checkpoint
from tests.conftest import FIXTURES, TINY_BERT, imdb_args, save_model
from tests.ranks import FORKS, find_port, name_rank, run_ranks

NO_DROPOUT = TINY_BERT | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}

FSDP = ("--config", "overlays/fsdp.yaml", "--config", "overlays/cpu.yaml", "--trainer.devices", 2)

TRAINING = (
    *("--model.layer_decay", 0.8, "--model.schedule", "constant", "--model.lr", 1e-3, "--data.batch_size", 2),
    *("--trainer.enable_progress_bar", "false", "--trainer.limit_train_batches", 4),
)


def train(folder: Path, *args: object, sharded: bool) -> dict[str, Any]:
    """Trains two epochs, on two ranks in two runs; returns the last checkpoint."""
    if not sharded:
        limit = ("--trainer.limit_train_batches", 8, "--trainer.accumulate_grad_batches", 4)
        options = (*args, *limit, "--trainer.max_epochs", 2, "--run_dir", folder / "one")
        run_ranks(folder, ["fit", *options, "--trainer.devices", 1], [{}])
        return read_checkpoint(folder / "one" / "checkpoints" / "last.ckpt")
    ranks = [name_rank(rank, 2) for rank in range(2)]
    options = (*args, *FSDP, "--trainer.accumulate_grad_batches", 2)
    run_ranks(folder, ["fit", *options, "--trainer.max_epochs", 1, "--run_dir", folder / "two"], ranks)
    first = folder / "two" / "checkpoints" / "last.ckpt"
    more = ("--trainer.max_epochs", 2, "--run_dir", folder / "more", "--ckpt_path", first)
    output = run_ranks(folder, ["fit", *options, *more], ranks)
    assert "Warning" not in output
    return read_checkpoint(folder / "more" / "checkpoints" / "last.ckpt")


def compare(one: dict[str, Any], other: dict[str, Any]) -> float:
    assert one["global_step"] == other["global_step"] == 4
    ours, theirs = one["state_dict"], other["state_dict"]
    assert list(ours) == list(theirs)
    return max(float((theirs[name] - weight).abs().max()) for name, weight in ours.items())


def test_shards_train_the_weights_of_one_process(wordpiece: Any, cache_dir: str, tmp_path: Path) -> None:
    """Masked language modelling with clipping, through a save and a resume, to the exported folder."""
    args = (*imdb_args(save_model(tmp_path / "model", NO_DROPOUT, wordpiece), cache_dir), *TRAINING)
    clip = ("--trainer.gradient_clip_val", 0.5)
    one, sharded = (train(tmp_path, *args, *clip, sharded=sharded) for sharded in (False, True))
    assert compare(one, sharded) < 1e-5
    figures = [checkpoint["lit_mlm"]["results"]["val"]["perplexity"] for checkpoint in (one, sharded)]
    assert figures[0] == pytest.approx(figures[1], rel=1e-5)
    exported = AutoModelForMaskedLM.from_pretrained(tmp_path / "more" / "hf").state_dict()
    start = AutoModelForMaskedLM.from_pretrained(tmp_path / "model").state_dict()
    best = read_checkpoint(tmp_path / "more" / "checkpoints" / "best.ckpt")["state_dict"]
    assert all(torch.equal(weight, best[f"net.{name}"]) for name, weight in exported.items())
    assert max(float((weight - start[name]).abs().max()) for name, weight in exported.items()) > 1e-3


def test_shards_of_a_tagger_leave_frozen_weights(tmp_path: Path) -> None:
    """A net from scratch with its embeddings frozen."""
    args = ("--config", "ner-sample.yaml", "--data.data_dir", FIXTURES / "conll", "--data.vocab_size", 200, *TRAINING)
    small = {name: value for name, value in NO_DROPOUT.items() if name != "max_position_embeddings"}
    net = [part for name, value in small.items() for part in (f"--model.config.{name}", value)]
    frozen = ("--model.freeze_embeddings", "true", "--data.cache_dir", tmp_path)
    one, sharded = (train(tmp_path, *args, *net, *frozen, sharded=sharded) for sharded in (False, True))
    assert compare(one, sharded) < 1e-5
    assert (tmp_path / "more" / "hf" / "model.safetensors").exists()
    assert AutoModelForTokenClassification.from_pretrained(tmp_path / "more" / "hf").config.num_labels > 2


def shard_own_weights(rank: int, port: int) -> None:
    distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.manual_seed(0)
    net, expected = (AutoModelForMaskedLM.from_config(AutoConfig.for_model(**TINY_BERT)) for _ in range(2))
    expected.load_state_dict(net.state_dict())
    if rank == 1:
        torch.nn.init.zeros_(net.get_input_embeddings().weight)
    for _ in range(2):  # the second time nothing happens
        shard_net(net, torch.device("cpu"))
    assert isinstance(net.bert.encoder.layer[0], FSDPModule)
    for name, weight in net.named_parameters():
        assert weight.to_local().numel() in (weight.numel() // 2, (weight.numel() + 1) // 2)
        torch.testing.assert_close(gather(weight), expected.get_parameter(name).detach(), rtol=0, atol=0)
    distributed.destroy_process_group()


def test_all_shards_are_of_the_first_ranks_weights() -> None:
    """As for a head whose weights each rank has drawn by itself."""
    port = find_port()
    processes = [FORKS.Process(target=shard_own_weights, args=(rank, port)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        process.kill()
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
