"""What a checkpoint tells of its training, and what its card makes of it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from lit_mlm.inference.card.save import TRAINING
from lit_mlm.inference.export import export_checkpoint
from lit_mlm.runs.checkpoints import read_checkpoint
from tests.conftest import FIXTURES, imdb_args

Run = Callable[..., Path]


def read_record(run: Path, name: str = "last") -> dict[str, Any]:
    found: dict[str, Any] = read_checkpoint(run / "checkpoints" / f"{name}.ckpt")["callbacks"][TRAINING]
    return found


def test_record_and_card_of_a_run(tiny_bert: str, cache_dir: str, run_cli: Run, tmp_path: Path) -> None:
    run = run_cli("fit", *imdb_args(tiny_bert, cache_dir), "--run_dir", "run") / "run"
    record, metrics = read_record(run), json.loads((run / "metrics.json").read_text())
    assert [(point["step"], point["epoch"]) for point in record["history"]] == [(0, 0), (6, 1), (12, 2)]
    assert record["history"][0]["val/loss"] == metrics["start/val/loss"]
    assert record["history"][-1]["val/perplexity"] == metrics["last/val/perplexity"]
    assert (record["monitor"], record["headline"][0], record["seed"]) == ("val/loss", "perplexity", 42)
    (session,) = record["sessions"]
    assert 0 < session["seconds"] < 600
    assert (session["num_devices"], session["precision"]) == (1, "32-true")
    card = (run / "hf" / "README.md").read_text()
    assert ModelCard(card).data.get("pipeline_tag") == "fill-mask"
    assert "- Text: local files in the layout of IMDB film reviews;" in card
    assert f"**`perplexity` {metrics['val/perplexity']:.2f}**" in card
    assert f"masks:42/{metrics['val/mask_fingerprint'][:12]}|" in card
    assert "](curve.png)" in card
    assert (run / "hf" / "curve.png").is_file()
    for place in (tmp_path, Path.home(), FIXTURES, Path(tiny_bert).parent):
        assert str(place) not in card
    # A later export says the same, and what was evaluated since.
    export_checkpoint(run / "checkpoints" / "best.ckpt", tmp_path / "again")
    assert (tmp_path / "again" / "README.md").read_text() == card
    run_cli("test", *imdb_args(tiny_bert, cache_dir), "--run_dir", "run")
    export_checkpoint(run / "checkpoints" / "best.ckpt", tmp_path / "tested")
    assert "### Test split" in (tmp_path / "tested" / "README.md").read_text()


def test_resumed_run_has_the_curve_and_the_time_of_all(tiny_bert: str, cache_dir: str, run_cli: Run) -> None:
    args = [*imdb_args(tiny_bert, cache_dir), "--run_dir", "run"]
    run = run_cli("fit", *args) / "run"
    first, first_tokens = read_record(run), json.loads((run / "metrics.json").read_text())["last/train/num_tokens"]
    assert 40 * 32 * 2 < first_tokens <= 41 * 32 * 2
    run_cli("fit", *args, "--trainer.max_epochs", 3, "--allow_changes", "true")
    record = read_record(run)
    assert [point["step"] for point in record["history"]] == [0, 6, 12, 18]
    assert record["history"][:3] == first["history"]
    written, metrics = (json.loads((run / f"{name}.json").read_text()) for name in ("history", "metrics"))
    assert 2 * metrics["last/train/num_tokens"] == 3 * first_tokens
    assert written.pop("seconds") == pytest.approx(sum(session["seconds"] for session in record["sessions"]), abs=1)
    assert written == {"monitor": "val/loss", "mode": "min", "history": record["history"]}
    assert record["sessions"][0] == first["sessions"][0]
    assert len(record["sessions"]) == 2
    total = sum(session["seconds"] for session in record["sessions"])
    (time,) = re.findall("- Time, validations included: (.*)", (run / "hf" / "README.md").read_text())
    assert time == f"{round(total)} s"
    # The card of the best checkpoint has the whole curve, which is the last one's.
    best = read_checkpoint(run / "checkpoints" / "best.ckpt")
    assert len(best["callbacks"][TRAINING]["history"]) <= 4


def test_other_checkpoints_have_no_record(news_tagger: str, tmp_path: Path) -> None:
    """Of a plain Trainer, without callbacks of ours."""
    export_checkpoint(Path(news_tagger).parent / "last.ckpt", tmp_path / "hf")
    assert (tmp_path / "hf" / "README.md").is_file()
    assert not (tmp_path / "hf" / "curve.png").exists()
    assert "](curve.png)" not in (tmp_path / "hf" / "README.md").read_text()
