"""Folds of the training sentences."""

from pathlib import Path
from typing import Any

import pytest

from lit_mlm import CoNLLDataModule
from lit_mlm.data.tagged.folds import FoldOptions
from lit_mlm.data.tagged.sentences import TaggedSentence
from lit_mlm.errors import InputError
from tests.conftest import FIXTURES


def make(num: int, documents: int | None = None) -> list[TaggedSentence]:
    return [
        TaggedSentence([f"w{i}"], ["O"], f"row {i}", document=None if documents is None else i % documents)
        for i in range(num)
    ]


@pytest.mark.parametrize("documents", [None, 4])
def test_each_sentence_is_in_one_fold(documents: int | None) -> None:
    sentences = make(20, documents)
    found: list[TaggedSentence] = []
    for fold in range(3):
        parts = FoldOptions(3, fold).split(sentences)
        assert sorted(parts["train"] + parts["val"], key=sentences.index) == sentences
        assert parts["val"] == sorted(parts["val"], key=sentences.index)
        if documents:
            assert not {s.document for s in parts["train"]} & {s.document for s in parts["val"]}
        found += parts["val"]
    assert sorted(found, key=sentences.index) == sentences
    with pytest.raises(InputError, match=r"data.num_folds is 21, but there are (20|4) training documents or sentences"):
        FoldOptions(21, 0).split(sentences)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_folds": 3}, r"data.num_folds and data.fold, from 0, belong together"),
        ({"fold": 3}, r"data.num_folds and data.fold, from 0, belong together"),
        ({"num_folds": 3, "fold": 3}, r"data.fold must be less than data.num_folds, 3, got 3"),
        ({"num_folds": 1, "fold": 0}, r"num_folds must be at least 2"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CoNLLDataModule(data_dir="conll", **options)


def test_the_fold_is_the_validation_split(tmp_path: Path) -> None:
    """Also without a file for it."""
    lines = (FIXTURES / "conll" / "train.txt").read_text()
    (tmp_path / "train.txt").write_text(lines.replace("-DOCSTART- -X- -X- O\n\n", ""))
    (tmp_path / "valid.txt").write_text(lines)
    whole = CoNLLDataModule(data_dir=str(tmp_path)).load_sentences({"train"})["train"]
    data = CoNLLDataModule(data_dir=str(tmp_path), num_folds=4, fold=1, vocab_size=100, cache_dir=str(tmp_path))
    loaded = data.load_texts({"train", "val"})
    assert (len(loaded["train"]) + len(loaded["val"]), len(loaded["val"])) == (len(whole), len(whole) // 4)
    assert {sentence.first_line for sentence in loaded["val"]} <= {sentence.first_line for sentence in whole}
    sets = {"new": str(tmp_path / "valid.txt")}
    files: dict[str, Any] = {"train_files": str(tmp_path / "train.txt"), "val_files": sets}
    data = CoNLLDataModule(**files, num_folds=4, fold=1)
    with pytest.raises(InputError, match=r"data.num_folds and sets in data.val_files are mutually exclusive"):
        data.load_texts({"train", "val/new"})
