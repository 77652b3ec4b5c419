"""The lines on the terminal, with each progress bar."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from tests.conftest import imdb_args


@pytest.mark.parametrize("bar", ["TQDMProgressBar", "RichProgressBar", "", None])
def test_no_line_is_lost_beside_a_progress_bar(
    bar: str | None, tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    args = imdb_args(tiny_bert, cache_dir)
    if bar is not None:
        args += ["--trainer.enable_progress_bar", "true", *(["--trainer.callbacks", bar] if bar else [])]
    run_cli("fit", *args, "--run_dir", "my run")
    fit = capsys.readouterr().out
    for line in (
        "train / ",
        "start: val perplexity",
        "epoch 1, step 6:",
        "epoch 2, step 12:",
        "of the time waiting for data",
        "next:        python -m lit_mlm fill --model 'my run/hf' \"Write",
    ):
        assert fit.count(line) == 1
    assert re.search(r"^val +start +epoch 2$", fit, re.MULTILINE)
    run_cli("validate", *args, "--run_dir", "my run", "--ckpt_path", "best")
    assert capsys.readouterr().out.count("metrics: my run/metrics.json") == 1


def test_infinite_perplexity_is_inf_on_the_terminal_and_null_in_json(
    tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Diverged weights: a loss above 709 nats, whose exponential no float holds."""
    model = AutoModelForMaskedLM.from_pretrained(tiny_bert)
    with torch.no_grad():
        model.get_output_embeddings().bias.copy_(torch.linspace(0, 1e5, model.config.vocab_size))
    model.save_pretrained("inf")
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained("inf")
    folder = run_cli("fit", *imdb_args("inf", cache_dir), "--run_dir", "run")
    output = capsys.readouterr().out
    assert "start: val perplexity inf, loss" in output
    assert re.search(r"^perplexity +inf +inf$", output, re.MULTILINE)
    metrics = json.loads((folder / "run" / "metrics.json").read_text())
    assert metrics["val/perplexity"] is None
    assert metrics["val/loss"] > 709
