"""Tokenizers trained on the text at hand."""

import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from lit_mlm.data.tokens import encoding
from lit_mlm.data.tokens.training import Algorithm, cut_long_texts, load_or_train_tokenizer, train_tokenizer
from lit_mlm.nets.pretrained import hash_tokenizer


@pytest.mark.parametrize(("algorithm", "size"), [("wordpiece", 150), ("bpe", 380)])
def test_trained_tokenizer_is_repeatable_and_survives_saving(
    algorithm: Algorithm, size: int, reviews: list[str], tmp_path: Path
) -> None:
    tokenizer = train_tokenizer(iter(reviews), algorithm, size)
    assert len(tokenizer) == size
    assert hash_tokenizer(tokenizer) == hash_tokenizer(train_tokenizer(iter(reviews), algorithm, size))
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert hash_tokenizer(loaded) == hash_tokenizer(tokenizer)
    ids = loaded("The story was dull.")["input_ids"]
    assert ids[0] == loaded.cls_token_id
    assert ids[-1] == loaded.sep_token_id
    assert loaded.unk_token_id not in ids
    text = loaded.decode(ids, skip_special_tokens=True)
    assert text == ("the story was dull." if algorithm == "wordpiece" else "The story was dull.")


def test_training_is_repeatable_in_another_process(reviews: list[str]) -> None:
    """The trainer of `tokenizers` alone gives another WordPiece vocabulary in each process."""
    code = (
        "from tests.conftest import read_reviews\n"
        "from lit_mlm.data.tokens.training import train_tokenizer\n"
        "from lit_mlm.nets.pretrained import hash_tokenizer\n"
        "print(hash_tokenizer(train_tokenizer(iter(read_reviews()), 'wordpiece', 150)))"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert output.strip() == hash_tokenizer(train_tokenizer(iter(reviews), "wordpiece", 150))


def test_case_is_kept_on_request(reviews: list[str]) -> None:
    tokens = train_tokenizer(iter(reviews), "wordpiece", 150, lowercase=False).tokenize("The story")
    assert tokens == ["The", "story"]


def test_vocabulary_below_the_alphabet_is_refused(reviews: list[str]) -> None:
    with pytest.raises(ValueError, match="vocab_size 10 is too small"):
        train_tokenizer(iter(reviews), "wordpiece", 10)


def test_second_call_reads_the_first_one_s_folder(reviews: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "tokenizers" / "key"
    first = load_or_train_tokenizer(iter(reviews), "wordpiece", 150, True, folder)
    second = load_or_train_tokenizer(iter(()), "wordpiece", 150, True, folder)
    assert hash_tokenizer(first) == hash_tokenizer(second)
    assert sorted(path.name for path in folder.parent.iterdir()) == [".key.lock", "key"]


def test_damaged_tokenizer_is_trained_again(reviews: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "key"
    first = load_or_train_tokenizer(iter(reviews), "wordpiece", 150, True, folder)
    file = folder / "tokenizer.json"
    content = file.read_text()
    story = first.get_vocab()["story"]
    altered = content.replace(f'"story": {story},', f'"stork": {story},')
    for damaged in (altered, content[:2000], ""):
        assert damaged != content
        file.write_text(damaged)
        again = load_or_train_tokenizer(iter(reviews), "wordpiece", 150, True, folder)
        assert hash_tokenizer(again) == hash_tokenizer(first)
        assert file.read_text() == content


def test_failed_training_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too small"):
        load_or_train_tokenizer(iter(["abc"]), "wordpiece", 2, True, tmp_path / "key")
    assert [path.name for path in tmp_path.iterdir()] == [".key.lock"]


@pytest.mark.parametrize("algorithm", ["wordpiece", "bpe"])
def test_long_text_is_learnt_from_in_parts(
    algorithm: Algorithm, reviews: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = " \n".join([*reviews, "\u00e9t\u00e9 it's  1 2 漢字漢字 a_b c.", "漢" * 500])
    whole = train_tokenizer(iter([text]), algorithm, 600)
    monkeypatch.setattr(encoding, "PART_CHARACTERS", 100)
    parts = [*cut_long_texts(["", "short", text])]
    assert parts[:2] == ["", "short"]
    assert "".join(parts[2:]) == text
    assert len(parts) > len(text) // 300
    assert train_tokenizer(iter([text]), algorithm, 600).get_vocab() == whole.get_vocab()
