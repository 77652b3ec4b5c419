"""What the finders leave; `tests/cli/test_trainer.py` has what is printed."""

from collections.abc import Callable
from pathlib import Path

from tests.conftest import imdb_args


def test_files_of_a_killed_finder_are_removed(tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path]) -> None:
    args = [*imdb_args(tiny_bert, cache_dir), "--trainer.limit_train_batches", "1", "--run_dir", "run"]
    folder = run_cli("fit", *args, "--trainer.max_epochs", "1") / "run"
    for name in (".lr_find_1.ckpt", ".lr_find_1.ckpt.sha256", ".scale_batch_size_2.ckpt"):
        (folder / name).touch()
    run_cli("fit", *args, "--trainer.max_epochs", "2", "--allow_changes", "true")
    assert list(folder.glob(".*")) == []
