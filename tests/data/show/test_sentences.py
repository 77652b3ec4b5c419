"""What `show` prints of tagged sentences."""

from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lit_mlm.data.show.examples import describe_examples
from lit_mlm.data.show.sentences import LEGEND
from lit_mlm.data.tagged.module import TaggedDataModule
from lit_mlm.data.tagged.sentences import TaggedSentence
from lit_mlm.data.tokens.training import train_tokenizer
from lit_mlm.errors import InputError

SENTENCES = [
    TaggedSentence(
        ["EU", "rejects", "German", "call", "to", "boycott", "British", "lamb", "."],
        ["B-ORG", "O", "B-MISC", "O", "O", "O", "B-MISC", "O", "O"],
        "train.txt",
        first_line=3,
        document=0,
    ),
    TaggedSentence(["Blackburn", "rejects", "lamb"], ["B-PER", "O", "O"], "train.txt", first_line=13, document=0),
    TaggedSentence([], [], "train.txt, row 3", document=1),
    TaggedSentence(["Peter", "Blackburn"], ["B-PER", "I-PER"], "train.jsonl, line 4", document=1),
]

GOLDEN = """\
sentence 0 (train.txt, line 3): 9 words, 10 tokens
  EU    rejects German call to boycott British lamb .
  B-ORG O       B-MISC O    O  O       B-MISC  O    O
  [CLS] EU    rejects German call to boycott British la ##mb . [SEP]
  -100  B-ORG O       B-MISC O    O  O       B-MISC  O  O    O -100

sentence 1 (train.txt, line 13): 3 words, 5 tokens
  Blackburn rejects lamb
  B-PER     O       O
  [CLS] Black ##burn rejects la ##mb [SEP]
  -100  B-PER I-PER  O       O  O    -100

sentence 2 (train.txt, row 3): no words, no windows"""


class OwnDataModule(TaggedDataModule):
    """A data set as a researcher adds one."""

    def __init__(self, sentences: list[TaggedSentence], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.own = sentences

    def load_sentences(self, splits: Collection[str]) -> dict[str, list[TaggedSentence]]:
        return dict.fromkeys(splits, self.own)


@pytest.fixture
def show(conll_tokenizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The lines of what is printed, the first one, which is the description, left out."""
    monkeypatch.setenv("COLUMNS", "120")

    def show(
        chosen: dict[str, Any], sentences: list[TaggedSentence] = SENTENCES, max_length: int = 64, **options: Any
    ) -> list[str]:
        options = {"tokenizer": conll_tokenizer, "cache_dir": str(tmp_path)} | options
        data = OwnDataModule(sentences, **options)
        data.attach(SimpleNamespace(max_length=max_length, has_final_tokenizer=False, load_tokenizer=lambda: None))
        data.setup("fit")
        counts, *lines = describe_examples(data, "train", **chosen)
        assert counts == data.describe()
        return lines

    return show


def test_golden(show: Any) -> None:
    assert "\n".join(show({})) == f"{LEGEND}\n\n{GOLDEN}"


def test_later_pieces_that_are_not_scored(show: Any) -> None:
    lines = show({"indices": [1]}, label_later_pieces="ignore")
    assert lines[-2:] == ["  [CLS] Black ##burn rejects la ##mb [SEP]", "  -100  B-PER -100   O       O  -100 -100"]


def test_labels_are_those_of_the_scheme(show: Any) -> None:
    assert show({"indices": [3]}, scheme="BIOES")[2:] == [
        "sentence 3 (train.jsonl, line 4): 2 words, 3 tokens",
        "  Peter Blackburn",
        "  B-PER E-PER",
        "  [CLS] Peter Black ##burn [SEP]",
        "  -100  B-PER E-PER I-PER  -100",
    ]


def test_several_windows(show: Any) -> None:
    assert show({"indices": [0]}, window=10, stride=2)[2:] == [
        "sentence 0 (train.txt, line 3): 9 words, 10 tokens, 2 windows",
        "  EU    rejects German call to boycott British lamb .",
        "  B-ORG O       B-MISC O    O  O       B-MISC  O    O",
        "  window 1, which owns words 1 to 5:",
        "  [CLS] EU    rejects German call to boycott British [SEP]",
        "  -100  B-ORG O       B-MISC O    O  -100    -100    -100",
        "  window 2, which owns words 6 to 9:",
        "  [CLS] German call to   boycott British la ##mb . [SEP]",
        "  -100  -100   -100 -100 O       B-MISC  O  O    O -100",
    ]


def test_context_is_not_scored(show: Any) -> None:
    assert show({"indices": [1]}, context_tokens=3)[-2:] == [
        "  [CLS] la   ##mb .    Black ##burn rejects la ##mb [SEP]",
        "  -100  -100 -100 -100 B-PER I-PER  O       O  O    -100",
    ]


def test_lines_wrap_at_the_width_of_the_terminal(show: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    assert show({"indices": [1]})[3:] == [
        "  Blackburn rejects lamb",
        "  B-PER     O       O",
        "  [CLS] Black ##burn rejects",
        "  -100  B-PER I-PER  O",
        "  la ##mb [SEP]",
        "  O  O    -100",
    ]
    monkeypatch.delenv("COLUMNS")
    monkeypatch.setattr("os.get_terminal_size", lambda *_: (_ for _ in ()).throw(OSError("not a terminal")))
    many = TaggedSentence(["a"] * 70, ["O"] * 70, "train.txt")
    assert [len(line) for line in show({}, [many], max_length=80)[3:5]] == [119, 119]


def test_what_a_terminal_would_not_show_is_quoted(show: Any) -> None:
    odd = TaggedSentence(["a\tb", "", "\x1b[0m", "\u200b", "\u5317\u4eac", "lamb"], ["O"] * 6, "train.jsonl, line 1")
    words, tags, *_ = show({}, [odd])[3:]
    assert words == "  'a\\tb' '' '\\x1b[0m' '\\u200b' \u5317\u4eac lamb"
    assert tags == "  O      O  O         O        O    O"


def test_pieces_of_a_byte_level_tokenizer(show: Any, tmp_path: Path) -> None:
    """By name, which tells where a word begins; in words where the name writes bytes as other characters."""
    train_tokenizer(iter(["a the \u00e9t\u00e9 \u5317"] * 9), "bpe", 290).save_pretrained(tmp_path / "bpe")
    sentence = TaggedSentence(["the", "\u00e9t\u00e9", "\u5317", "\u4eac"], ["O"] * 4, "train.txt")
    tokens = show({}, [sentence], tokenizer=str(tmp_path / "bpe"))[-2].split()
    assert tokens == ["<s>", "\u0120the", "\u00e9t\u00e9", "\u5317", "\u0120", "\u00e4", "\u00ba", "\u00ac", "</s>"]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"num_examples": 0}, "--num_examples must be at least 1, got 0"),
        ({"indices": [0, 4]}, "--indices 4: the train split has 4 sentences, numbered from 0 to 3"),
        ({"indices": [-1]}, "--indices -1: the train split has 4 sentences, numbered from 0 to 3"),
        ({"indices": [0], "num_examples": 1}, "--indices and --num_examples are mutually exclusive"),
        ({"num_blocks": 2}, "--num_blocks 2 has no effect on tagged words"),
    ],
)
def test_options_that_do_not_fit(show: Any, chosen: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        show(chosen)
