"""What reaches the disk."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from lit_mlm.errors import InputError
from lit_mlm.runs import atomic, checkpoints
from lit_mlm.runs.atomic import remove_unfinished
from lit_mlm.runs.checkpoints import (
    CHECKSUM,
    RECORD,
    find_checkpoint,
    link_checkpoint,
    read_checkpoint,
    write_checkpoint,
)


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"auto_class": "pipeline"}, "auto_class"),
        ({"auto_class": "AutoModel.from_config"}, "auto_class"),
        ({"config": "bert", "results": []}, "config, results"),
        ({"tokenizer": {"tokenizer.json": "text"}}, "tokenizer"),
        ({"tokenizer": {1: torch.zeros(1)}}, "tokenizer"),
    ],
)
def test_records_of_another_make_are_refused(changed: dict[str, Any], wrong: str, tmp_path: Path) -> None:
    good: dict[str, Any] = {"auto_class": "AutoModelForMaskedLM"}
    good |= {name: {} for name in ("config", "options", "tokenizer", "results")}
    path = tmp_path / "a.ckpt"
    torch.save({RECORD: good}, path)
    assert read_checkpoint(path)[RECORD] == good
    for record in (good | changed, list(good)):
        torch.save({RECORD: record}, path)
        expected = wrong if isinstance(record, dict) else "auto_class, config, options, tokenizer, results"
        with pytest.raises(
            InputError, match=f"{path} is not a checkpoint of lit-mlm: its record has an invalid {expected}$"
        ):
            read_checkpoint(path)


# Checkpoints


class Kill(BaseException):
    """Ends a process where nothing is cleaned up."""


def make(step: int) -> dict[str, Any]:
    record: dict[str, Any] = {name: {} for name in ("config", "options", "tokenizer", "results")}
    return {RECORD: record | {"auto_class": "AutoModelForMaskedLM"}, "global_step": step, "weight": torch.ones(300)}


@pytest.fixture
def last(tmp_path: Path) -> Path:
    """A checkpoint of step 1."""
    path = tmp_path / "checkpoints" / "last.ckpt"
    write_checkpoint(make(1), path)
    return path


def list_names(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir())


def kill_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Ends the process in place of a rename, the one of that number from here; nothing is cleaned up afterwards."""
    replace, count = Path.replace, [0]

    def stop(self: Path, target: Path) -> Path:
        count[0] += 1
        if count[0] == number:
            raise Kill
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", stop)
    for module in (atomic, checkpoints):
        monkeypatch.setattr(module, "remove_quietly", lambda path: None)


def test_checksum_is_that_of_sha256sum(last: Path) -> None:
    assert list_names(last) == ["last.ckpt", "last.ckpt.sha256"]
    expected = hashlib.sha256(last.read_bytes()).hexdigest()
    assert Path(f"{last}{CHECKSUM}").read_text() == f"{expected}\n"
    assert read_checkpoint(last)["global_step"] == 1


@pytest.mark.parametrize("damage", ["cut off", "empty", "one bit", "its checksum", "another's"])
def test_damaged_checkpoint_names_itself(damage: str, last: Path) -> None:
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 4
    if damage == "its checksum":
        Path(f"{last}{CHECKSUM}").write_bytes(b"\xff\xfe")
    elif damage == "another's":
        other = last.with_name("other.ckpt")
        write_checkpoint(make(2), other)
        other.replace(last)
    else:
        last.write_bytes({"cut off": bytes(content[:-100]), "empty": b"", "one bit": bytes(content)}[damage])
    with pytest.raises(InputError, match=f"{last} is damaged: its SHA-256 is [0-9a-f]{{12}}.*; use another"):
        read_checkpoint(last)
    assert find_checkpoint(last.parent)[0] is None


def test_checkpoint_without_a_checksum_is_taken_as_it_is(last: Path) -> None:
    Path(f"{last}{CHECKSUM}").unlink()
    assert read_checkpoint(last)["global_step"] == 1
    link_checkpoint(last, last.with_name("best.ckpt"))
    assert read_checkpoint(last.with_name("best.ckpt"))["global_step"] == 1


