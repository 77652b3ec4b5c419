"""Nets in ONNX Runtime against torch."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from onnxruntime import InferenceSession
from transformers import AutoConfig, AutoModelForMaskedLM, AutoModelForTokenClassification

from lit_mlm.errors import InputError
from lit_mlm.inference import onnx
from lit_mlm.inference.agreement import measure_agreement
from lit_mlm.inference.onnx import open_session, quantise, require_packages, write_onnx
from lit_mlm.nets.pretrained import build_net
from tests.nets.architectures import TINY

CASES = [  # BERT is in tests/cli/test_export.py
    ("roberta", AutoModelForTokenClassification),
    ("distilbert", AutoModelForTokenClassification),
    ("modernbert", AutoModelForMaskedLM),
]


def build(model_type: str, auto_class: Any) -> Any:
    layers = "n_layers" if model_type == "distilbert" else "num_hidden_layers"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_net(auto_class, AutoConfig.for_model(model_type, **(TINY[model_type] | {layers: 1})))


@pytest.mark.parametrize(("model_type", "auto_class"), CASES, ids=[name for name, _ in CASES])
def test_any_batch_and_length(
    model_type: str, auto_class: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    net = build(model_type, auto_class)
    agreement = write_onnx(net, tmp_path)
    assert net.training
    assert agreement.lengths == [1, 7, 64]
    assert 0 < agreement.difference < 1e-6
    assert capfd.readouterr() == ("", "")
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.onnx"}
    assert b".py" not in (tmp_path / "model.onnx").read_bytes()  # no path of this machine
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == [type(net).__name__]
    session = InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    assert [found.name for found in session.get_inputs()] == ["input_ids", "attention_mask"]
    generator = torch.Generator().manual_seed(0)
    for shape in ((1, 1), (5, 2), (3, 33)):
        ids = torch.randint(5, 99, shape, generator=generator)
        mask = torch.ones_like(ids)
        mask[1:, shape[1] // 2 + 1 :] = 0
        with torch.no_grad():
            expected = net.eval()(input_ids=ids, attention_mask=mask).logits
        (found,) = session.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
        torch.testing.assert_close(torch.from_numpy(found)[mask == 1], expected[mask == 1], rtol=0, atol=1e-6)
    if model_type == "distilbert":
        check_int8(net, tmp_path)


def test_weights_beside_a_large_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx, "LARGEST_FILE", 1000)
    write_onnx(build("distilbert", AutoModelForMaskedLM), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.onnx", "model.onnx.data"}
    path = quantise(tmp_path)
    assert {found.name for found in tmp_path.iterdir()} == {"config.json", path.name, f"{path.name}.data"}


def check_int8(net: Any, folder: Path) -> None:
    """Its weights have 8 bits, and its logits are near."""
    size = (folder / "model.onnx").stat().st_size
    path = quantise(folder)
    assert {found.name for found in folder.iterdir()} == {"config.json", "model_quantized.onnx"}
    assert path.stat().st_size < size
    agreement = measure_agreement(net, open_session(path))
    assert 0 < agreement.difference < 0.1 * agreement.size


def test_a_net_that_onnx_changes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx, "open_session", lambda path: lambda batch: torch.zeros(*batch["input_ids"].shape, 99))
    with pytest.raises(InputError, match=r"logits of the exported net differ"):
        write_onnx(build("bert", AutoModelForMaskedLM), tmp_path)


def test_missing_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    require_packages()
    monkeypatch.setattr(onnx, "PACKAGES", ("onnx", "no_such_package"))
    with pytest.raises(InputError, match=r"not installed here: pip install no_such_package$"):
        require_packages()
