"""The speed of a training, with a clock and a loader that are told what time it is."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from lightning.pytorch import Trainer
from transformers import AutoModelForMaskedLM

from lit_mlm.callbacks.measure_speed import MeasureSpeed, sum_batch
from lit_mlm.nets.flops import NetFlops


class Run:
    """A trainer and a module, one step a batch, that keep what is logged."""

    def __init__(self, log_every_n_steps: int) -> None:
        self.global_step, self.log_every_n_steps = 0, log_every_n_steps
        self.train_dataloader = SimpleNamespace(seconds_waited=0.0)
        self.device = torch.device("cpu")
        self.logged: list[tuple[str, float]] = []
        self.loggers: list[Any] = []
        self.auto_class = AutoModelForMaskedLM

    def log_dict(self, values: dict[str, float], **kwargs: Any) -> None:
        for name, value in values.items():
            self.log(name, value)

    def log(self, name: str, value: float, **kwargs: Any) -> None:
        self.logged.append((name.removeprefix("train/"), value))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr("lit_mlm.callbacks.measure_speed.time.perf_counter", lambda: clock.now)
    return clock


def test_waiting_and_training_are_told_from_the_rest(clock: SimpleNamespace) -> None:
    run, speed = Run(log_every_n_steps=2), MeasureSpeed()
    trainer = cast(Trainer, run)
    speed.on_train_start(trainer, run)
    assert speed.totals == (0.0, 0.0)
    for num_tokens, wait, work in ((10, 3.0, 1.0), (20, 0.0, 2.0), (5, 0.5, 0.5)):
        clock.now += wait + 1000  # a validation, a checkpoint
        run.train_dataloader.seconds_waited += wait
        mask = torch.arange(8 * num_tokens).reshape(num_tokens, 8) % 8 == 0
        batch = {"attention_mask": mask.long(), "labels": torch.where(torch.arange(8) < 4, mask.long(), -100)}
        speed.on_train_batch_start(trainer, run, batch, 0)
        clock.now += work
        run.global_step += 1
        speed.on_train_batch_end(trainer, run, None, batch, 0)
    logged = dict(run.logged)
    assert logged.pop("memory_gib", 1.0) > 0
    assert logged == {"tokens_per_second": 30 / 6, "data_wait": 3 / 6, "mask_rate": 4.0, "padding": 7 / 8}
    speed.on_train_end(trainer, run)
    assert speed.totals == (35 / 7, 3.5 / 7)


def test_loader_that_is_made_anew_begins_at_no_wait(clock: SimpleNamespace) -> None:
    """As by ``trainer.reload_dataloaders_every_n_epochs``."""
    run, speed = Run(log_every_n_steps=1), MeasureSpeed()
    trainer, batch = cast(Trainer, run), {"attention_mask": torch.ones(4, 5), "labels": torch.zeros(4, 5)}
    for waited in (3.0, 1.0, 4.0):
        run.train_dataloader = SimpleNamespace(seconds_waited=waited)
        speed.on_train_batch_start(trainer, run, batch, 0)
        clock.now += 1
        run.global_step += 1
        speed.on_train_batch_end(trainer, run, None, batch, 0)
    assert [value for name, value in run.logged if name == "data_wait"] == [3 / 4, 1 / 2, 4 / 5]
    assert [value for name, value in run.logged if name == "tokens_per_second"] == [20 / 4, 20 / 2, 20 / 5]


def test_utilisation_is_of_the_operations_per_second(clock: SimpleNamespace) -> None:
    run, speed = Run(log_every_n_steps=1), MeasureSpeed()
    speed._flops, speed.peak = NetFlops(encoder=10, head=100, attention=1), 1000.0
    batch = {"attention_mask": torch.ones(2, 3, dtype=torch.int64), "labels": torch.full((2, 3), -100)}
    batch["labels"][0, 0] = 5
    trainer = cast(Trainer, run)
    speed.on_train_batch_start(trainer, run, batch, 0)
    clock.now += 2
    run.global_step += 1
    speed.on_train_batch_end(trainer, run, None, batch, 0)
    assert dict(run.logged)["mfu"] == pytest.approx(3 * (6 * 10 + 1 * 100 + 2 * 9) / 2 / 1000)


@pytest.mark.parametrize("others_measured", [True, False])
def test_utilisation_is_logged_by_all_ranks_or_none(others_measured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one rank logs alone is a collective call that the others never make."""
    run, speed = Run(log_every_n_steps=1), MeasureSpeed()
    run.loggers, asked = [object()], []

    def decide(decision: bool) -> bool:
        asked.append(decision)
        return decision and others_measured

    ranks = SimpleNamespace(fast_dev_run=False, precision="32-true", net=None)
    ranks.strategy = SimpleNamespace(reduce_boolean_decision=decide)
    vars(run).update(vars(ranks))
    monkeypatch.setattr("lit_mlm.callbacks.measure_speed.measure_flops", lambda net: NetFlops(1, 1, 1))
    monkeypatch.setattr("lit_mlm.callbacks.measure_speed.measure_peak", lambda device, dtype: 5.0)
    speed.on_train_start(cast(Trainer, run), run)
    assert asked == [True]
    assert speed.peak == (5.0 if others_measured else None)


def test_packed_sequences_are_squared_by_themselves() -> None:
    mask = (torch.arange(4) < torch.tensor([3, 2, 1, 1, 4])[:, None]).long()
    batch = {"attention_mask": mask, "labels": torch.full((5, 4), -100), "packing": torch.zeros(2, 6)}
    assert sum_batch(batch).tolist() == [11, 0, 12, 9 + 4 + 1 + 1 + 16]
