"""Optimizers of any class, by the options of a task."""

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW, Muon, Optimizer
from transformers import Adafactor

from lit_mlm import MaskedLM
from lit_mlm.errors import InputError
from lit_mlm.modules.optim import find_hidden, group_parameters
from lit_mlm.modules.optimizers import JointOptimizer, make_optimizer
from tests.modules.test_optim import build

ADAMW: dict[str, Any] = {"betas": (0.9, 0.99), "eps": 1e-6}


def make_groups(net: nn.Module) -> list[dict[str, Any]]:
    return [{"lr": 0.1} | group for group in group_parameters(net.named_parameters(), 0.2)]


@pytest.mark.parametrize(("scaled", "fused"), [(False, True), (True, False)])
def test_fused_unless_gradients_are_scaled(scaled: bool, fused: bool) -> None:
    groups = make_groups(nn.Linear(2, 2))
    assert make_optimizer(groups, ADAMW, scaled).defaults["fused"] is (fused or None)
    assert make_optimizer(groups, ADAMW, scaled, partial(SGD, momentum=0.9)).defaults["fused"] is (fused or None)
    assert make_optimizer(groups, ADAMW, scaled, partial(SGD, fused=False)).defaults["fused"] is False


@pytest.mark.parametrize(
    "factory", [SGD, partial(SGD, momentum=0.9), partial(Adafactor, relative_step=False), lambda groups: SGD(groups)]
)
def test_any_optimizer_has_our_groups(factory: Any) -> None:
    net = nn.Linear(2, 2)
    optimizer = make_optimizer(make_groups(net), ADAMW, False, factory)
    assert [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [(0.1, 0.2), (0.1, 0.0)]
    before = [parameter.clone() for parameter in net.parameters()]
    net(torch.ones(2)).sum().backward()
    optimizer.step()
    assert not any(parameter.equal(old) for parameter, old in zip(net.parameters(), before, strict=True))


def take_steps(net: Any, optimizers: list[Optimizer], steps: range) -> None:
    for step in steps:
        for optimizer in optimizers:
            optimizer.zero_grad()
        net(input_ids=torch.tensor([[step + 1, 2, 3]])).logits.pow(2).mean().backward()
        for optimizer in optimizers:
            optimizer.step()


def test_muon_takes_the_matrices_of_the_layers_and_adamw_the_rest() -> None:
    """As two optimizers side by side, also after its state went through a checkpoint."""
    torch.manual_seed(0)
    net = build("bert", num_hidden_layers=2, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    nets = [net, copy.deepcopy(net)]
    hidden = find_hidden(net, net.base_model)
    names = {name for name, parameter in net.named_parameters() if parameter in hidden}
    assert names == {name for name, p in net.named_parameters() if ".layer." in name and p.ndim == 2}
    ours = make_optimizer(make_groups(net), ADAMW, False, partial(Muon, momentum=0.9), hidden)
    assert isinstance(ours, JointOptimizer)
    take_steps(net, [ours], range(2))
    again = make_optimizer(make_groups(net), ADAMW, False, partial(Muon, momentum=0.9), hidden)
    again.load_state_dict(copy.deepcopy(ours.state_dict()))
    take_steps(net, [again], range(2, 4))

    parts: list[list[nn.Parameter]] = [[], [], []]
    for name, parameter in nets[1].named_parameters():
        parts[0 if name in names else 1 if parameter.ndim >= 2 else 2].append(parameter)
    theirs = [
        Muon(parts[0], lr=0.1, momentum=0.9, weight_decay=0.2),
        AdamW(
            [{"params": parts[1], "weight_decay": 0.2}, {"params": parts[2], "weight_decay": 0}],
            **ADAMW | {"lr": 0.1, "fused": True},
        ),
    ]
    take_steps(nets[1], theirs, range(4))
    for one, other in zip(*(net.parameters() for net in nets), strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)


def test_options_of_adamw_have_no_effect_on_others() -> None:
    config = {"model_type": "bert"}
    with pytest.raises(InputError, match=r"model.betas and model.eps are options of AdamW"):
        MaskedLM(config=config, optimizer=SGD, eps=1e-6)
    module = MaskedLM(config=config, optimizer=partial(SGD, momentum=0.9), lr=0.1)
    described = {"class_path": "torch.optim.sgd.SGD", "init_args": {"momentum": 0.9}}
    assert module.hparams["optimizer"] == described
    assert MaskedLM(config=config, optimizer=partial(Muon), eps=1e-6).hparams["eps"] == 1e-6
