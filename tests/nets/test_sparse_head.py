"""The sparse head against the dense path, for every architecture that `AutoModelForMaskedLM` lists."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.nets.cross_entropy import sum_cross_entropy
from lit_mlm.nets.sparse_head import compute_scored_logits
from tests.nets.architectures import DENSE_ONLY, TINY, UNBUILDABLE


def build(model_type: str, **changes: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    net: PreTrainedModel = AutoModelForMaskedLM.from_config(
        AutoConfig.for_model(model_type, **TINY[model_type] | changes)
    )
    net.train()
    return net


def make_batch(net: PreTrainedModel, scored_share: float = 0.3) -> dict[str, Tensor]:
    """Three rows of 16 tokens, the second one padded."""
    config = net.config.get_text_config()
    length = config.max_position_embeddings if config.model_type == "perceiver" else 16
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(6, config.vocab_size - 4, (3, length), generator=generator)
    attention_mask = torch.ones_like(ids)
    attention_mask[1, -5:] = 0
    scored = (torch.rand(ids.shape, generator=generator) < scored_share) & attention_mask.bool()
    labels = torch.where(scored, ids, IGNORE_INDEX)
    ids = torch.where(attention_mask.bool(), torch.where(scored, 5, ids), getattr(config, "pad_token_id", None) or 0)
    return {"input_ids": ids, "attention_mask": attention_mask, "labels": labels}


def run_step(net: PreTrainedModel, batch: dict[str, Tensor], sparse: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """Summed loss and all gradients, by one path or the other."""
    net.zero_grad(set_to_none=True)
    torch.manual_seed(0)
    if sparse:
        loss = sum_cross_entropy(*compute_scored_logits(net, batch))
    else:
        scored = batch["labels"] != IGNORE_INDEX
        logits = net(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])[0]
        loss = F.cross_entropy(logits[scored].float(), batch["labels"][scored], reduction="sum")
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


def assert_equal_paths(net: PreTrainedModel, batch: dict[str, Tensor]) -> None:
    dense_loss, dense = run_step(net, batch, sparse=False)
    sparse_loss, sparse = run_step(net, batch, sparse=True)
    torch.testing.assert_close(sparse_loss, dense_loss, rtol=1e-6, atol=0)
    assert sparse.keys() == dense.keys()
    largest = max(float(gradient.abs().max()) for gradient in dense.values())
    for name, gradient in dense.items():
        torch.testing.assert_close(sparse[name], gradient, rtol=0, atol=max(largest, 1e-9) * 1e-6, msg=name)


def test_every_architecture_is_accounted_for() -> None:
    assert TINY.keys() | DENSE_ONLY.keys() | UNBUILDABLE.keys() == set(MODEL_FOR_MASKED_LM_MAPPING_NAMES)


@pytest.mark.filterwarnings("ignore")  # warnings of the architectures themselves
@pytest.mark.parametrize("model_type", sorted(TINY))
def test_loss_and_gradients_equal_dense_path(model_type: str) -> None:
    net = build(model_type)
    batch = make_batch(net)
    assert_equal_paths(net, batch)
    assert_equal_paths(net, batch | {"labels": torch.full_like(batch["labels"], IGNORE_INDEX)})


@pytest.mark.parametrize("model_type", sorted(TINY))
def test_head_runs_on_scored_positions_only(model_type: str) -> None:
    net = build(model_type)
    batch = make_batch(net)
    rows = []
    net.register_forward_hook(lambda _module, _args, output: rows.append(tuple(output[0].shape[:2])))
    compute_scored_logits(net, batch)
    assert rows == [(1, int((batch["labels"] != IGNORE_INDEX).sum()))]


def test_head_in_chunks_runs_densely() -> None:
    net = build("reformer", chunk_size_lm_head=4)
    assert_equal_paths(net, make_batch(net))


def test_net_is_left_as_it_was() -> None:
    net = build("bert")
    batch = make_batch(net)
    before = copy.deepcopy(net.state_dict())
    compute_scored_logits(net, batch)
    assert not net.base_model._forward_hooks
    assert net(**batch).logits.shape[:2] == batch["labels"].shape
    for name, weight in net.state_dict().items():
        assert torch.equal(weight, before[name])


def test_hook_is_removed_after_an_error() -> None:
    net = build("bert")
    batch = make_batch(net)
    batch["input_ids"] = batch["input_ids"] + 10_000
    with pytest.raises(IndexError):
        compute_scored_logits(net, batch)
    assert not net.base_model._forward_hooks


@pytest.mark.parametrize("model_type", ["bert", "roberta", "distilbert", "modernbert"])
def test_under_gradient_checkpointing_and_autocast(model_type: str) -> None:
    net = build(model_type)
    batch = make_batch(net)
    expected = run_step(net, batch, sparse=True)[1]
    net.activation_checkpointing_enable({"use_reentrant": False})
    found = run_step(net, batch, sparse=True)[1]
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-5, atol=1e-7)
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = run_step(net, batch, sparse=True)
        dense_loss, _ = run_step(net, batch, sparse=False)
    torch.testing.assert_close(loss, dense_loss, rtol=1e-3, atol=0)
