"""A checkpoint as a folder that appears whole, and that loads as the same net."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForTokenClassification

from lit_mlm.errors import InputError
from lit_mlm.inference import export
from lit_mlm.inference.agreement import require_reload
from lit_mlm.inference.export import export_checkpoint
from lit_mlm.nets import pretrained

BIAS = "bert.encoder.layer.1.output.dense.bias"


@pytest.fixture
def checkpoint(news_tagger: str) -> Path:
    return Path(news_tagger).parent / "last.ckpt"


def test_what_a_kill_left_is_gone(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*args: object) -> str:
        raise SystemExit(137)

    folder = tmp_path / "hf"
    monkeypatch.setattr(export, "save_card", die)
    monkeypatch.setattr("shutil.rmtree", lambda *args, **options: None)  # which a killed process has no time for
    with pytest.raises(SystemExit):
        export_checkpoint(checkpoint, folder)
    monkeypatch.undo()
    assert not folder.exists()
    assert len(list(tmp_path.iterdir())) == 1
    export_checkpoint(checkpoint, folder)
    assert list(tmp_path.iterdir()) == [folder]
    assert {path.stat().st_mode for path in folder.iterdir()} == {checkpoint.stat().st_mode}  # by the umask
    AutoModelForTokenClassification.from_pretrained(folder)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_weights_are_the_checkpoint_s_rounded_once(checkpoint: Path, tmp_path: Path, dtype: torch.dtype) -> None:
    agreement = export_checkpoint(checkpoint, tmp_path / "out", dtype=dtype)
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    written = load_file(tmp_path / "out" / "model.safetensors")
    assert {name: weight.dtype for name, weight in written.items()} == dict.fromkeys(written, dtype)
    assert {f"net.{name}" for name in written} == set(state)
    assert all(torch.equal(weight, state[f"net.{name}"].to(dtype)) for name, weight in written.items())
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == str(dtype).removeprefix("torch.")
    assert (agreement.difference == 0) == (dtype == torch.float32)
    assert agreement.lengths == [1, 7, 64]


def test_shards(checkpoint: Path, tmp_path: Path) -> None:
    agreement = export_checkpoint(checkpoint, tmp_path / "out", max_shard_size="50KB")
    shards = sorted((tmp_path / "out").glob("model-*.safetensors"))
    assert len(shards) > 1
    assert agreement.difference == 0
    assert {path.stat().st_mode for path in (tmp_path / "out").iterdir()} == {checkpoint.stat().st_mode}


def flip_bit(weights: dict[str, torch.Tensor]) -> None:
    weights[BIAS].view(torch.int32)[3] ^= 1


def remove(weights: dict[str, torch.Tensor]) -> None:
    del weights[BIAS]


def add(weights: dict[str, torch.Tensor]) -> None:
    weights["another"] = torch.zeros(1)


@pytest.mark.parametrize(("damage", "name"), [(flip_bit, BIAS), (remove, BIAS), (add, "another")])
def test_damage_between_writing_and_checking_is_found(
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[dict[str, torch.Tensor]], None],
    name: str,
) -> None:
    def check_damaged(auto_class: Any, folder: Path, *args: Any) -> Any:
        path = folder / "model.safetensors"
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        weights = {key: weight.clone() for key, weight in load_file(path).items()}
        damage(weights)
        save_file(weights, path, metadata)
        return require_reload(auto_class, folder, *args)

    monkeypatch.setattr(export, "require_reload", check_damaged)
    with pytest.raises(InputError, match=f"not those of the checkpoint, so none are kept: {name}$"):
        export_checkpoint(checkpoint, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_config_that_loads_as_another_net_is_found(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check_changed(auto_class: Any, folder: Path, *args: Any) -> Any:
        path = folder / "config.json"
        path.write_text(path.read_text().replace('"hidden_act": "gelu"', '"hidden_act": "gelu_new"'))
        assert pretrained.load_config(str(folder)).hidden_act == "gelu_new"
        return require_reload(auto_class, folder, *args)

    monkeypatch.setattr(export, "require_reload", check_changed)
    with pytest.raises(InputError, match=r"logits of the exported net differ .* of float32"):
        export_checkpoint(checkpoint, tmp_path / "out")
