"""Words added to the vocabulary by options."""

from pathlib import Path
from typing import Any

import pytest

from lit_mlm.data.sets.imdb import IMDBDataModule
from tests.conftest import FIXTURES, read_reviews


@pytest.fixture
def make_data(tiny_bert: str, cache_dir: str) -> Any:
    def make(stage: str = "fit", **options: Any) -> IMDBDataModule:
        folder = str(FIXTURES / "aclImdb")
        options = dict[str, Any]({"tokenizer": tiny_bert, "block_size": 16, "cache_dir": cache_dir}) | options
        data = IMDBDataModule(data_dir=folder, **options)
        data.setup(stage)
        return data

    return make


@pytest.mark.parametrize("as_file", [False, True])
def test_listed_words_become_one_token(make_data: Any, tmp_path: Path, as_file: bool) -> None:
    words: Any = ["gladly", "mysterious"]
    if as_file:
        (tmp_path / "words.txt").write_text("gladly\n\nmysterious\n")
        words = str(tmp_path / "words.txt")
    data = make_data(new_words=words)
    assert data.tokenizer.tokenize("a gladly mysterious") == ["a", "gladly", "mysterious"]
    assert list(data.new_words) == [150, 151]
    assert 150 in data.examples["train"].stream


def test_frequent_words_come_from_the_training_text_at_every_stage(make_data: Any) -> None:
    tokenizers = [make_data(stage, num_new_words=3).tokenizer for stage in ("fit", "validate", "test")]
    added = [sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)[150:] for tokenizer in tokenizers]
    assert added[0] == added[1] == added[2]
    old = make_data().tokenizer
    assert all(len(old.tokenize(word)) >= 3 for word in added[0])
    assert 0 < len(make_data(num_new_words=9).new_words) < 5  # no more words have three pieces
    assert len(make_data(num_new_words=5, min_pieces=2).new_words) == 5


def test_fertility_is_reported_before_and_after(make_data: Any) -> None:
    data, old = make_data(num_new_words=5, min_pieces=2), make_data()
    facts = data.describe_split("val")
    assert facts["num_new_words"] == 5
    assert facts["fertility"] < facts["fertility_before"]
    assert facts["split_fraction"] < facts["split_fraction_before"] < 1
    texts = data.read_documents("val")["text"]
    words = sum(len(old.tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)) for text in texts)
    assert facts["fertility_before"] == sum(len(old.tokenizer.tokenize(text)) for text in texts) / words
    assert "5 words added: " in data.describe()
    assert "fertility" not in old.describe_split("val")
    assert data.fingerprint != old.fingerprint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_new_words": 0}, r"data.num_new_words must be at least 1, got 0"),
        ({"min_pieces": 4}, r"data.min_pieces \(4\) has no effect without data.num_new_words"),
        ({"num_new_words": 4, "min_pieces": 1}, "data.min_pieces must be at least 2, got 1"),
        ({"num_new_words": 4, "vocab_size": 150, "tokenizer": None}, "num_new_words extends an existing tokenizer"),
        ({"new_words": ["a"], "num_new_words": 4}, "are mutually exclusive"),
        ({"new_words": ["two words"]}, "contains white space"),
        ({"new_words": "nowhere"}, r"data.new_words must be a list, \[nowhere\], or a file: nowhere can't be read"),
    ],
)
def test_options_that_do_not_fit_are_refused(make_data: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_data(**options)


def test_documents_of_a_split_and_their_lengths(make_data: Any) -> None:
    data = make_data("test")
    texts = data.read_documents("test")["text"][:]
    assert texts == read_reviews("test")
    assert data.texts["test"].tokens.document_lengths.tolist() == [
        len(data.tokenizer(text)["input_ids"]) for text in texts
    ]
