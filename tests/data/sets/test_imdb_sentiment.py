"""The sentiment of IMDB in the layouts that it is published in."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from lit_mlm import IMDBSentimentDataModule
from lit_mlm.data.sets.imdb import HUB_ID, HUB_REVISION
from lit_mlm.errors import InputError
from tests.conftest import FIXTURES
from tests.hub_server import Hub

FOLDER, COPY = str(FIXTURES / "aclImdb"), FIXTURES / "imdb_hub"


def load(splits: set[str], **options: Any) -> dict[str, list[tuple[str, Any]]]:
    loaded = IMDBSentimentDataModule(**options).load_labelled(splits)
    return {split: [(text.columns[0], text.labels) for text in texts] for split, texts in loaded.items()}


def read_folder(split: str) -> list[tuple[str, Any]]:
    """The reviews of a split with their labels; those of ``unsup`` are left out."""
    files = [
        (file, kind) for kind in ("neg", "pos") for file in sorted((FIXTURES / "aclImdb" / split / kind).iterdir())
    ]
    return [(file.read_text(), (kind,)) for file, kind in files]


def test_folder() -> None:
    parts = load({"train", "val"}, data_dir=FOLDER, val_fraction=0.25)
    assert (len(parts["train"]), len(parts["val"])) == (18, 6)
    assert sorted(parts["train"] + parts["val"]) == sorted(read_folder("train"))
    assert load({"test"}, data_dir=FOLDER) == {"test": read_folder("test")}


def test_a_copy_of_the_data_set_on_the_hub_gives_the_same() -> None:
    splits = {"train", "val", "test"}
    assert load(splits, dataset=str(COPY), split_seed=5) == load(splits, data_dir=FOLDER, split_seed=5)


def test_the_hub_gives_the_same_at_a_fixed_revision(hub: Hub) -> None:
    repo = hub.add_repo("datasets", HUB_ID)
    files = {path.relative_to(COPY).as_posix(): path.read_bytes() for path in COPY.rglob("*") if path.is_file()}
    repo.commits[HUB_REVISION] = "pinned", files
    assert load({"test"}) == {"test": read_folder("test")}
    assert hub.count("resolve") == hub.count(f"resolve/{HUB_REVISION}") > 0


def test_two_places_and_missing_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"data.data_dir \(a\) and data.dataset \(b, revision None\) are mutually excl"
    ):
        IMDBSentimentDataModule("a", dataset="b")
    shutil.copytree(FIXTURES / "aclImdb" / "train" / "neg", tmp_path / "train" / "neg")
    with pytest.raises(InputError, match=r"the train split needs \*\.txt files in .*train/pos"):
        load({"train"}, data_dir=str(tmp_path))


def test_bad_reviews_are_refused_or_left_out(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "aclImdb")
    (tmp_path / "aclImdb/test/neg/0_3.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputError, match=r"0_3.txt.*; set data.skip_bad true to skip"):
        load({"test"}, data_dir=str(tmp_path / "aclImdb"))
    assert len(load({"test"}, data_dir=str(tmp_path / "aclImdb"), skip_bad=True)["test"]) == 11
