"""Examples on the terminal."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lit_mlm.cli import main
from lit_mlm.errors import InputError
from tests.conftest import imdb_args


def test_documents_and_masked_blocks(
    tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for split, number in (("train", 2), ("test", 1)):
        options = ("--num_examples", number, "--num_blocks", 1, "--split", split)
        folder = run_cli("show", *imdb_args(tiny_bert, cache_dir), *options)
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith(f"{split}: ")
        assert sum(line.startswith("document ") for line in lines) == number
        assert sum(line.startswith("  block ") for line in lines) == number
        assert any("-> [MASK]}" in line for line in lines)
        assert not list(folder.iterdir())  # nothing is trained or written


def test_trained_model_s_tokenizer_is_that_of_its_checkpoint(
    tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    args = imdb_args(tiny_bert, cache_dir)
    run_cli("fit", *args, "--data.new_words", "[gladly]", "--trainer.max_epochs", 1, "--run_dir", "out")
    capsys.readouterr()
    run_cli("show", *args, "--ckpt_path", "out/checkpoints/last.ckpt", "--num_examples", 20)
    assert "gladly" in capsys.readouterr().out.partition("block 0: ")[2]


def test_unknown_options_name_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["show", "--config", "imdb.yaml", "--num_exampels", "3"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: there is no option --num_exampels; did you mean --num_examples?\n"


def test_negative_number_of_blocks_is_refused(tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="--num_blocks must be at least 0, got -2"):
        run_cli("show", *imdb_args(tiny_bert, cache_dir), "--num_blocks", -2)
