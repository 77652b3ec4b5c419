"""Files and folders that reach the disk whole."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from lit_mlm.runs.atomic import atomic_folder, restore_folder, write_json, write_lines

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
