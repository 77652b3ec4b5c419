"""A cache folder appears whole, and is replaced once it is not what was written."""

import json
import os
import time
from pathlib import Path

import pytest

from lit_mlm.data.reading import cache_folder
from lit_mlm.data.reading.cache_folder import make_folder, name_folder
from lit_mlm.errors import InputError
from tests.data.conftest import limit_files


def write(folder: Path) -> None:
    (folder / "a").write_bytes(b"abcd")
    (folder / "b").write_bytes(b"")


def test_folder_is_written_once_and_again_after_any_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "parent" / "entry"
    assert make_folder(folder, write)
    assert not make_folder(folder, write)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(whole) == {"a", "b", "digests.json"}
    (folder / ".nfs0001").touch()  # of a file system
    assert not make_folder(folder, write)
    damages: list[tuple[str, bytes | None]] = [("a", b"abcx"), ("a", b"abc"), ("a", b"abcde"), ("a", b""), ("a", None)]
    damages += [("b", b"x"), ("c", b"c"), ("digests.json", b"{}"), ("digests.json", b"{"), ("digests.json", None)]
    damages += [("digests.json", json.dumps(json.loads(whole["digests.json"]) | {"a": "0"}).encode())]
    assert not caplog.messages
    for number, (name, content) in enumerate(damages, start=1):
        (folder / name).unlink(missing_ok=True)
        if content is not None:
            (folder / name).write_bytes(content)
        assert make_folder(folder, write), (name, content)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
        assert len(caplog.messages) == number
        assert not make_folder(folder, write)
    told = f"the cache {folder} is damaged: its files are not those that were written; making it anew"
    assert set(caplog.messages) == {told}


def test_name_has_the_key_and_the_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = name_folder(tmp_path, "text", 1)
    assert first.parent == tmp_path
    assert first == name_folder(tmp_path, "text", 1) != name_folder(tmp_path, "text", 2)
    monkeypatch.setattr("tokenizers.__version__", "0.0.1")
    second = name_folder(tmp_path, "text", 1)
    monkeypatch.setattr(cache_folder, "FORMAT", 0)
    assert len({first, second, name_folder(tmp_path, "text", 1)}) == 3


def test_interruption_leaves_nothing(tmp_path: Path) -> None:
    def stop(folder: Path) -> None:
        write(folder)
        raise SystemExit(143)

    with pytest.raises(SystemExit):
        make_folder(tmp_path / "a", stop)
    assert [path.name for path in tmp_path.iterdir()] == [".a.lock"]


def test_what_was_abandoned_is_removed_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    two_days_ago = time.time() - 2 * 24 * 60 * 60
    for name, written in (("dead", two_days_ago), ("alive", None)):
        folder = tmp_path / f".{name}.unfinished"
        folder.mkdir()
        (folder / "ids").write_bytes(b"1234")
        os.utime(folder, (two_days_ago, two_days_ago))
        if written is not None:
            os.utime(folder / "ids", (written, written))
    make_folder(tmp_path / "a", write)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.lock", ".alive.unfinished", "a"]


def test_full_disk_is_told(tmp_path: Path) -> None:
    message = f"can't write to the cache {tmp_path / 'a'}: File too large; free disk space, or choose another folder"
    with limit_files(1000), pytest.raises(InputError, match=message):
        make_folder(tmp_path / "a", lambda folder: (folder / "ids").write_bytes(bytes(4000)))
    assert [path.name for path in tmp_path.iterdir()] == [".a.lock"]