def test_any_bit_that_is_flipped_where_there_is_no_checksum_is_no_crash(last: Path) -> None:
    """Of the file's directory and its pickle; zip's own checksums are of the tensors."""
    Path(f"{last}{CHECKSUM}").unlink()
    content, num_refused = last.read_bytes(), 0
    for place in range(0, len(content), 7):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        last.write_bytes(flipped)
        try:
            read_checkpoint(last)
        except InputError:
            num_refused += 1
    assert num_refused > 20


@pytest.mark.parametrize("number", [1, 2, 3])
def test_kill_while_a_checkpoint_is_written(number: int, last: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before both checksums are there, before the file is, and before its own is the only one."""
    with monkeypatch.context() as patch:
        kill_at(patch, number)
        with pytest.raises(Kill):
            write_checkpoint(make(2), last)
    assert read_checkpoint(last)["global_step"] == (2 if number == 3 else 1)
    assert any(name.endswith(".unfinished") for name in list_names(last))
    remove_unfinished(last.parent)
    assert list_names(last) == ["last.ckpt", "last.ckpt.sha256"]
    write_checkpoint(make(3), last)
    assert read_checkpoint(last)["global_step"] == 3
    assert len(Path(f"{last}{CHECKSUM}").read_text().split()) == 1


def test_two_kills_between_the_checksum_and_the_file(last: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checksum of the one that never came must not push out that of the one that is there."""
    for step in (2, 3):
        with monkeypatch.context() as patch:
            kill_at(patch, 2)
            with pytest.raises(Kill):
                write_checkpoint(make(step), last)
        assert read_checkpoint(last)["global_step"] == 1
    link_checkpoint(last, last.with_name("best.ckpt"))
    assert read_checkpoint(last.with_name("best.ckpt"))["global_step"] == 1


def test_failed_write_leaves_no_orphan(last: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = last.read_bytes()

    def fill(content: Any, file: Any) -> None:
        file.write(b"begun")
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    monkeypatch.setattr(torch, "save", fill)
    with pytest.raises(InputError, match=rf"{last} can't be written; the existing one is intact: .*--run_dir"):
        write_checkpoint(make(2), last)
    assert (last.read_bytes(), list_names(last)) == (before, ["last.ckpt", "last.ckpt.sha256"])
    monkeypatch.setattr(torch, "save", lambda *_: (_ for _ in ()).throw(SystemExit(143)))
    with pytest.raises(SystemExit):
        write_checkpoint(make(2), last)
    assert list_names(last) == ["last.ckpt", "last.ckpt.sha256"]


@pytest.mark.parametrize("has_links", [True, False])
def test_second_name_stays_when_the_first_is_written_anew(
    has_links: bool, last: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    best = last.with_name("best.ckpt")
    link_checkpoint(last, best)
    assert best.samefile(last) is has_links
    write_checkpoint(make(2), last)
    assert (read_checkpoint(best)["global_step"], read_checkpoint(last)["global_step"]) == (1, 2)
    assert find_checkpoint(last.parent) == (last, [])
    link_checkpoint(last, best)
    assert read_checkpoint(best)["global_step"] == 2
    assert list_names(last) == ["best.ckpt", "best.ckpt.sha256", "last.ckpt", "last.ckpt.sha256"]


def test_link_that_can_not_be_made(last: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "link_or_copy", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(InputError, match=r"best.ckpt can't be written: .*No space left.*--run_dir"):
        link_checkpoint(last, last.with_name("best.ckpt"))
    assert list_names(last) == ["last.ckpt", "last.ckpt.sha256"]


def test_newest_is_found_beside_damaged_ones(last: Path) -> None:
    write_checkpoint(make(7), last.with_name("best.ckpt"))
    assert find_checkpoint(last.parent) == (last.with_name("best.ckpt"), [])
    last.with_name("best.ckpt").write_bytes(b"")
    path, problems = find_checkpoint(last.parent)
    assert path == last
    assert [problem.partition(" is damaged")[0] for problem in problems] == [str(last.with_name("best.ckpt"))]
    assert find_checkpoint(last.parent / "none") == (None, [])
