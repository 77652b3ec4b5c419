"""Which metrics and which record of a run a card is made of."""

import json
from pathlib import Path
from typing import Any

import pytest

from lit_mlm.inference.card.save import TRAINING, name_model, read_metrics, read_training
from lit_mlm.runs.checkpoints import RECORD, write_checkpoint

VAL = {"loss": 2.0, "perplexity": 7.4}


def make_checkpoint(step: int, history: list[int]) -> dict[str, Any]:
    record: dict[str, Any] = {name: {} for name in ("config", "options", "tokenizer")}
    record |= {"auto_class": "AutoModelForMaskedLM", "results": {"val": VAL, "train": {"loss": 3.0}}}
    return {"global_step": step, RECORD: record, "callbacks": {TRAINING: {"history": history}}}


@pytest.fixture
def best(tmp_path: Path) -> Path:
    """The best checkpoint of a run, of step 10, beside the last, of step 20."""
    folder = tmp_path / "run" / "checkpoints"
    write_checkpoint(make_checkpoint(10, [1]), folder / "best.ckpt")
    write_checkpoint(make_checkpoint(20, [1, 2]), folder / "last.ckpt")
    return folder / "best.ckpt"


def test_metrics_of_the_run_if_they_are_of_the_step(best: Path) -> None:
    metrics = {"step": 10, "val/loss": 1.9, "test/loss": 2.1, "versions": {"torch": "2"}, "data_fingerprint": "ab"}
    (best.parent.parent / "metrics.json").write_text(json.dumps(metrics))
    assert read_metrics(best, make_checkpoint(10, [])) == metrics
    own = {"val/loss": 2.0, "val/perplexity": 7.4, "train/loss": 3.0}
    assert read_metrics(best.with_name("last.ckpt"), make_checkpoint(20, [])) == own | {
        "versions": {"torch": "2"},
        "data_fingerprint": "ab",
    }


def test_metrics_of_the_record_without_a_run(tmp_path: Path) -> None:
    found = read_metrics(tmp_path / "some.ckpt", make_checkpoint(10, []))
    assert found == {"val/loss": 2.0, "val/perplexity": 7.4, "train/loss": 3.0}


def test_best_checkpoint_has_the_curve_of_the_whole_run(best: Path) -> None:
    last = best.with_name("last.ckpt")
    assert read_training(best, make_checkpoint(10, [1]))["history"] == [1, 2]
    assert read_training(last, make_checkpoint(20, [1, 2]))["history"] == [1, 2]
    last.write_bytes(b"damaged")
    assert read_training(best, make_checkpoint(10, [1]))["history"] == [1]
    last.unlink()
    assert read_training(best, make_checkpoint(10, [1]))["history"] == [1]
    assert read_training(best, {"callbacks": {}}) == read_training(best, {}) == {}


def test_card_names_the_repository(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text('pipeline("fill-mask", model="path/to/this/folder")\n--model path/to/this/folder\n')
    name_model(tmp_path, "ada/bert")
    assert card.read_text() == 'pipeline("fill-mask", model="ada/bert")\n--model ada/bert\n'
