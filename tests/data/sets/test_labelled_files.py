"""Labelled texts in files and on the Hub."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, Sequence, Value

from lit_mlm import LabelledFilesDataModule
from lit_mlm.data.labelled.texts import LabelledText
from lit_mlm.errors import InputError

ROWS = [("A fine film.", "pos"), ("A dull film.", "neg"), ("Plain.", "neg"), ("Great.", "pos")]


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> str:
    path = folder / name
    content = "\n".join(map(json.dumps, rows)).encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return str(path)


def make(rows: list[tuple[str, Any]] = ROWS) -> list[dict[str, Any]]:
    return [{"text": text, "label": label} for text, label in rows]


def read(texts: list[LabelledText]) -> list[tuple[str, Any]]:
    return [(text.columns[0], text.labels and text.labels[0]) for text in texts]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv", "a.tsv", "a.parquet", "a.json"])
def test_files_of_all_kinds(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith(("csv", "tsv")):
        path.write_text("\n".join(("," if name == "a.csv" else "\t").join(row) for row in [("text", "label"), *ROWS]))
    elif name.endswith("parquet"):
        Dataset.from_list(make()).to_parquet(path)
    elif name.endswith("json"):
        path.write_text(json.dumps(make()))
    else:
        write(tmp_path, name, make())
    data = LabelledFilesDataModule(str(path), val_fraction=0.25)
    loaded = data.load_labelled(["train", "val"])
    assert (len(loaded["train"]), len(loaded["val"])) == (3, 1)
    assert sorted(read(loaded["train"] + loaded["val"])) == sorted(ROWS)


def test_sets_of_their_own(tmp_path: Path) -> None:
    train, news, web = (write(tmp_path, f"{name}.jsonl", make()) for name in ("train", "news", "web"))
    data = LabelledFilesDataModule(train, {"news": news}, {"news": news + "x", "web": web})
    assert data.list_sets("test") == ["test/news", "test/web"]
    with pytest.raises(InputError, match="no file matches"):
        data.load_labelled(["test/web"])
    data = LabelledFilesDataModule(train, test_files={"news": news, "web": web})
    assert read(data.load_labelled(["test/web"])["test/web"]) == ROWS
    assert len(data.load_labelled(["test"])["test"]) == 8  # as `predict` reads them
    with pytest.raises(InputError, match=r"train.jsonl is in both data.train_files and data.val_files"):
        LabelledFilesDataModule(train, train).load_labelled(["train"])


def test_a_data_set_names_its_labels(tmp_path: Path) -> None:
    names = ["neg", "pos"]
    rows = [{"text": text, "label": names.index(label)} for text, label in ROWS] + [{"text": "New.", "label": -1}]
    features = Features({"text": Value("string"), "label": ClassLabel(names=names)})
    Dataset.from_list(rows[:4], features=features).to_parquet(tmp_path / "train-0.parquet")
    Dataset.from_list(rows, features=features).to_parquet(tmp_path / "test-0.parquet")
    data = LabelledFilesDataModule(dataset=str(tmp_path), test_split="test", val_fraction=0.5)
    loaded = data.load_labelled(["train", "val"])
    assert sorted(read(loaded["train"] + loaded["val"])) == sorted(ROWS)
    with pytest.raises(InputError, match=r"test, row 5: no label; set data.skip_bad"):
        data.load_labelled(["test"])
    data.needs_labels = False
    assert read(data.load_labelled(["test"])["test"])[-1] == ("New.", None)


def test_several_labels_per_text(tmp_path: Path) -> None:
    rows = [("A.", ["x", "y"]), ("B.", []), ("C.", ["y", "y"])]
    data = LabelledFilesDataModule(write(tmp_path, "a.jsonl", make(rows)), multi_label=True, val_fraction=0.3)
    loaded = data.load_labelled(["train"])
    assert sorted(text.labels or () for text in loaded["train"] + loaded["val"]) == [(), ("x", "y"), ("y",)]
    (tmp_path / "b.csv").write_text('text,label\nA.,"x, y"\nB.,\nC.,y\n')
    loaded = LabelledFilesDataModule(str(tmp_path / "b.csv"), multi_label=True, val_fraction=0.3).load_labelled(["val"])
    assert sorted(text.labels or () for text in loaded["train"] + loaded["val"]) == [(), ("x", "y"), ("y",)]
    features = Features({"text": Value("string"), "label": Sequence(ClassLabel(names=["x", "y"]))})
    Dataset.from_list(make([("A.", [0, 1]), ("B.", [])]), features=features).to_parquet(tmp_path / "train-0.parquet")
    data = LabelledFilesDataModule(dataset=str(tmp_path), multi_label=True, val_fraction=0.5)
    loaded = data.load_labelled(["train"])
    assert sorted(text.labels or () for text in loaded["train"] + loaded["val"]) == [(), ("x", "y")]


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        (
            {"text": "A.", "lable": "x"},
            {},
            r"line 1: no column 'label', only 'text', 'lable'; did you mean data.label_",
        ),
        ({"text": "A.", "label": None}, {}, r"line 1: no label; set data.skip_bad true"),
        (
            {"text": "A.", "label": ["x"]},
            {},
            r"expected a label in the column 'label', got \['x'\]; data.multi_label true",
        ),
        ({"text": "A.", "label": 1.5}, {}, r"expected a label in the column 'label', got 1.5"),
        ({"text": "A.", "label": 2}, {"labels": ["a", "b"]}, r"the label is 2, but there are 2: a, b"),
        ({"text": "A.", "label": 2}, {"multi_label": True}, r"must hold a list of labels, got 2"),
        ({"text": " ", "label": "x"}, {}, r"line 1: str ' ' in the column 'text'"),
    ],
)
def test_bad_records(tmp_path: Path, row: dict[str, Any], options: dict[str, Any], message: str) -> None:
    path = write(tmp_path, "a.jsonl", [row, *make()])
    with pytest.raises(InputError, match=message):
        LabelledFilesDataModule(path, **options).load_labelled(["train"])
    if "multi_label" not in options:
        loaded = LabelledFilesDataModule(path, skip_bad=True, **options).load_labelled(["train"])
        assert len(loaded["train"] + loaded["val"]) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no texts: give data.train_files or data.dataset"),
        ({"train_files": "a", "dataset": "b"}, r"data.train_files \(a\) and data.dataset \(b\) are mutually exclusive"),
        ({"train_files": "a", "test_split": "b"}, r"data.test_split \(b\) has no effect without data.dataset"),
        ({"train_files": "a", "text_column": ["a", "label"]}, "must name text, beside data.label_column"),
        ({"train_files": "a", "text_column": ["a", "b"], "long_texts": "windows"}, "needs one data.text_column"),
        ({"train_files": "a", "stride": 3}, r"data.stride \(3\) has no effect with data.long_texts head"),
        ({"train_files": "a", "labels": ["a", "a"]}, "must name at least one label, each once"),
        ({"train_files": "a", "max_tokens_per_batch": 9, "eval_batch_size": 1}, "are mutually exclusive"),
    ],
)
def test_options_that_do_not_fit_together(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LabelledFilesDataModule(**options)


def test_missing_texts_and_too_few_are_told(tmp_path: Path) -> None:
    data = LabelledFilesDataModule(write(tmp_path, "a.jsonl", make(ROWS[:1])))
    with pytest.raises(InputError, match=r"no test texts: give data.test_files"):
        data.load_labelled(["test"])
    with pytest.raises(InputError, match="1 texts for training are too few to hold out 1 for validation"):
        data.load_labelled(["val"])
