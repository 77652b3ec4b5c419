"""From training to `python -m lit_mlm classify`, on the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import FIXTURES

QUIET = ("--trainer.accelerator", "cpu", "--trainer.precision", "32-true", "--trainer.enable_progress_bar", "false")


def test_a_run_is_trained_tested_predicted_and_used(
    tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    data = ("--data.data_dir", FIXTURES / "aclImdb", "--data.cache_dir", cache_dir, "--data.window", 32)
    options = ("--config", "imdb-sentiment.yaml", *data, *QUIET)
    model = ("--model.model", tiny_bert, "--model.lr", 5e-3, "--trainer.max_epochs", 20, "--data.batch_size", 8)
    folder = run_cli("fit", *options, *model, "--run_dir", "run") / "run"
    out = capsys.readouterr().out
    assert "22 train texts, 2 val texts, 2 labels" in out
    assert "next:        python -m lit_mlm classify --model run/hf" in out
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["val/num_texts"] == 2
    card = (folder / "hf" / "README.md").read_text()
    assert "pipeline_tag: text-classification" in card
    assert 'pipeline("text-classification"' in card
    run_cli("test", "--config", folder / "config.yaml", "--ckpt_path", folder / "checkpoints/best.ckpt", *QUIET)
    out = capsys.readouterr().out
    metrics = json.loads((folder / "metrics.json").read_text())
    assert f"test: accuracy {metrics['test/accuracy']:.4g}" in out
    assert "label  precision  recall" in out
    assert metrics["test/accuracy"] > 0.7
    run_cli("predict", "--config", folder / "config.yaml", "--ckpt_path", folder / "checkpoints/best.ckpt", *QUIET)
    records: list[Any] = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert [record["index"] for record in records] == [*range(12)]
    assert sum(record["label"] == record["gold"] for record in records) / 12 == metrics["test/accuracy"]
    capsys.readouterr()
    texts = [Path(record["place"]).read_text() for record in records]
    run_cli("classify", "--model", folder, *texts)
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["labels"] for one in found] == [[record["label"]] for record in records]
    assert [one["text"] for one in found] == texts
    for command in ("show", "audit", "prepare"):
        run_cli(command, *options, "--model.model", tiny_bert)
        assert "label" in capsys.readouterr().out
