"""The last layer on kept positions against the whole net, with dropout."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.nets.compilation import compile_layers
from lit_mlm.nets.kept_rows import LAST_LAYERS
from lit_mlm.nets.lora import add_lora
from lit_mlm.nets.packing import run_net
from lit_mlm.nets.sparse_head import compute_scored_logits
from tests.nets.test_sparse_head import assert_equal_paths, build, make_batch

DROPOUT = {
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "dropout": 0.1,
    "attention_dropout": 0.1,
}


def record_rows(net: Any) -> list[tuple[int, ...]]:
    """The shapes that the feed-forward part of the last layer gets."""
    stack = getattr(net.base_model, LAST_LAYERS[net.config.model_type])
    layer, rows = stack.layer[-1], list[tuple[int, ...]]()
    part = layer.ffn if hasattr(layer, "ffn") else layer.intermediate
    part.register_forward_hook(lambda _module, args, _output: rows.append(tuple(args[0].shape[:2])))
    return rows


@pytest.mark.parametrize("model_type", LAST_LAYERS)
def test_loss_and_gradients_equal_those_of_the_whole_net(model_type: str) -> None:
    """Under dropout, so that random numbers are the same, before the last layer and in it."""
    net = build(model_type, **DROPOUT)
    batch = make_batch(net)
    assert_equal_paths(net, batch)
    assert_equal_paths(net, batch | {"labels": torch.full_like(batch["labels"], IGNORE_INDEX)})
    rows = record_rows(net)
    compute_scored_logits(net, batch)
    assert rows == [(1, int((batch["labels"] != IGNORE_INDEX).sum()))]
    assert all("forward" not in module.__dict__ for module in net.modules())
    assert not any(module._forward_pre_hooks for module in net.modules())


@pytest.mark.parametrize("model_type", LAST_LAYERS)
def test_random_numbers_end_as_those_of_the_whole_net(model_type: str) -> None:
    net = build(model_type, **DROPOUT)
    batch = make_batch(net)
    states = []
    for run in (run_net, compute_scored_logits):
        torch.manual_seed(0)
        run(net, batch)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


@pytest.mark.parametrize("model_type", ["bert", "distilbert"])
def test_random_numbers_of_low_rank_adaptation_are_the_same(model_type: str) -> None:
    net = build(model_type, **DROPOUT)
    add_lora(net, {"dropout": 0.1})
    assert_equal_paths(net, make_batch(net))


@pytest.mark.parametrize("model_type", LAST_LAYERS)
def test_packed_rows_without_kept_positions_are_not_padded_before_the_head(model_type: str) -> None:
    net = build(model_type)
    batch = make_batch(net)
    rows = record_rows(net)
    packing = torch.arange(48).view(2, 24)
    run_net(net, batch | {"packing": packing})
    assert rows == [(2, 24)]


@pytest.mark.parametrize("change", ["checkpointing", "compiled", "chunks"])
def test_other_layers_run_whole(change: str) -> None:
    net = build("bert", **({"chunk_size_feed_forward": 4} if change == "chunks" else {}))
    batch = make_batch(net)
    rows = record_rows(net)
    if change == "checkpointing":
        net.activation_checkpointing_enable({"use_reentrant": False})
    elif change == "compiled":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.nn.Module, "compile", lambda *_args, **_options: None)
            compile_layers(net)
    compute_scored_logits(net, batch)
    assert {columns for _, columns in rows} == {4 if change == "chunks" else 16}


@pytest.mark.parametrize("model_type", LAST_LAYERS)
def test_a_position_of_each_row(model_type: str) -> None:
    """As a classifier of texts needs it: the hidden states of first tokens, a row each."""
    net = build(model_type, **DROPOUT)
    batch = make_batch(net)
    firsts = torch.arange(0, batch["input_ids"].numel(), batch["input_ids"].shape[1])[:, None]

    def run(kept: Tensor | None) -> Tensor:
        torch.manual_seed(0)
        logits: Tensor = run_net(net, batch, kept)[0]
        return logits[:, :1]

    found, expected = run(firsts), run(None)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert float(F.mse_loss(found, expected.roll(1, 0)).detach()) > 1e-6
