import time
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from filelock import FileLock

from lit_mlm.data.reading.cache_lock import lock
from lit_mlm.data.reading.documents import make_documents
from lit_mlm.data.tokens.tokenize import tokenize_documents
from lit_mlm.data.tokens.training import load_or_train_tokenizer
from lit_mlm.errors import InputError
from tests.conftest import read_reviews
from tests.ranks import FORKS


def make_once(folder: Path, made: Path) -> None:
    """Makes a tokenizer and tokenises with it; leaves a file for each of the two that this process made itself."""
    from lit_mlm.data.reading import flat_arrays
    from lit_mlm.data.tokens import training

    def note(kind: str) -> None:
        (made / f"{kind}-{time.monotonic_ns()}").touch()
        time.sleep(0.5)  # long enough for the others to come

    train, write = training.train_tokenizer, flat_arrays.write_arrays

    def train_and_note(*args: Any) -> Any:
        note("tokenizer")
        return train(*args)

    def write_and_note(*args: Any) -> None:
        note("tokens")
        write(*args)

    with (
        patch("lit_mlm.data.tokens.tokenize.write_arrays", write_and_note),
        patch.object(training, "train_tokenizer", train_and_note),
    ):
        tokenizer = load_or_train_tokenizer(iter(read_reviews()), "wordpiece", 150, True, folder / "tokenizers" / "a")
        documents = make_documents(read_reviews())
        tokens = tokenize_documents(documents, tokenizer, True, folder / "tokens" / "a", None, "tokenising")
    (made / f"ids-{hash(tokens.ids.tobytes())}").touch()


def make_together(cache: Path, made: Path) -> Counter[str]:
    """What three processes that start together make themselves."""
    made.mkdir()
    processes = [FORKS.Process(target=make_once, args=(cache, made)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    return Counter(file.name.partition("-")[0] for file in made.iterdir())


def test_processes_that_start_together_make_a_cache_once(tmp_path: Path) -> None:
    kinds = make_together(tmp_path / "cache", tmp_path / "first")
    assert kinds["tokenizer"] == kinds["tokens"] == 1
    assert kinds["ids"] >= 1
    with (tmp_path / "cache" / "tokens" / "a" / "input_ids").open("r+b") as file:
        file.truncate(40)
    kinds = make_together(tmp_path / "cache", tmp_path / "cut short")
    assert (kinds["tokenizer"], kinds["tokens"]) == (0, 1)


def test_what_is_there_takes_no_lock(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        make_once(tmp_path / "cache", tmp_path / name)
        locks = list((tmp_path / "cache").rglob("*.lock"))
        assert len(locks) == (2 if name == "first" else 0)
        for path in locks:
            path.unlink()


def test_a_lock_is_held_until_the_file_is_made(tmp_path: Path) -> None:
    with lock(tmp_path / "file"), pytest.raises(TimeoutError):
        FileLock(tmp_path / ".file.lock", timeout=0).acquire()
    with FileLock(tmp_path / ".file.lock", timeout=0):
        pass


def test_folder_that_can_t_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=f"can't write to the cache {tmp_path / 'file'}: File exists; free disk space"):
        lock(tmp_path / "file" / "a").__enter__()
