"""New words in a pretrained net."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedModel

from lit_mlm.nets.embeddings import extend_vocabulary
from lit_mlm.nets.loading import quiet
from lit_mlm.nets.pretrained import build_net, count_parameters, restore_config
from tests.nets.architectures import TINY

NUM_OLD = 99
IDS = torch.arange(5, 21).unsqueeze(0)

CASES: dict[str, dict[str, Any]] = {
    **{name: {} for name in ("bert", "roberta", "distilbert", "albert", "deberta-v2", "modernbert", "electra")},
    "deberta-v2, other head": {"legacy": False},
    "bert, untied": {"tie_word_embeddings": False},
    "mobilebert": {},  # a matrix with a column a token
    "bart": {},  # the bias is a buffer
    "xlm": {},  # the size has a name of its own
}


def build(case: str) -> Any:
    """A net whose biases are not zero."""
    model_type = case.split(",")[0]
    torch.manual_seed(0)
    net = build_net(AutoModelForMaskedLM, AutoConfig.for_model(model_type, **TINY[model_type] | CASES[case])).eval()
    for tensor in net.state_dict().values():
        if tensor.is_floating_point():
            tensor.normal_(0, 0.2)
    return net


@torch.no_grad()
def run(net: PreTrainedModel, ids: Tensor = IDS) -> Tensor:
    logits: Tensor = net(input_ids=ids, attention_mask=torch.ones_like(ids))[0]
    return logits


@pytest.mark.parametrize("case", CASES)
def test_rows_are_means_of_their_pieces(case: str, tmp_path: Path) -> None:
    """Input rows directly, output rows and bias by the logits, which are linear in them."""
    net = build(case)
    before, size = run(net), count_parameters(net)
    old = net.get_input_embeddings().weight.clone()
    extend_vocabulary(net, {99: [5, 6], 100: [7, 8, 11]})
    rows = net.get_input_embeddings().weight
    assert isinstance(rows, Tensor)
    assert torch.equal(rows[:NUM_OLD], old)
    torch.testing.assert_close(rows[NUM_OLD:], torch.stack([(old[5] + old[6]) / 2, (old[7] + old[8] + old[11]) / 3]))
    after = run(net)
    assert torch.equal(after[..., :NUM_OLD], before)
    torch.testing.assert_close(after[..., 99], before[..., [5, 6]].mean(-1))
    torch.testing.assert_close(after[..., 100], before[..., [7, 8, 11]].mean(-1))
    assert net.config.vocab_size == 101
    tied = build_net(AutoModelForMaskedLM, net.config)
    assert count_parameters(net) == count_parameters(tied) > size
    assert [type(part) for part in net.modules()] == [type(part) for part in tied.modules()]
    assert str(net) == str(tied)
    with quiet():
        net.save_pretrained(tmp_path)
        loaded = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    new = torch.tensor([[5, 99, 7, 100] * 4])
    assert torch.equal(run(loaded, new), run(net, new))
    restored = build_net(AutoModelForMaskedLM, restore_config(net.config.to_dict())).eval()
    restored.load_state_dict(net.state_dict())
    assert torch.equal(run(restored, new), run(net, new))


def test_gradients_reach_new_rows_and_tied_weights_stay_one() -> None:
    net = build("bert").train()
    extend_vocabulary(net, {99: [5, 6]})
    rows = net.get_input_embeddings().weight
    assert net.get_output_embeddings().weight is rows
    ids = torch.tensor([[99, 7]])
    net(input_ids=ids, labels=ids).loss.backward()
    assert isinstance(rows, Tensor)
    assert rows.grad is not None
    assert rows.grad.shape == (100, 32)
    assert rows.grad[99].abs().sum() > 0


def test_rows_that_a_padded_net_has_are_used() -> None:
    net = build("bert")
    old = net.get_input_embeddings().weight.clone()
    before = run(net)
    extend_vocabulary(net, {97: [5, 6], 98: [7, 8], 99: [5, 7]})  # a tokenizer of 97 tokens, a net of 99 rows
    rows = net.get_input_embeddings().weight
    assert isinstance(rows, Tensor)
    assert torch.equal(rows[:97], old[:97])
    torch.testing.assert_close(rows[97:], torch.stack([old[[5, 6]].mean(0), old[[7, 8]].mean(0), old[[5, 7]].mean(0)]))
    torch.testing.assert_close(run(net)[..., 97], before[..., [5, 6]].mean(-1))
    extend_vocabulary(build("bert"), {97: [5, 6]})  # none is missing
    assert net.config.vocab_size == 100


@pytest.mark.parametrize("pieces", [{101: [5, 6]}, {99: [5, 99]}, {99: [5, 6], 102: [5, 6]}])
def test_a_foreign_tokenizer_is_refused(pieces: dict[int, list[int]]) -> None:
    net = build("bert")
    with pytest.raises(ValueError, match="but the net's vocabulary only 99 tokens"):
        extend_vocabulary(net, pieces)
    assert net.config.vocab_size == NUM_OLD


def test_no_words_change_nothing() -> None:
    net = build("bert")
    parameters = list(net.parameters())
    extend_vocabulary(net, {})
    assert all(new is old for new, old in zip(net.parameters(), parameters, strict=True))
