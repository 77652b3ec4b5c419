"""Any text files, and their splits."""

import json
from pathlib import Path
from typing import Any

import pytest

from lit_mlm.data.text_files import TextFilesDataModule
from tests.conftest import FIXTURES, read_reviews


def load(splits: set[str], **options: Any) -> dict[str, list[str]]:
    documents = TextFilesDataModule(**options).load_documents(splits)
    return {name: list(part["text"]) for name, part in documents.items() if name in splits}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, count in (("train", 20), ("val", 3), ("test", 2)):
        (tmp_path / f"{name}.jsonl").write_text(
            "\n".join(json.dumps({"body": f"{name} {i}", "id": i}) for i in range(count))
        )
    return tmp_path


def test_splits_of_their_own_files(folder: Path) -> None:
    files: dict[str, Any] = {f"{name}_files": [str(folder / f"{name}.jsonl")] for name in ("train", "val", "test")}
    parts = load({"train", "val", "test"}, **files, text_column="body")
    assert {name: len(part) for name, part in parts.items()} == {"train": 20, "val": 3, "test": 2}
    assert parts["val"] == [f"val {i}" for i in range(3)]


def test_splits_by_fraction(folder: Path) -> None:
    options: dict[str, Any] = {"train_files": [str(folder / "train.jsonl")], "text_column": "body"}
    parts = load({"train", "val", "test"}, **options, val_fraction=0.2, test_fraction=0.1)
    assert {name: len(part) for name, part in parts.items()} == {"train": 14, "val": 4, "test": 2}
    assert len({text for part in parts.values() for text in part}) == 20
    assert load({"train"}, **options, val_fraction=0.2, test_fraction=0.1)["train"] == parts["train"]
    own = load({"train", "val", "test"}, **options, val_files=[str(folder / "val.jsonl")], test_fraction=0.1)
    assert {name: len(part) for name, part in own.items()} == {"train": 18, "val": 3, "test": 2}
    with pytest.raises(ValueError, match=r"no text to test on: give data.test_files"):
        load({"test"}, **options)


def test_documents_by_file_and_by_line() -> None:
    pattern = str(FIXTURES / "aclImdb" / "train" / "[np]*" / "*.txt")
    parts = load({"train", "val"}, train_files=pattern)
    assert sorted(parts["train"] + parts["val"]) == sorted(read_reviews())
    assert (len(parts["train"]), len(parts["val"])) == (22, 2)


def test_lines_as_documents(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n\nthree\nfour\n")
    parts = load({"train", "val"}, train_files=[str(tmp_path)], document_per="line")
    assert sorted(parts["train"] + parts["val"]) == ["four", "one", "three", "two"]


def test_copy_of_a_hub_set() -> None:
    options: dict[str, Any] = {"dataset": str(FIXTURES / "imdb_hub"), "subset": "plain_text"}
    parts = load({"train", "val", "test"}, **options, val_split="unsupervised", test_split="test")
    assert {name: len(part) for name, part in parts.items()} == {"train": 24, "val": 8, "test": 12}
    with pytest.raises(ValueError, match=r"imdb_hub, train has no column 'txt', only 'text', 'label'; did you mean"):
        load({"train"}, **options, text_column="txt")


def test_skipped_rows_are_counted_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, tiny_bert: str, cache_dir: str
) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a b c"}\nbroken\n{"text": null}\n{"text": "d e"}\n{"text": "f g"}\n')
    (tmp_path / "b.txt").write_bytes(b"caf\xe9")
    data = TextFilesDataModule(
        train_files=[str(tmp_path)], skip_bad=True, tokenizer=tiny_bert, block_size=8, cache_dir=cache_dir
    )
    data.setup("fit")
    assert data.facts("val")["num_skipped"] == 3
    assert "train: 3 left out, the first: " in caplog.text
    assert "a.jsonl, line 2: no JSON object" in caplog.text


def test_nothing_left_to_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": null}')
    with pytest.raises(ValueError, match=r"the train text is empty: .*a.jsonl, line 1: no text in the column"):
        load({"train"}, train_files=str(tmp_path), skip_bad=True)


def test_latin1_is_read_when_it_is_said(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_bytes(f"café {name}".encode("latin-1"))
    with pytest.raises(ValueError, match=r"a.txt, line 1: byte 0xe9 at place 4 is not utf-8 text"):
        load({"train"}, train_files=[str(tmp_path)])
    parts = load({"train", "val"}, train_files=[str(tmp_path)], encoding="latin-1")
    assert sorted(parts["train"] + parts["val"]) == ["café a", "café b"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no text: give data.train_files, or data.dataset"),
        ({"train_files": ["a"], "dataset": "b"}, r"data.train_files \(\['a'\]\) and data.dataset \(b, .* exclude"),
        ({"train_files": ["a"], "val_split": "val"}, r"data.val_split \(val\) has no effect without data.dataset"),
        ({"train_files": ["a"], "test_files": ["b"], "test_fraction": 0.1}, "test_fraction 0.1 has no effect"),
        ({"dataset": "a", "val_split": "train"}, "must be different ones, got train, train"),
        ({"dataset": "a", "encoding": "latin-1"}, "data.encoding latin-1 has no effect on data.dataset"),
        ({"train_files": ["a"], "encoding": "utf-9"}, "data.encoding utf-9 is no encoding of text"),
        (
            {"train_files": ["a"], "val_files": ["b"], "val_source": "train_blocks", "num_val_blocks": 3},
            "train_blocks validates on no other text",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TextFilesDataModule(**options)


def test_file_in_two_splits_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"val.jsonl is in both data.train_files and data.val_files"):
        load({"train"}, train_files=[str(folder)], val_files=[str(folder / "val.jsonl")])
