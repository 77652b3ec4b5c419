"""The examples of the contributing guide run, as files in the working directory."""

import json
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

GUIDE = (Path(__file__).parent.parent / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"`(\w+\.py)`:\n\n```python\n(.*?)```", GUIDE, re.DOTALL))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With the guide's files; each test imports them anew."""
    for name, code in FILES.items():
        (tmp_path / name).write_text(code)
        monkeypatch.delitem(__import__("sys").modules, name.removesuffix(".py"), raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_all_python_of_the_guide_is_run() -> None:
    assert GUIDE.count("```python") == len(FILES)


def test_a_data_set_a_strategy_a_task_a_callback_and_a_logger(
    folder: Path, run_cli: Callable[..., Path], tiny_bert: str
) -> None:
    """In a YAML of their own, by full class path."""
    (folder / "train.txt").write_text("\n".join(f"the story of film {i} was dull" for i in range(40)))
    (folder / "test.txt").write_text("the story was dull\nthe cast was dull")
    (folder / "own.yaml").write_text(
        textwrap.dedent("""
            model: {class_path: smoothed.SmoothedMLM, init_args: {label_smoothing: 0.2, lr: 3.0e-3}}
            data:
              class_path: news.NewsDataModule
              init_args:
                {data_dir: ., block_size: 16, batch_size: 4, mask_prob: 0.5,
                 masking: {class_path: late.LateMasking, init_args: {slope: 0.5}}}
            trainer:
              {max_epochs: 1, accelerator: cpu, log_every_n_steps: 1, callbacks: [{class_path: extras.CountTokens}],
               logger: {class_path: extras.JsonLogger, init_args: {path: curves.jsonl}}}
        """)
    )
    options = ["--model.model", tiny_bert, "--data.cache_dir", "cache", "--run_dir", "out"]
    options += [f"--trust={name}" for name in ("news", "smoothed", "late", "extras")]
    run_cli("fit", "--config", "own.yaml", *options)
    run_cli("test", "--config", "own.yaml", *options, "--ckpt_path", "best")
    assert json.loads((folder / "out" / "metrics.json").read_text())["test/perplexity"] > 1
    config = (folder / "out" / "config.yaml").read_text()
    assert "class_path: late.LateMasking" in config
    assert "label_smoothing: 0.2" in config
    rows = [json.loads(line) for line in (folder / "curves.jsonl").read_text().splitlines()]
    assert max(row.get("train/num_tokens", 0) for row in rows) > 100


def test_a_kind_of_data_of_its_own(
    folder: Path, run_cli: Callable[..., Path], tiny_bert: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {"neg": "dull", "pos": "good"}
    for split, num in (("train", 60), ("val", 12), ("test", 12)):
        labels = [("neg", "pos")[i % 2] for i in range(num)]
        rows = [{"text": f"the film was {words[label]}", "label": label} for label in labels]
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    options = ["--model", "sentiment_task.SentimentClassification", "--model.model", tiny_bert, "--model.lr", 3e-3]
    options += ["--data", "sentiment_data.SentimentDataModule", "--data.data_dir", ".", "--data.batch_size", 4]
    options += ["--trainer.max_epochs", 4, "--trainer.accelerator", "cpu", "--run_dir", "out"]
    for command in ("fit", "test", "predict", "show", "prepare"):
        run_cli(command, *options)
    assert json.loads((folder / "out" / "metrics.json").read_text())["test/accuracy"] == 1
    predictions = [json.loads(line) for line in (folder / "out" / "predictions.jsonl").read_text().splitlines()]
    assert [prediction["label"] for prediction in predictions] == ["neg", "pos"] * 6
    assert "60 train texts, 12 val texts, 12 test texts" in capsys.readouterr().out


PLAIN = """
from lightning.pytorch import LightningDataModule
from transformers import AutoTokenizer


class PlainData(LightningDataModule):
    def __init__(self, tokenizer: str):
        super().__init__()
        self.tokenizer = AutoTokenizer.from_pretrained(tokenizer)

    def train_dataloader(self):
        return []

    val_dataloader = train_dataloader
"""


def test_what_a_data_module_lacks_is_reported_before_training(
    folder: Path, run_cli: Callable[..., Path], tiny_bert: str
) -> None:
    (folder / "plain.py").write_text(PLAIN)
    options: list[object] = ["--model", "MaskedLM", "--model.model", tiny_bert, "--run_dir", "out"]
    options += ["--data", "plain.PlainData", "--data.tokenizer", tiny_bert, "--trainer.max_epochs", 1]
    with pytest.raises(ValueError, match=r"PlainData lacks sequence_length and describe, which lit_mlm.batch.TextSo"):
        run_cli("fit", *options, "--trainer.accelerator", "cpu")
    assert not (folder / "out").exists()
