"""Data sets that can't be had from the Hub."""

from pathlib import Path

import pytest

from lit_mlm.data.reading import hub
from lit_mlm.data.reading.hub import RENAMED, load_split
from lit_mlm.errors import InputError
from tests.conftest import FIXTURES


@pytest.mark.parametrize("old", RENAMED)
def test_old_ids_name_today_s(old: str) -> None:
    with pytest.raises(InputError, match=f"data.dataset {old} is a loading script.*use {RENAMED[old]}"):
        load_split(old, "train")


def test_no_network(tmp_path: Path) -> None:
    expected = r"data.dataset some/one, revision v1, is neither a folder nor in the cache, .*: run prepare with"
    with pytest.raises(InputError, match=expected):
        load_split("some/one", "train", "v1")
    with pytest.raises(InputError, match=r"data.dataset some/one is neither"):
        load_split("some/one", "train")


def test_folders_without_the_split_or_data(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'Unknown split "trian". Should be one of .*train'):
        load_split(str(FIXTURES / "imdb_hub"), "trian")
    with pytest.raises(InputError, match="doesn't contain any data files"):
        load_split(str(tmp_path), "train")
    with pytest.raises(InputError, match="BuilderConfig 'plain' not found"):
        load_split(str(FIXTURES / "imdb_hub"), "train", subset="plain")


def test_broken_file_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"text": "a"}\n{"text": ')
    with pytest.raises(InputError, match=r"data.dataset .* can't be read: .*JSON"):
        load_split(str(tmp_path), "train")


@pytest.mark.parametrize("message", ["Dataset scripts are no longer supported, but found x.py", "something else"])
def test_scripts_are_told_from_other_faults(message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise RuntimeError(message)

    monkeypatch.setattr(hub, "load_dataset", fail)
    with pytest.raises(InputError if "scripts" in message else RuntimeError, match=r"refs/convert|something else"):
        load_split("some/one", "train")


@pytest.mark.parametrize("streaming", [False, True])
def test_rows_are_those_that_are_read_one_by_one(streaming: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "NUM_ROWS", 5)
    rows = load_split(str(FIXTURES / "imdb_hub"), "train", subset="plain_text", streaming=streaming)
    expected = list(rows)
    assert len(expected) % 5 != 0
    assert list(expected[0]) == ["text", "label"]
    assert list(hub.iterate_rows(rows)) == expected
