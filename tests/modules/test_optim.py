"""Parameter groups and schedules."""

import math
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForMaskedLM, TrainingArguments

from lit_mlm import MaskedLM
from lit_mlm.errors import InputError
from lit_mlm.modules.optim import (
    Schedule,
    count_steps,
    decay_lr,
    group_parameters,
    make_schedule,
    rescale_gradients,
)
from lit_mlm.modules.optimizers import make_optimizer
from lit_mlm.nets.depths import find_depths
from tests.nets.architectures import TINY


def test_biases_and_norms_do_not_decay() -> None:
    net = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3), nn.LayerNorm(3))
    net[1].weight.requires_grad = False
    groups = group_parameters(net.named_parameters(), 0.1)
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [(1, 0.1), (3, 0.0)]  # type: ignore[arg-type]


def test_groups_without_options_are_two_without_lr() -> None:
    """As they have been since the first checkpoints, whose optimizer states must load."""
    net = build("bert", num_hidden_layers=2)
    first, second = group_parameters(net.named_parameters(), 0.1)
    assert first == {"params": [p for p in net.parameters() if p.ndim >= 2], "weight_decay": 0.1}
    assert second == {"params": [p for p in net.parameters() if p.ndim < 2], "weight_decay": 0.0}


def test_all_decay_as_in_a_plain_loop() -> None:
    net = build("bert", num_hidden_layers=2)
    ours = make_optimizer(group_parameters(net.named_parameters(), 0.1, decay_all=True), {"lr": 1e-3}, False)
    theirs = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.1, fused=True)
    assert ours.state_dict() == theirs.state_dict()
    assert [id(p) for p in ours.param_groups[0]["params"]] == [id(p) for p in net.parameters()]


def build(model_type: str, **changes: Any) -> Any:
    return AutoModelForMaskedLM.from_config(AutoConfig.for_model(model_type, **TINY[model_type] | changes))


BELOW = r"\.embeddings\."
DEPTHS = {
    "bert": ({"num_hidden_layers": 3}, BELOW, r"^bert\.encoder\.layer\.(\d)\."),
    "distilbert": ({"n_layers": 3}, BELOW, r"^distilbert\.transformer\.layer\.(\d)\."),
    "roberta": ({"num_hidden_layers": 3}, BELOW, r"^roberta\.encoder\.layer\.(\d)\."),
    "deberta-v2": ({"num_hidden_layers": 3}, rf"{BELOW}|rel_embeddings", r"^deberta\.encoder\.layer\.(\d)\."),
    "modernbert": ({"num_hidden_layers": 3}, BELOW, r"^model\.layers\.(\d)\."),
    "electra": ({"num_hidden_layers": 3}, rf"{BELOW}|embeddings_project", r"^electra\.encoder\.layer\.(\d)\."),
    # One set of weights for all three layers.
    "albert": ({"num_hidden_layers": 3}, rf"{BELOW}|embedding_hidden", r"^albert\.encoder\.albert_layer_groups\.(0)\."),
    # The tied embeddings' first name is lm_head.decoder.weight.
    "camembert": ({"num_hidden_layers": 3}, rf"{BELOW}|lm_head.decoder.weight", r"^roberta\.encoder\.layer\.(\d)\."),
    # A layer's parts stand in lists side by side, and a norm of the embeddings before them.
    "xlm": ({"n_layers": 3}, r"\.(position_)?embeddings\.|layer_norm_emb", r"^transformer\.\w+\.(\d)\."),
}
"""By architecture, fields of the config, and what the names of parameters below and in the layers look like."""


@pytest.mark.parametrize("model_type", DEPTHS)
def test_every_parameter_has_its_depth_and_learning_rate(model_type: str) -> None:
    fields, below, layer = DEPTHS[model_type]
    net = build(model_type, **fields)
    num_layers = 1 if model_type == "albert" else 3
    expected = {}
    for name, parameter in net.named_parameters():
        found = re.search(layer, name)
        if found:
            expected[parameter] = num_layers - int(found[1])
        else:
            expected[parameter] = num_layers + 1 if re.search(below, name) else 0
    assert set(expected.values()) == set(range(num_layers + 2))
    assert expected[net.get_input_embeddings().weight] == num_layers + 1
    assert find_depths(net, net.base_model) == expected

    groups = group_parameters(net.named_parameters(), 0.1, lrs=decay_lr(net, net.base_model, 2.0, 0.5))
    assert groups[0]["lr"] == 2.0  # which is what a run logs
    grouped = [
        (p, group["lr"], group["weight_decay"])
        for group in make_optimizer(groups, {}, False).param_groups
        for p in group["params"]
    ]
    assert len(grouped) == len(expected)
    assert {p: (lr, decay) for p, lr, decay in grouped} == {
        p: (2.0 * 0.5**depth, 0.1 if p.ndim >= 2 else 0.0) for p, depth in expected.items()
    }


