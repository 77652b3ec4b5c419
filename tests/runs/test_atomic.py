"""Files and folders that reach the disk whole."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lit_mlm.errors import InputError
from lit_mlm.runs.atomic import atomic_folder, check_replaceable, read_json, restore_folder, write_json, write_lines

KILLED = """
import os, shutil, sys
from pathlib import Path
from lit_mlm.runs.atomic import atomic_folder

folder, steps = Path(sys.argv[1]), int(sys.argv[2])

def step(function):
    def run(*args, **kwargs):
        global steps
        if steps == 0:
            os._exit(9)
        steps -= 1
        return function(*args, **kwargs)
    return run

with atomic_folder(folder) as unfinished:
    (unfinished / "weights").write_text("new")
    Path.rename, shutil.rmtree = step(Path.rename), step(shutil.rmtree)
"""
"""Replaces a folder in a process that is killed before a step: two renames, and the removal of leftovers."""


def test_infinities_become_null(tmp_path: Path) -> None:
    write_json(tmp_path / "a" / "metrics.json", {"val/perplexity": math.inf, "nan": math.nan, "x": 1.5, "name": "y"})
    content = json.loads((tmp_path / "a" / "metrics.json").read_text())
    assert content == {"val/perplexity": None, "nan": None, "x": 1.5, "name": "y"}


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_lines_that_fail_midway_leave_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    write_lines(path, ["caf\u00e9", "\ud800"])
    assert path.read_bytes() == b"caf\xc3\xa9\n\\ud800\n"
    with pytest.raises(ZeroDivisionError):
        write_lines(path, (str(1 // i) for i in (1, 0)))
    assert path.read_text().endswith("\\ud800\n")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("steps", "content"), [(0, "old"), (1, "old"), (2, "new"), (3, "new")])
def test_folder_is_whole_after_a_kill_at_any_step(steps: int, content: str, tmp_path: Path) -> None:
    folder = tmp_path / "hf"
    folder.mkdir()
    (folder / "weights").write_text("old")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(steps)], check=False)
    assert killed.returncode == 9
    assert folder.exists() == (steps != 1)
    restore_folder(folder)
    assert (folder / "weights").read_text() == content
    assert list(tmp_path.iterdir()) == [folder]


def test_folder_that_fails_leaves_the_old_one_and_a_link_stays_one(tmp_path: Path) -> None:
    folder, link = tmp_path / "hf", tmp_path / "link"
    folder.mkdir()
    (folder / "weights").write_text("old")
    link.symlink_to(folder)
    with pytest.raises(ZeroDivisionError), atomic_folder(link) as unfinished:
        (unfinished / "weights").write_text(str(1 // 0))
    assert (folder / "weights").read_text() == "old"
    with atomic_folder(link) as unfinished:
        (unfinished / "weights").write_text("new")
    assert link.is_symlink()
    assert (folder / "weights").read_text() == "new"
    assert sorted(tmp_path.iterdir()) == [folder, link]


@pytest.mark.parametrize("make", [lambda path: path.write_text("x"), lambda path: path.symlink_to(path.parent)])
def test_leftover_that_is_no_folder_is_removed(tmp_path: Path, make: Callable[[Path], object]) -> None:
    (tmp_path / "run").mkdir()
    folder = tmp_path / "run" / "hf"
    folder.mkdir()
    make(folder.with_name(".hf.old"))
    with atomic_folder(folder) as unfinished:
        (unfinished / "weights").write_text("new")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["hf"]


def test_place_that_can_not_be_replaced_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for name, target in {"file": "file", "loop": "to_loop", "missing": "a/b", "folder": "folder"}.items():
        (tmp_path / f"to_{name}").symlink_to(tmp_path / target)
    for good in ("new", "new/hf", "folder", "to_folder", "to_missing"):
        check_replaceable(tmp_path / good)
    for bad, expected in {
        "file": "file is a file, but the run writes a folder there: move it away$",
        "to_file": f"to_file, which is a link to {tmp_path}/file, is a file, but",
        "to_loop": "to_loop is a link to itself: remove it$",
    }.items():
        with pytest.raises(InputError, match=f"^{tmp_path}/{expected}"):
            check_replaceable(tmp_path / bad)
    monkeypatch.setattr(os.path, "ismount", lambda path: path == tmp_path / "folder")
    with pytest.raises(InputError, match=f"to_folder, which is a link to {tmp_path}/folder, is a mount point and"):
        check_replaceable(tmp_path / "to_folder")
    monkeypatch.undo()
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path)
    with pytest.raises(InputError, match=f"^{tmp_path}/new/hf can't be replaced, as {tmp_path} is not writable: "):
        check_replaceable(tmp_path / "new" / "hf")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Expecting value: line 1 column 1"),
        (b'{"step": 3', "Expecting ',' delimiter: line 1 column 11"),
        (b'{"a": "\xff"}', "'utf-8' codec can't decode byte 0xff"),
        (b"[3]", r"it has \[3\] in place of an object"),
        (b"[" * 100_000, "maximum recursion depth exceeded"),
    ],
)
def test_damaged_json_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "metrics.json"
    assert read_json(path) == {}
    write_json(path, {"a": 1})
    assert read_json(path) == {"a": 1}
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"^{path} is damaged: {reason}.*; remove it, and fit writes it again$"):
        read_json(path)
