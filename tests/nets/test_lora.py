"""Low-rank adaptation: what is trained and written; tests/runs/test_progress.py resumes it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForMaskedLM

from lit_mlm import MaskedLM
from lit_mlm.errors import InputError
from lit_mlm.nets.lora import add_lora, merge_lora
from tests.conftest import imdb_args
from tests.nets.architectures import TINY

TRAINED = {
    "bert": r"\.layer\.\d\..*lora_|^cls\.",
    "distilbert": r"\.layer\.\d\..*lora_|^vocab_",
    "deberta-v2": r"\.layer\.\d\..*lora_|^cls\.",
    "modernbert": r"\.layers\.\d\..*lora_|^head\.|^decoder\.|final_norm",
    "albert": r"albert_layer_groups\..*lora_|^predictions\.",
    "xlm": r"^transformer\.(attentions|ffns)\.\d\..*lora_|^pred_layer\.",
}
"""The names of parameters that are trained, by architecture."""


def build(model_type: str) -> Any:
    return AutoModelForMaskedLM.from_config(AutoConfig.for_model(model_type, **TINY[model_type])).eval()


@pytest.mark.parametrize("model_type", TRAINED)
def test_layers_are_adapted_and_merged(model_type: str) -> None:
    net, ids = build(model_type), torch.tensor([[5, 6, 7, 8]])
    names, before = net.state_dict().keys(), net(ids)[0]
    add_lora(net, {"r": 2, "alpha": 4.0})
    assert torch.equal(net(ids)[0], before)
    for name, parameter in net.named_parameters():
        is_tied = parameter is net.get_input_embeddings().weight
        assert parameter.requires_grad == (bool(re.search(TRAINED[model_type], name)) and not is_tied), name
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(0))
    after, merged = net(ids)[0], merge_lora(net)
    assert (after - before).abs().max() > 1e-3
    torch.testing.assert_close(merged(ids)[0], after, rtol=1e-4, atol=1e-5)
    assert merged.state_dict().keys() == names
    assert torch.equal(net(ids)[0], after)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["query", "word_embeddings"], r"word_embeddings can't be adapted, as .* and cls.predictions.decoder.weight"),
        (["query", "decoder"], r"decoder can't be adapted, as .* are the same weights"),
        ([], "no module of the net is named so; there are decoder, dense, key"),
        (".*qeury", "no module of the net is named so; there are decoder, dense, key"),
        (["dropout"], "Target module Dropout"),
    ],
)
def test_what_could_not_be_merged_is_refused(targets: Any, message: str) -> None:
    with pytest.raises(InputError, match=rf"model.lora.target_modules: .*{message}"):
        add_lora(build("bert"), {"target_modules": targets})


def test_run_trains_little_and_writes_the_sum(
    tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    args = [*imdb_args(tiny_bert, cache_dir), "--model.lora.r", "4", "--model.freeze_layers", "1"]
    folder = run_cli("fit", *args, "--run_dir", "run") / "run"
    assert "M of them trained" in " ".join(capsys.readouterr().out.split())
    module = MaskedLM.load_from_checkpoint(folder / "checkpoints" / "best.ckpt")
    written, start = (AutoModelForMaskedLM.from_pretrained(path) for path in (folder / "hf", tiny_bert))
    ids = torch.arange(5, 25)[None]
    torch.testing.assert_close(written(ids)[0], module.eval()(input_ids=ids)[0], rtol=1e-5, atol=1e-5)
    weights = written.state_dict()
    changed = {name for name, weight in start.state_dict().items() if not torch.equal(weight, weights[name])}
    trained = r"layer\.1\..*(query|key|value|dense)\.weight$|^cls.*(?<!decoder\.weight)$"
    assert changed == {name for name in weights if re.search(trained, name)}
    with pytest.raises(InputError, match=r"adds 1 words, whose embeddings model.lora would never train"):
        run_cli("fit", *args, "--data.new_words", "[film]")
    with pytest.raises(InputError, match=r"model.lora.r is None, but"):
        MaskedLM.load_from_checkpoint(folder / "checkpoints" / "best.ckpt", lora=None)