def test_nets_without_one_stack_of_layers_are_refused() -> None:
    net = nn.Sequential(nn.Embedding(3, 2), nn.Linear(2, 3))
    with pytest.raises(InputError, match=r"model.layer_decay needs .* Sequential has none; leave it out"):
        find_depths(net, net)
    bart = build("bart")
    with pytest.raises(InputError, match=r"BartModel has encoder.layers, decoder.layers"):
        find_depths(bart, bart.base_model)


FALLING: dict[str, Callable[[float], float]] = {
    "linear": lambda progress: 1 - progress,
    "cosine": lambda progress: 0.5 * (1 + math.cos(math.pi * progress)),
    "constant": lambda progress: 1.0,
    # The last 8 of 25 steps, 0.3 x 25 rounded up: 12 of the 20 after the warm-up are stable.
    "warmup_stable_decay": lambda progress: 0.5 * (1 + math.cos(math.pi * max(0, progress * 20 - 12) / 8)),
}


@pytest.mark.parametrize("name", ["linear", "cosine", "constant", "warmup_stable_decay"])
def test_schedules_equal_their_formulas(name: Schedule) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = make_schedule(optimizer, name, num_warmup_steps=5, num_steps=25, decay_fraction=0.3)
    for step in range(26):
        factor = step / 5 if step < 5 else FALLING[name]((step - 5) / 20)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(2 * factor, abs=1e-12)
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize(
    ("num_warmup_steps", "decay_fraction", "expected"),
    [(0, None, [1.0] * 19 + [0.5, 0.0]), (15, 0.5, [1.0, 0.9045, 0.6545, 0.3455, 0.0955, 0.0]), (20, 0.5, [0.0])],
)
def test_stable_phase_ends_in_time(num_warmup_steps: int, decay_fraction: float | None, expected: list[float]) -> None:
    """By default for a tenth of 20 steps; never before the warm-up is over."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = make_schedule(optimizer, "warmup_stable_decay", num_warmup_steps, 20, decay_fraction)
    factors = []
    for _ in range(21):
        factors.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert factors[:num_warmup_steps] == [pytest.approx(i / num_warmup_steps) for i in range(num_warmup_steps)]
    assert factors[num_warmup_steps:] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("fraction", [0.0, 0.06, 0.1, 1 / 3, 0.999])
def test_steps_are_rounded_as_transformers_rounds_them(fraction: float) -> None:
    for num_steps in (1, 7, 10, 30, 1001):
        theirs = TrainingArguments.get_warmup_steps(SimpleNamespace(warmup_steps=fraction), num_steps)  # type: ignore[arg-type]
        assert count_steps(fraction, num_steps) == theirs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"schedule": "square"},
            "model.schedule must be one of linear, cosine, .*, got 'square'",
        ),
        ({"num_warmup_steps": -1}, "model.num_warmup_steps must be at least 0, got -1"),
        ({"warmup_fraction": 1.5}, "model.warmup_fraction must be at least 0 and at most 1, got 1.5"),
        ({"warmup_fraction": math.nan}, "model.warmup_fraction must be at least 0 and at most 1, got nan"),
        ({"warmup_fraction": 0.0, "num_warmup_steps": 5}, r"\(0.0\) and model.num_warmup_steps \(5\) exclude each"),
        ({"decay_fraction": 0.1}, r"model.decay_fraction \(0.1\) has no effect with model.schedule linear"),
        (
            {"schedule": "warmup_stable_decay", "decay_fraction": 0.0},
            "decay_fraction must be above 0 and at most 1, got 0.0",
        ),
        (
            {"schedule": "warmup_stable_decay", "warmup_fraction": 0.95},
            r"\(0.95\) and model.decay_fraction \(0.1\) exceed",
        ),
        ({"lr": -1.0}, "model.lr must be at least 0 and finite, got -1.0"),
        ({"lr": math.nan}, "model.lr must be .*, got nan"),
        ({"lr": math.inf}, "model.lr must be .*, got inf"),
        ({"betas": (0.9, 1.5)}, "model.betas must be at least 0 and below 1, got 1.5"),
        ({"eps": -1.0}, "model.eps must be .*, got -1.0"),
        ({"weight_decay": -0.1}, "model.weight_decay must be .*, got -0.1"),
        ({"layer_decay": 0.0}, "model.layer_decay must be above 0 and at most 1, got 0.0"),
        ({"layer_decay": 1.1}, "model.layer_decay must be above 0 and at most 1, got 1.1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        MaskedLM(config={"model_type": "bert"}, **options)


def test_warmup_longer_than_the_training_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="num_warmup_steps is 30, but the training has 25 optimizer steps"):
        make_schedule(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0), "linear", 30, 25)
    make_schedule(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0), "linear", 0, -1)  # of no training at all


def test_gradients_are_rescaled_in_place() -> None:
    parameters = [nn.Parameter(torch.ones(2)) for _ in range(3)]
    for parameter in parameters[:2]:
        parameter.grad = torch.full((2,), 6.0)
    rescale_gradients(parameters, torch.tensor(0.5))
    assert [None if p.grad is None else p.grad.tolist() for p in parameters] == [[3.0, 3.0], [3.0, 3.0], None]
