"""Parameter groups and schedules."""

import math

import pytest
import torch
from torch import nn

from lit_mlm.optim import Schedule, group_parameters, make_optimizer, make_schedule, rescale_gradients


def test_biases_and_norms_do_not_decay() -> None:
    net = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3), nn.LayerNorm(3))
    net[1].weight.requires_grad = False
    groups = group_parameters(net.named_parameters(), 0.1)
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [(1, 0.1), (3, 0.0)]  # type: ignore[arg-type]


@pytest.mark.parametrize(("scaled", "fused"), [(False, True), (True, False)])
def test_fused_unless_gradients_are_scaled(scaled: bool, fused: bool) -> None:
    groups = group_parameters(nn.Linear(2, 2).named_parameters(), 0.0)
    assert make_optimizer(groups, 1e-3, (0.9, 0.98), 1e-6, scaled).defaults["fused"] is fused


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_schedules_equal_their_formulas(name: Schedule) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = make_schedule(optimizer, name, num_warmup_steps=5, num_steps=25)
    for step in range(26):
        progress = (step - 5) / 20
        falling = 1 - progress if name == "linear" else 0.5 * (1 + math.cos(math.pi * progress))
        assert optimizer.param_groups[0]["lr"] == pytest.approx(2 * (step / 5 if step < 5 else falling), abs=1e-12)
        optimizer.step()
        schedule.step()


def test_warmup_longer_than_the_training_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="num_warmup_steps is 30, but the training has 25 optimizer steps"):
        make_schedule(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0), "linear", 30, 25)


def test_gradients_are_rescaled_in_place() -> None:
    parameters = [nn.Parameter(torch.ones(2)) for _ in range(3)]
    for parameter in parameters[:2]:
        parameter.grad = torch.full((2,), 6.0)
    rescale_gradients(parameters, torch.tensor(0.5))
    assert [None if p.grad is None else p.grad.tolist() for p in parameters] == [[3.0, 3.0], [3.0, 3.0], None]
