"""What any data module of text gets from its base."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lit_mlm.data.base import TextDataModule
from lit_mlm.errors import InputError


class OneText(TextDataModule):
    """A module of another's, which trains a tokenizer on its text."""

    def __init__(self, text: str, cache_dir: Path) -> None:
        super().__init__(vocab_size=60, cache_dir=str(cache_dir))
        self.text = text

    @property
    def sequence_length(self) -> int:
        return 1

    def find_vocabulary(self, iterate: Callable[[], Iterator[str]] | None) -> set[str]:
        return set(self.load_tokenizer(iterate).get_vocab())

    load = make_splits = train_dataloader = lambda *_: None  # type: ignore[assignment]


def test_tokenizer_is_trained_on_the_text_and_not_on_an_earlier_one(tmp_path: Path) -> None:
    """Whatever the author of the module forgets: no hash has to be given."""
    for text, other in (("wind wind", "rain"), ("rain rain", "wind"), ("wind wind", "rain")):
        data = OneText(text, tmp_path)
        found = data.find_vocabulary(lambda data=data: iter([data.text]))  # type: ignore[misc]
        assert text.split()[0] in found
        assert other not in found
    assert len([path for path in (tmp_path / "tokenizers").iterdir() if path.is_dir()]) == 2


def test_module_without_training_texts_says_how_to_give_them(tmp_path: Path) -> None:
    expected = (
        r"^data.vocab_size has no effect on OneText: give data.tokenizer \(or have OneText call "
        r"load_tokenizer\(iterate_train\), with a function that yields its training texts\)$"
    )
    with pytest.raises(InputError, match=expected):
        OneText("wind", tmp_path).find_vocabulary(None)
