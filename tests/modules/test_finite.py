"""No step is taken by what is no number."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from lit_mlm import MaskedLM
from lit_mlm.data.batches import ShuffleSampler
from lit_mlm.data.packed import PackedExamples
from lit_mlm.errors import InputError
from lit_mlm.modules.finite import MAX_EXAMPLES, MIN_SCALE, refuse_non_finite
from lit_mlm.runs.checkpoints import read_checkpoint
from lit_mlm.text.packing import pack_rows
from tests.conftest import imdb_args
from tests.ranks import name_rank, run_ranks

Run = Callable[..., Path]


@pytest.fixture
def args(tiny_bert: str, cache_dir: str) -> list[str]:
    """One epoch of 6 steps."""
    return [*imdb_args(tiny_bert, cache_dir), "--trainer.max_epochs", "1", "--save_every_n_steps", "1"]


def check_last(folder: Path, step: int) -> None:
    """The last checkpoint is that of a step, and finite."""
    last = read_checkpoint(folder / "checkpoints" / "last.ckpt")
    assert last["global_step"] == step
    states = last["optimizer_states"][0]["state"].values()
    tensors = [*last["state_dict"].values(), *(value for state in states for value in state.values())]
    assert all(tensor.isfinite().all() for tensor in tensors)


def spoil(monkeypatch: pytest.MonkeyPatch, call: int, kind: str) -> list[Any]:
    """Makes the loss of a batch NaN, or a gradient of it infinite; returns the batches' first tokens."""
    sum_loss, seen = MaskedLM.sum_loss, []

    def change(self: MaskedLM, batch: dict[str, Any]) -> Any:
        nats, num_scored = sum_loss(self, batch)
        seen.append(batch["input_ids"])
        if len(seen) == call and kind == "loss":
            nats = nats * float("nan")
        elif len(seen) == call:
            next(self.parameters()).register_hook(lambda gradient: gradient * float("inf"))
        return nats, num_scored

    monkeypatch.setattr(MaskedLM, "sum_loss", change)
    return seen


@pytest.mark.parametrize(
    ("kind", "name"), [("loss", "loss of step 4 is nan"), ("gradient", "gradient norm of step 4 is (inf|nan)")]
)
@pytest.mark.parametrize(
    ("options", "call", "place"),
    [
        ((), 4, "batch 4"),
        (("--data.batch_size", 4, "--trainer.accumulate_grad_batches", 2), 7, "batches 7 to 8"),
    ],
)
def test_training_ends_before_the_update(
    kind: str,
    name: str,
    options: tuple[object, ...],
    call: int,
    place: str,
    args: list[str],
    run_cli: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order = find_order()
    spoil(monkeypatch, call, kind)
    with pytest.raises(InputError) as error:
        run_cli("fit", *args, *options, "--run_dir", "run")
    message = str(error.value)
    assert re.match(
        rf"the {name}, at learning rate 0\.0015, in {place} of epoch 1 \(training examples ([\d, ]+)\); the step "
        r"was not taken, and the last checkpoint is intact: lower model\.lr, ",
        message,
    )
    assert message.partition("examples ")[2].partition(")")[0] == ", ".join(map(str, order[24:32]))
    check_last(Path("run"), 3)


def find_order() -> list[int]:
    """The examples of the first epoch in their order, as numpy permutes them."""
    return [int(i) for i in np.random.default_rng((42, 0)).permutation(41)]


def make_trainer(scale: float | None) -> Any:
    """At the end of the third step, of two batches of two ranks."""
    trainer = Mock(global_step=2, world_size=2, accumulate_grad_batches=2, current_epoch=1)
    trainer.optimizers = [Mock(param_groups=[{"lr": 1e-3}])]
    trainer.precision_plugin = Mock(scaler=scale and Mock(get_scale=Mock(return_value=scale)))
    trainer.fit_loop.epoch_loop.batch_progress.current.ready = 6
    trainer.train_dataloader = object()
    return trainer


NAN, ONE = torch.tensor(float("nan")), torch.tensor(1.0)


@pytest.mark.parametrize(
    ("nats", "norm", "scale", "message"),
    [
        (ONE, ONE, None, None),
        (ONE, ONE, 4.0, None),
        (ONE, NAN, 65536.0, None),  # the scaler leaves the step out and lowers its scale
        (ONE, NAN, MIN_SCALE, None),
        (
            ONE,
            NAN,
            MIN_SCALE / 2,
            "the gradient norm of step 3 is nan, .* loss scale 0.5, in batches 5 to 6 of epoch 2;",
        ),
        (NAN, NAN, 65536.0, "the loss of step 3 is nan, at learning rate 0.001, loss scale 65536, in"),
        (NAN, ONE, None, "the loss of step 3 is nan, at learning rate 0.001, in batches 5 to 6 of epoch 2;"),
    ],
)
def test_scale_of_fp16(nats: torch.Tensor, norm: torch.Tensor, scale: float | None, message: str | None) -> None:
    trainer = make_trainer(scale)
    if message is None:
        refuse_non_finite(trainer, nats, norm)
    else:
        with pytest.raises(InputError, match=message):
            refuse_non_finite(trainer, nats, norm)


def test_examples_are_those_of_all_ranks_and_not_too_many() -> None:
    trainer = make_trainer(None)
    trainer.train_dataloader = SimpleNamespace(sampler=ShuffleSampler(100, 3, 1, 2, seed=None), dataset=range(100))
    with pytest.raises(InputError, match=r"examples 24, 25, 26, 30, 31, 32, 27, 28, 29, 33, 34, 35\);"):
        refuse_non_finite(trainer, NAN, ONE)
    trainer.train_dataloader = SimpleNamespace(sampler=ShuffleSampler(1000, 20, 1, 2, seed=None), dataset=range(1000))
    with pytest.raises(InputError, match=rf" and {80 - MAX_EXAMPLES} more\);"):
        refuse_non_finite(trainer, NAN, ONE)


def test_examples_are_the_sequences_of_packed_rows() -> None:
    trainer = make_trainer(None)
    packed = PackedExamples(None, pack_rows(np.array([5, 9, 6, 1, 4]), 10))  # 1 and 3 fill a row, and so do 2 and 4
    trainer.accumulate_grad_batches, trainer.world_size, trainer.global_step = 1, 1, 0
    trainer.fit_loop.epoch_loop.batch_progress.current.ready = 1
    trainer.train_dataloader = SimpleNamespace(sampler=ShuffleSampler(3, 2, 0, 1, seed=None), dataset=packed)
    with pytest.raises(InputError, match=r"training examples 0, 1, 3\)"):
        refuse_non_finite(trainer, NAN, ONE)


def test_one_of_two_ranks_ends_both(tiny_bert: str, cache_dir: str, tmp_path: Path) -> None:
    """With the same message, before the update on either."""
    ddp = ("--config", "overlays/ddp.yaml", "--trainer.devices", 2, "--data.batch_size", 4, "--save_every_n_steps", 1)
    fault = ("--trainer.callbacks+=tests.faults.failing.Spoil", "--trainer.callbacks.rank", 1)
    args = [*imdb_args(tiny_bert, cache_dir), *ddp, *fault, "--run_dir", "run"]
    output = run_ranks(tmp_path, ["fit", *args], [name_rank(i, 2) for i in range(2)], status=2)
    found = re.findall(r"error: the loss of step 4 is nan, .*in batch 4 of epoch 1 \(training examples (.*)\);", output)
    assert found == [", ".join(map(str, find_order()[24:32]))] * 2
    assert "Traceback" not in output
    check_last(tmp_path / "run", 3)
