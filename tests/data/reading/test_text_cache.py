"""Documents on disk: the same texts share a file, and nothing half-written or damaged is read."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lit_mlm.data.reading import text_cache
from lit_mlm.data.reading.documents import iterate_texts
from lit_mlm.data.reading.readers import PlacedText
from lit_mlm.data.reading.text_cache import store_texts
from lit_mlm.errors import InputError
from tests.data.conftest import limit_files

TEXTS = [f"text {i} " * 5 for i in range(25)]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_cache, "BATCH_TEXTS", 10)


def list_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name != ".lock")


def test_same_texts_share_a_file_that_is_not_written_again(tmp_path: Path) -> None:
    documents = store_texts(iter(TEXTS), tmp_path)
    assert list(iterate_texts(documents)) == TEXTS
    assert documents.column_names == ["text"]
    (file,) = list_files(tmp_path)
    assert [Path(cached["filename"]) for cached in documents.cache_files] == [file]
    before = file.stat()
    assert list(iterate_texts(store_texts(TEXTS, tmp_path))) == TEXTS
    assert list_files(tmp_path) == [file]
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("order", [1, -1])
def test_texts_that_begin_alike_are_told_apart(tmp_path: Path, order: int) -> None:
    others = [TEXTS[:10], TEXTS[:15], TEXTS, [*TEXTS, "more"], [*TEXTS[:20], "other"], [*TEXTS[:12], "x", *TEXTS[13:]]]
    for texts in others[::order] * 2:
        assert list(iterate_texts(store_texts(texts, tmp_path))) == texts
    assert len(list_files(tmp_path)) == len(others)


def test_places_are_a_column(tmp_path: Path) -> None:
    for _ in range(2):
        documents = store_texts((PlacedText(text, f"line {i}") for i, text in enumerate(TEXTS)), tmp_path, True)
        assert documents["place"][:] == [f"line {i}" for i in range(25)]
    store_texts(TEXTS, tmp_path)
    assert len(list_files(tmp_path)) == 2


def test_no_texts_make_no_file(tmp_path: Path) -> None:
    assert len(store_texts([], tmp_path / "new")) == 0
    assert store_texts([], tmp_path / "new", True).column_names == ["text", "place"]
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("size", [0, 0.3, 0.5, 0.9, 1])
def test_damaged_file_is_made_anew(tmp_path: Path, size: float) -> None:
    store_texts(TEXTS, tmp_path)
    (file,) = list_files(tmp_path)
    whole = file.read_bytes()
    content = bytearray(whole[: int(size * len(whole))])
    if size == 1:
        content[content.rindex(b"text 21")] = 0
    file.unlink()
    file.write_bytes(content)
    assert list(iterate_texts(store_texts(TEXTS, tmp_path))) == TEXTS
    assert file.read_bytes() == whole
    assert list_files(tmp_path) == [file]


def test_mistake_in_the_texts_leaves_nothing(tmp_path: Path) -> None:
    def read() -> Iterator[str]:
        yield from TEXTS
        assert [path.suffix for path in list_files(tmp_path)] == [".unfinished"]
        raise InputError("line 26")

    with pytest.raises(InputError, match="line 26"):
        store_texts(read(), tmp_path)
    assert list_files(tmp_path) == []


HANG = """
import os, sys
from pathlib import Path
from lit_mlm.data.reading.text_cache import store_texts

def read():
    yield from ("text %d" % i for i in range(3000))
    print("written", flush=True)
    sys.stdin.read()
    yield "the end"

store_texts(read(), Path(sys.argv[1]))
"""


def start_writing(folder: Path) -> "subprocess.Popen[bytes]":
    """A process that has written a part of its texts and waits for the end of its input."""
    command = [sys.executable, "-c", HANG, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"written\n"
    return process


def test_what_a_killed_process_left_goes_and_what_is_being_written_stays(tmp_path: Path) -> None:
    living, killed = start_writing(tmp_path), start_writing(tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert [path.suffix for path in list_files(tmp_path)] == [".unfinished"] * 2
    store_texts(TEXTS, tmp_path)
    assert sorted(path.suffix for path in list_files(tmp_path)) == [".arrow", ".unfinished"]
    living.communicate(b"")
    assert living.returncode == 0
    assert [path.suffix for path in list_files(tmp_path)] == [".arrow"] * 2


def test_disk_that_can_t_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = f"can't write to the cache {tmp_path}: File too large; free disk space, or choose another folder"
    with limit_files(1000), pytest.raises(InputError, match=message):
        store_texts(TEXTS * 10, tmp_path)
    assert list_files(tmp_path) == []
    assert list(iterate_texts(store_texts(TEXTS * 10, tmp_path))) == TEXTS * 10

    def fail(*_args: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", fail)
    assert list(iterate_texts(store_texts(TEXTS * 10, tmp_path))) == TEXTS * 10  # a full cache may be read-only
    with pytest.raises(InputError, match=f"{tmp_path}: Permission denied; free disk space, or choose another folder"):
        store_texts(TEXTS, tmp_path)


MEMORY = """
import sys, threading, time
from pathlib import Path
from lit_mlm.data.reading import text_cache
from lit_mlm.data.tokens import tokenize
from lit_mlm.data.sets.text_files import TextFilesDataModule
from lit_mlm.text.masking.strategies import WordMasking

def read_memory():
    (line,) = [line for line in open("/proc/self/status") if line.startswith("RssAnon")]
    return int(line.split()[1]) / 2**10

folder, tokenizer = sys.argv[1:]
tokenize.BATCH_BYTES = text_cache.BATCH_CHARACTERS = 2**14
options = {"tokenizer": tokenizer, "block_size": 512, "document_per": "line", "masking": WordMasking()}
peaks = []
for name, number in (("first", 2000), ("small", 2000), ("large", 16_000)):
    file = Path(folder, name + ".txt")
    with file.open("w") as out:
        for i in range(number):
            print(name, i, "the story was dull and the cast was dull and the music was dull " * 8, file=out)
    data = TextFilesDataModule(str(file), cache_dir=folder + "/cache", **options)
    peak, is_done = [read_memory()], threading.Event()
    def watch():
        while not is_done.wait(0.01):
            peak[0] = max(peak[0], read_memory())
    thread = threading.Thread(target=watch)
    thread.start()
    data.setup("fit")
    is_done.set()
    thread.join()
    peaks.append(peak[0])
    size = file.stat().st_size / 2**20
print(peaks[2] - peaks[1], size)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="anonymous memory is known on Linux alone")
def test_memory_does_not_grow_with_the_corpus(tmp_path: Path, tiny_bert: str) -> None:
    command = [sys.executable, "-c", MEMORY, str(tmp_path), tiny_bert]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    growth, size = map(float, done.stdout.split())
    assert size > 7
    assert growth < 7  # by which the texts alone grew; their tokens by 10
