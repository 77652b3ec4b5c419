"""Operations of nets, against the sizes of their matrices."""

import torch
from transformers import AutoConfig, AutoModelForMaskedLM, AutoModelForTokenClassification

from lit_mlm.nets.flops import NetFlops, measure_flops

SIZES = {"hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 3, "vocab_size": 20}


def test_masked_language_model() -> None:
    net = AutoModelForMaskedLM.from_config(AutoConfig.for_model("bert", **SIZES)).train()
    state = torch.random.get_rng_state()
    flops = measure_flops(net)
    layer = 4 * 8 * 8 + 2 * 8 * 16
    assert flops == NetFlops(encoder=2 * 3 * layer, head=2 * (8 * 8 + 8 * 20), attention=4 * 3 * 8)
    assert net.training
    assert torch.equal(state, torch.random.get_rng_state())
    assert not any(module._forward_hooks for module in net.modules())
    assert flops.count_step(10, 2, 50) == 3 * (10 * flops.encoder + 2 * flops.head + 50 * flops.attention)


def test_shared_layers_count_once_per_use() -> None:
    config = AutoConfig.for_model("albert", **SIZES, embedding_size=8)
    net = AutoModelForTokenClassification.from_config(config)
    layer = 4 * 8 * 8 + 2 * 8 * 16
    assert measure_flops(net).encoder == 2 * (3 * layer + 8 * 8)
