"""`python -m lit_mlm export`."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from onnxruntime import InferenceSession
from safetensors.torch import load_file
from torch.nn import functional as F

from lit_mlm import IMDBDataModule, MaskedLM
from lit_mlm.cli import export
from lit_mlm.errors import InputError
from tests.conftest import imdb_args

RunCLI = Callable[..., Path]


@pytest.fixture
def run_dir(news_tagger: str, tmp_path: Path) -> Path:
    """A run with a best checkpoint alone."""
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    shutil.copy(Path(news_tagger).parent / "last.ckpt", tmp_path / "run" / "checkpoints" / "best.ckpt")
    return tmp_path / "run"


def test_safetensors(run_dir: Path, run_cli: RunCLI, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run_cli("export", "--run_dir", run_dir, "--out", "out", "--dtype", "bf16", "--max_shard_size", "50KB")
    checked, model = capsys.readouterr().out.splitlines()
    difference = re.fullmatch(
        r"checked: its logits of random sequences of 1, 7, 64 tokens differ from the checkpoint's by at most (\S+) .*",
        checked,
    )
    assert difference is not None
    assert 0 < float(difference[1]) < 1
    files = sorted((folder / "out").glob("*.safetensors"))
    size = sum(file.stat().st_size for file in files) / 1e6
    assert model == f"model:   out ({len(files)} files of {size:.1f} MB)"
    assert {weight.dtype for file in files for weight in load_file(file).values()} == {torch.bfloat16}
    (folder / "out" / ".eval_results").mkdir()  # of data with a name on the Hub
    run_cli(
        "export",
        "--run_dir",
        run_dir,
        "--out",
        "out",
        "--overwrite",
        "--license",
        "mit",
        "--checkpoint",
        run_dir / "checkpoints/best.ckpt",
    )
    assert "\nlicense: mit\n" in (folder / "out" / "README.md").read_text()
    assert "by at most 0 (" in capsys.readouterr().out
    assert [file.name for file in (folder / "out").glob("*.safetensors")] == ["model.safetensors"]


MISTAKES = {
    ("--run_dir", "none"): r"--run_dir: there is no run in none, as none/checkpoints is missing",
    ("--checkpoint", "last"): r"--checkpoint: there is no .*last.ckpt; .*checkpoints has best.ckpt",
    ("--checkpoint", "other.ckpt"): r"--checkpoint: there is no other.ckpt",
    ("--dtype", "int8"): r"argument --dtype: invalid choice: 'int8' \(choose from '?float32'?",
    ("--max_shard_size", "0MB"): r"argument --max_shard_size: it must be a number with KB, MB or GB, such as 200MB",
    ("--format", "onnx", "--dtype", "float16"): r"--dtype float16 has no effect on --format onnx",
    ("--format", "onnx-int8", "--max_shard_size", "9MB"): r"--max_shard_size 9MB has no effect on --format onnx-int8",
    ("--data.batch_size", "8"): r"there is no option --data.batch_size",
    ("--formt", "onnx"): r"there is no option --formt; did you mean --format\?",
    ("--out", ""): r"--out is empty",
    ("--private",): r"--private has no effect without --push_to_hub",
    ("--message", "x"): r"--message has no effect without --push_to_hub",
    ("--push_to_hub", "user/name"): r"argument --push_to_hub: not allowed with argument --out",
    ("--out", "run"): r"--out run holds something that export didn't write, such as \w+: give another folder",
    ("--out", "run", "--overwrite"): r"--out run holds something that export didn't write",
    ("--out", "model"): r"--out model holds an earlier export: add --overwrite to replace it, or give another folder",
    (
        "--out",
        "notes",
        "--overwrite",
    ): r"--out notes holds something that export didn't write, such as notes\.txt: give",
    ("--out", "model/config.json"): r"--out model/config.json: .* is a file, not a folder",
    ("--format", "onnx-int8"): r"there is no config .*run/config.yaml",
    ("--format", "onnx-int8", "--ckpt_path", "x"): r"--ckpt_path can't be given to export",
}


@pytest.mark.parametrize("args", MISTAKES, ids=" ".join)
def test_mistakes(args: tuple[str, ...], run_dir: Path, run_cli: RunCLI, news_tagger: str) -> None:
    for name in ("model", "notes"):
        shutil.copytree(news_tagger, run_dir.parent / name)
    (run_dir.parent / "notes" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=f"^{MISTAKES[args]}"):
        run_cli("export", "--run_dir", run_dir, "--out", "out", *args)
    assert {path.name for path in run_dir.parent.iterdir()} == {"run", "model", "notes"}


def test_missing_packages(run_dir: Path, run_cli: RunCLI, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise InputError("none here")

    monkeypatch.setattr(export, "require_packages", refuse)
    run_cli("export", "--run_dir", run_dir, "--out", "out")
    with pytest.raises(InputError, match="none here"):
        run_cli("export", "--run_dir", run_dir, "--out", "onnx", "--format", "onnx")


def score(folder: Path, path: Path) -> tuple[float, float]:
    """Perplexity and top-1 accuracy of an ONNX model on the validation split, in one sum."""
    options = yaml.safe_load((folder / "config.yaml").read_text())["data"]["init_args"]
    module = MaskedLM.load_from_checkpoint(folder / "checkpoints" / "best.ckpt")
    names = ("data_dir", "cache_dir", "block_size", "num_train_blocks", "num_val_blocks", "batch_size", "block_policy")
    data = IMDBDataModule(**{name: options[name] for name in names})
    data.attach(module)
    data.setup("validate")
    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    logits, labels = [], []
    for batch in data.val_dataloader():
        (found,) = session.run(None, {name: batch[name].numpy() for name in ("input_ids", "attention_mask")})
        logits.append(torch.from_numpy(found)[batch["labels"] != -100])
        labels.append(batch["labels"][batch["labels"] != -100])
    loss = F.cross_entropy(torch.cat(logits).double(), torch.cat(labels))
    return float(loss.exp()), float((torch.cat(logits).argmax(1) == torch.cat(labels)).double().mean())


def test_int8_and_its_cost(run_cli: RunCLI, tiny_bert: str, cache_dir: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Of a run with packed rows, which ONNX models do not take."""
    options = ["--data.block_policy", "document", "--data.pack_length", 64, "--trainer.max_epochs", 1]
    folder = run_cli("fit", *imdb_args(tiny_bert, cache_dir), *options, "--run_dir", "run") / "run"
    trained = json.loads((folder / "metrics.json").read_text())
    capfd.readouterr()
    run_cli("export", "--run_dir", "run", "--out", "out", "--format", "onnx-int8")
    printed = capfd.readouterr()
    assert printed.err == ""
    checked, sizes, scored, _, *rows, model = printed.out.splitlines()
    assert checked.startswith("checked: its logits of random sequences of 1, 7, 64 tokens differ")
    path = folder.parent / "out" / "model_quantized.onnx"
    assert sizes.startswith(f"int8:    {path.stat().st_size / 1e6:.1f} MB in place of ")
    assert scored == "scored:  the validation split"
    assert model == f"model:   out (1 file of {path.stat().st_size / 1e6:.1f} MB)"
    table = {name: (float(before), float(after)) for name, before, after in map(str.split, rows)}
    perplexity, accuracy = score(folder, path)
    assert table["perplexity"] == pytest.approx((trained["val/perplexity"], perplexity), rel=1e-5)
    assert table["top1_accuracy"] == pytest.approx((trained["val/top1_accuracy"], accuracy), rel=1e-5)
    assert table["perplexity"][0] != table["perplexity"][1]
    assert f"| perplexity | {table['perplexity'][0]:.6g} | " in (folder.parent / "out" / "README.md").read_text()
    assert {file.name for file in folder.parent.iterdir()} == {"run", "out"}
    assert json.loads((folder / "metrics.json").read_text()) == trained
