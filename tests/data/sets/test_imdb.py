"""IMDB in the layouts that it is published in."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from lit_mlm.data.sets.imdb import FOLDERS, IMDBDataModule
from tests.conftest import FIXTURES, read_reviews
from tests.fixtures.make_fixtures import write_fixtures

FOLDER = str(FIXTURES / "aclImdb")


def load(splits: set[str], **options: Any) -> dict[str, list[str]]:
    return {name: list(part["text"]) for name, part in IMDBDataModule(**options).load_documents(splits).items()}


def test_fixtures_are_what_their_script_writes(tmp_path: Path) -> None:
    write_fixtures(tmp_path)
    for pattern in ("*.txt", "eng.*"):
        for file in tmp_path.rglob(pattern):
            assert file.read_bytes() == (FIXTURES / file.relative_to(tmp_path)).read_bytes()
        assert len(list(tmp_path.rglob(pattern))) == len(list(FIXTURES.rglob(pattern)))


def test_folder() -> None:
    parts = load({"train", "val"}, data_dir=FOLDER, val_fraction=0.25)
    assert (len(parts["train"]), len(parts["val"])) == (18, 6)
    assert sorted(parts["train"] + parts["val"]) == sorted(read_reviews())
    assert not set(parts["train"]) & set(parts["val"])
    assert load({"test"}, data_dir=FOLDER)["test"] == read_reviews("test")


@pytest.mark.parametrize("splits", [["train"], ["unsupervised"], ["train", "unsupervised", "test"]])
def test_hub_layout_gives_the_same_reviews(splits: list[str]) -> None:
    hub = {"dataset": str(FIXTURES / "imdb_hub")}
    options: dict[str, Any] = {"train_splits": splits, "split_seed": 5}
    assert load({"train", "val"}, **options, **hub) == load({"train", "val"}, **options, data_dir=FOLDER)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_json_lines_give_the_same_reviews(tmp_path: Path, suffix: str) -> None:
    for split, folders in FOLDERS.items():
        files = [file for name in folders for file in sorted((FIXTURES / "aclImdb" / name).glob("*.txt"))]
        lines = "\n".join(json.dumps({"text": file.read_text(), "label": 0}) for file in files).encode()
        (tmp_path / f"{split}.jsonl{suffix}").write_bytes(gzip.compress(lines) if suffix else lines)
    options: dict[str, Any] = {"train_splits": ["train", "unsupervised"]}
    wanted = {"train", "val", "test"}
    assert load(wanted, data_dir=str(tmp_path), **options) == load(wanted, data_dir=FOLDER, **options)


def test_training_splits_are_chosen_by_name() -> None:
    def count(*splits: str) -> int:
        return sum(map(len, load({"train", "val"}, data_dir=FOLDER, train_splits=list(splits)).values()))

    assert (count("train"), count("unsupervised"), count("test"), count("train", "unsupervised")) == (24, 8, 12, 32)


def test_training_text_is_not_tested_on() -> None:
    with pytest.raises(ValueError, match="the model can't be tested on its training data"):
        load({"test"}, data_dir=FOLDER, train_splits=["train", "test"])


def test_two_places_for_the_reviews_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"data.data_dir \(a\) and data.dataset \(b, revision None\) are mutually exclusive"
    ):
        IMDBDataModule(data_dir="a", dataset="b")


def test_split_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="each once"):
        IMDBDataModule(train_splits=["train", "train"])


def test_missing_folder_is_named(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "aclImdb" / "train" / "neg", tmp_path / "train" / "neg")
    with pytest.raises(ValueError, match=r"the train split needs \*\.txt files in .*train/pos"):
        load({"train"}, data_dir=str(tmp_path))


def test_place_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"data.data_dir .*/aclImbd does not exist; did you mean .*/aclImdb\?"):
        load({"train"}, data_dir=str(FIXTURES / "aclImbd"))
