"""Evaluation sets by name."""

from typing import Any

import pytest

from lit_mlm.data.reading.named_sets import find_sets, get_files, list_patterns, name_option
from lit_mlm.data.sets.conll import CoNLLDataModule
from lit_mlm.data.sets.text_files import TextFilesDataModule
from lit_mlm.errors import InputError

FILES: dict[str, Any] = {"train": "t", "val": {"news": "n", "web": ["a", "b"]}, "test": None}


def test_files_of_splits_and_sets() -> None:
    assert find_sets(FILES) == {"val": ["news", "web"]}
    assert get_files(FILES, "val/web") == ["a", "b"]
    assert [list_patterns(get_files(FILES, split)) for split in ("train", "val", "val/news", "test")] == [
        *(["t"], ["n", "a", "b"], ["n"], [])
    ]
    assert name_option("val/web") == "data.val_files.web"
    assert name_option("train") == "data.train_files"


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ({}, "data.test_files is empty: name at least one set, such as {news: news.txt}"),
        ({2020: "a"}, "data.test_files: the name of a set must be a string, got 2020; put it in quotes"),
        ({"a b": "a"}, "data.test_files: rename the set 'a b': letters, digits, _ and - are allowed"),
        ({"a/b": "a"}, "data.test_files: rename the set 'a/b'"),
        ({"é": "a"}, "data.test_files: rename the set 'é'"),
        ({"": "a"}, "data.test_files: rename the set ''"),
        ({"a": []}, "data.test_files.a names no file; give one, or remove the set"),
    ],
)
@pytest.mark.parametrize("data_class", [TextFilesDataModule, CoNLLDataModule])
def test_names_that_are_refused(data_class: Any, sets: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        data_class(train_files="t", test_files=sets)
    assert str(error.value).startswith(message)


def test_names_of_every_letter_and_digit() -> None:
    assert find_sets({"val": {"News_2020-b": "a"}}) == {"val": ["News_2020-b"]}
