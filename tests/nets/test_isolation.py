"""The trial that a net stands before it is fed packed rows."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedModel

from lit_mlm import IMDBDataModule, MaskedLM
from lit_mlm.errors import InputError
from lit_mlm.modules import net as net_module
from lit_mlm.nets import packing
from lit_mlm.nets.isolation import TOLERANCE, require_isolation
from lit_mlm.nets.packing import count_positions, isolate_segments
from tests.conftest import FIXTURES, imdb_args, save_model
from tests.nets.architectures import TINY

ISOLATING = {
    *("albert", "bert", "camembert", "data2vec-text", "distilbert", "electra", "ernie", "esmc", "eurobert", "gte"),
    *("ibert", "jina_embeddings_v3", "luke", "megatron-bert", "modernbert", "modernvbert", "mpnet", "nomic_bert"),
    *("rembert", "roberta", "roberta-prelayernorm", "roc_bert", "roformer", "squeezebert", "tapas", "xlm-roberta"),
    *("xlm-roberta-xl", "xmod"),
}
"""The others either mix the tokens of a row in another way than by attention, or take no mask of four dimensions."""


def build(model_type: str, implementation: str | None = None, **changes: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, **TINY[model_type] | changes)
    net: PreTrainedModel = AutoModelForMaskedLM.from_config(config, attn_implementation=implementation)
    net.train()
    return net


@pytest.mark.filterwarnings("ignore")  # warnings of the architectures themselves
@pytest.mark.parametrize("model_type", sorted(TINY))
def test_every_architecture_is_tried(model_type: str) -> None:
    net = build(model_type)
    if model_type in ISOLATING:
        require_isolation(net)
        return
    with pytest.raises(InputError, match=rf"^this net, {net.config.model_type} with the attention "):
        require_isolation(net)


def lose(name: str) -> Callable[[PreTrainedModel, Tensor], dict[str, Any]]:
    """A way to tell a net of packed rows that is wrong."""

    def widen(mask: Any, num: int, segments: Tensor) -> Any:
        places = torch.arange(segments.shape[1])
        is_near = (places[:, None] - places).abs() <= num
        return torch.where(is_near, mask["full_attention"], torch.finfo(torch.float32).min)

    def isolate(net: PreTrainedModel, segments: Tensor) -> dict[str, Any]:
        arguments = isolate_segments(net, segments)
        mask = arguments["attention_mask"]
        if name == "neighbours":
            arguments["attention_mask"] = (segments != 0).long()
        if name == "booleans":
            arguments["attention_mask"] = mask == 0
        if name == "positions":
            del arguments["position_ids"]
        if name == "offset":
            arguments["position_ids"] = count_positions(segments)
        if name == "window":
            arguments["attention_mask"] = mask["full_attention"]
        if name == "wide window":
            arguments["attention_mask"]["sliding_attention"] = widen(mask, net.config.sliding_window + 1, segments)
        return arguments

    return isolate


@pytest.mark.parametrize(
    ("model_type", "implementation", "fault"),
    [
        *(("bert", kind, fault) for kind in ("eager", "sdpa") for fault in ("neighbours", "positions")),
        *(("distilbert", "sdpa", fault) for fault in ("neighbours", "positions")),
        *(("roberta", kind, fault) for kind in ("eager", "sdpa") for fault in ("neighbours", "positions", "offset")),
        *(("modernbert", kind, fault) for kind in ("eager", "sdpa") for fault in ("window", "wide window")),
        ("bert", "eager", "booleans"),
    ],
)
def test_each_fault_is_found(model_type: str, implementation: str, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net = build(model_type, implementation)
    monkeypatch.setattr(packing, "isolate_segments", lose(fault))
    with pytest.raises(InputError) as found:
        require_isolation(net)
    message = str(found.value)
    assert f"this net, {model_type} with the attention {implementation}: its logits in packed rows differ" in message
    difference = float(message.split(" sequences by ")[1].split()[0])
    assert difference > 4 * TOLERANCE  # on nets this small faults are small, too


def test_a_long_window_is_passed() -> None:
    """With ModernBERT's own window, which is half of what its config says to either side."""
    net = build("modernbert", local_attention=128, max_position_embeddings=512)
    assert 0 < require_isolation(net) < TOLERANCE / 10


def test_other_attention_is_not_tried() -> None:
    """That of `flex_attention` ends the process on a CPU."""
    net = build("bert", "flex_attention")
    with pytest.raises(InputError, match=r"bert with the attention flex_attention: only eager and sdpa take the mask"):
        require_isolation(net)


def test_no_numbers_are_refused() -> None:
    net = build("bert")
    with torch.no_grad():
        next(net.parameters()).fill_(float("nan"))
    with pytest.raises(InputError, match="differ from those of single sequences by nan"):
        require_isolation(net)


def test_net_and_random_numbers_are_left_as_they_were() -> None:
    net = build("bert", hidden_dropout_prob=0.1)
    net.base_model.eval()
    modes = [module.training for module in net.modules()]
    assert len(set(modes)) == 2
    before = {name: weight.clone() for name, weight in net.state_dict().items()}
    states = torch.get_rng_state(), random.getstate(), str(np.random.get_state())  # noqa: NPY002
    torch.set_float32_matmul_precision("high")
    torch.set_default_dtype(torch.float64)
    try:
        require_isolation(net)
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_float32_matmul_precision("highest")
        torch.set_default_dtype(torch.float32)
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(weight, before[name]) for name, weight in net.state_dict().items())
    assert all(weight.grad is None and weight.requires_grad for weight in net.parameters())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert str(np.random.get_state()) == states[2]  # noqa: NPY002


def test_a_run_with_such_a_net_is_refused_before_it_trains_or_padded(
    wordpiece: Any,
    cache_dir: str,
    run_cli: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = save_model(tmp_path_factory.mktemp("fnet"), TINY["fnet"] | {"model_type": "fnet"}, wordpiece)
    args = [*imdb_args(model, cache_dir), "--data.block_policy", "document", "--run_dir", "run"]
    with pytest.raises(InputError, match=r"data.pack_length can't be used with this net, fnet .*leave data"):
        run_cli("fit", *args, "--data.pack_length", "64")
    assert not Path("run").exists()
    run_cli("fit", *args)
    assert "batches are padded, not packed, for this net, fnet with the attention " in caplog.text


def test_a_net_is_tried_once(
    tiny_bert: str, cache_dir: str, make_trainer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Any] = []
    monkeypatch.setattr(net_module, "require_isolation", tried.append)
    shape: Any = {"block_policy": "document", "block_size": 32, "cache_dir": cache_dir}
    folder, module = str(FIXTURES / "aclImdb"), MaskedLM(tiny_bert)
    make_trainer().fit(module, IMDBDataModule(data_dir=folder, **shape | {"block_policy": "concatenate"}))
    make_trainer().validate(module, IMDBDataModule(data_dir=folder, pack_batches=False, **shape), verbose=False)
    assert tried == []
    for pack_length in (None, 64):
        data = IMDBDataModule(data_dir=folder, pack_length=pack_length, **shape)
        make_trainer().validate(module, data, verbose=False)
    assert tried == [module.net]
