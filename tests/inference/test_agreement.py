"""The logits of a net and of what was exported from it."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedModel

from lit_mlm.errors import InputError
from lit_mlm.inference.agreement import Agreement, measure_agreement, require_agreement
from tests.nets.architectures import TINY


def build(model_type: str) -> PreTrainedModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net: PreTrainedModel = AutoModelForMaskedLM.from_config(AutoConfig.for_model(model_type, **TINY[model_type]))
    return net


def test_the_largest_difference_is_of_tokens_not_of_padding() -> None:
    net = build("bert")

    def run(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        logits: torch.Tensor = net(**batch).logits.clone()
        logits[batch["attention_mask"] == 0] += 9
        logits[0, -1, 5] += 0.5 if logits.shape[1] == 7 else -0.25
        return logits

    agreement = measure_agreement(net, run)
    assert agreement.lengths == [1, 7, 64]
    assert agreement.difference == pytest.approx(0.5)
    assert net.training


def test_a_net_that_runs_on_no_length_is_not_called_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    net = build("bert")

    def refuse(**_: torch.Tensor) -> None:
        raise ValueError("never")

    monkeypatch.setattr(net, "forward", refuse)
    with pytest.raises(InputError, match="runs on no random sequence"):
        measure_agreement(net, lambda batch: batch["input_ids"])


@pytest.mark.parametrize(("model_type", "lengths"), [("funnel", [7, 512]), ("perceiver", [1, 7, 16])])
def test_lengths_are_those_that_the_net_takes(model_type: str, lengths: list[int]) -> None:
    net = build(model_type)
    agreement = measure_agreement(net, lambda batch: net(**batch)[0])
    assert (agreement.lengths, agreement.difference) == (lengths, 0)
    assert agreement.size > 0


@pytest.mark.parametrize("difference", [1.1 * 16 * 2**-7, float("nan"), float("inf")])
def test_more_than_rounding_is_refused(difference: float) -> None:
    require_agreement(Agreement([1], 0.9 * 16 * 2**-7, 1.0), torch.bfloat16)
    with pytest.raises(InputError, match="of bfloat16"):
        require_agreement(Agreement([1], difference, 1.0), torch.bfloat16)
