"""Steps, validations and seconds that a training has left, of trainers at given places."""

import math
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch.callbacks import Timer

from lit_mlm.runs.remaining import Stopwatch, count_steps_left, count_validations_left, find_fraction


def place(**fields: Any) -> Any:
    """A trainer at the end of a batch: by default of the 4th of 10 in the second of 3 epochs."""
    seen = fields.pop("seen", 4)
    progress = SimpleNamespace(batch_progress=SimpleNamespace(current=SimpleNamespace(ready=seen)))
    usual: dict[str, Any] = {
        "max_steps": -1,
        "max_epochs": 3,
        "num_training_batches": 10,
        "accumulate_grad_batches": 1,
        "current_epoch": 1,
        "global_step": 14,
        "enable_validation": True,
        "val_check_batch": 10,
        "check_val_every_n_epoch": 1,
        "callbacks": [],
        "fit_loop": SimpleNamespace(epoch_loop=progress),
    }
    return SimpleNamespace(**usual | fields)


@pytest.mark.parametrize(
    ("trainer", "left"),
    [
        (place(), 16),
        (place(max_steps=20), 6),
        (place(max_steps=100), 16),
        (place(max_epochs=-1, max_steps=20), 6),
        (place(max_epochs=-1), math.inf),
        (place(max_epochs=None), math.inf),
        (place(num_training_batches=math.inf), math.inf),
        (place(num_training_batches=math.inf, max_steps=20), 6),
        (place(accumulate_grad_batches=4, global_step=4), 5),  # 3 steps an epoch, the last of 2 batches
        (place(accumulate_grad_batches=4, global_step=4, seen=7), 5),
        (place(accumulate_grad_batches=4, global_step=6, seen=10), 3),
        (place(current_epoch=2, seen=10, global_step=30), 0),
    ],
)
def test_steps_left(trainer: Any, left: float) -> None:
    assert count_steps_left(trainer) == left
    fraction = find_fraction(trainer)
    assert math.isnan(fraction) if left == math.inf else fraction == trainer.global_step / (trainer.global_step + left)


@pytest.mark.parametrize(
    ("trainer", "left"),
    [
        (place(), 1.6),
        (place(val_check_batch=4), 4),
        (place(check_val_every_n_epoch=None, val_check_batch=4), 4),
        (place(check_val_every_n_epoch=5), 1),
        (place(val_check_batch=math.inf), 1),
        (place(val_check_batch=None), 1),  # by time
        (place(enable_validation=False), 0),
    ],
)
def test_validations_left(trainer: Any, left: float) -> None:
    assert count_validations_left(trainer, 16) == left
    assert count_validations_left(trainer, 0) == 0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that it is, to be changed."""
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_time_left_has_validations_and_leaves_out_the_first_step(clock: list[float]) -> None:
    watch = Stopwatch()
    watch.add_evaluation(7.0)  # before the first step
    assert watch.estimate(place()) == math.inf
    clock[0] += 60  # compiles
    watch.add_step(5)
    assert watch.estimate(place(global_step=5)) == math.inf
    clock[0] += 18 + 3
    watch.add_evaluation(3.0)
    watch.add_step(14)
    assert watch.estimate(place()) == pytest.approx(2.0 * 16 + 5.0 * 1.6)


def test_time_limit_holds(clock: list[float]) -> None:
    timer = Timer(timedelta(seconds=30))
    assert Stopwatch().estimate(place(callbacks=[timer])) == 30
    assert find_fraction(place(max_epochs=-1, callbacks=[timer])) == 0
    assert Stopwatch().estimate(place(callbacks=[Timer(None)])) == math.inf
