"""The lines on the terminal, with each progress bar."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import imdb_args


@pytest.mark.parametrize("bar", ["TQDMProgressBar", "RichProgressBar", None])
def test_no_line_is_lost_beside_a_progress_bar(
    bar: str | None, tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    args = imdb_args(tiny_bert, cache_dir)
    if bar is not None:
        args = [*args, "--trainer.enable_progress_bar", "true", "--trainer.callbacks", bar]
    run_cli("fit", *args, "--run_dir", "run")
    fit = capsys.readouterr().out
    for line in (
        "train / ",
        "start: val perplexity",
        "epoch 1, step 6:",
        "epoch 2, step 12:",
        "before training",
        "next:",
    ):
        assert fit.count(line) == 1
    run_cli("validate", *args, "--run_dir", "run", "--ckpt_path", "best")
    assert capsys.readouterr().out.count("figures: run/metrics.json") == 1
