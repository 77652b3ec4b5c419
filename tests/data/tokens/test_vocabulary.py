"""The words of a text in a tokenizer."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    AutoTokenizer,
    DebertaV2Config,
    DebertaV2Tokenizer,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaTokenizer,
)

from lit_mlm.data.tokens.vocabulary import (
    Fertility,
    add_words,
    find_split_words,
    measure_fertility,
    require_same_vocabulary,
)
from lit_mlm.errors import InputError
from lit_mlm.nets.pretrained import hash_tokenizer
from tests.conftest import read_reviews

KINDS = ["wordpiece", "bpe", "roberta", "unigram", "deberta"]


def read_model(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    model: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    return model


def train_unigram(reviews: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.UnigramTrainer(vocab_size=70, special_tokens=names, unk_token="[UNK]", show_progress=False)
    tokenizer.train_from_iterator(reviews, trainer)
    return tokenizer


@pytest.fixture(scope="module")
def tokenizers(
    reviews: list[str], wordpiece: PreTrainedTokenizerFast, bpe: PreTrainedTokenizerFast
) -> dict[str, PreTrainedTokenizerBase]:
    """One of each kind; RoBERTa's and DeBERTa's classes rebuild the model, and DeBERTa's mask is an added token."""
    merges, unigram = read_model(bpe), train_unigram(reviews)
    return {
        "wordpiece": wordpiece,
        "bpe": bpe,
        "roberta": RobertaTokenizer(vocab=merges["vocab"], merges=[tuple(pair) for pair in merges["merges"]]),  # type: ignore[misc]
        "unigram": PreTrainedTokenizerFast(tokenizer_object=unigram, unk_token="[UNK]", mask_token="[MASK]"),
        "deberta": DebertaV2Tokenizer(vocab=[tuple(entry) for entry in json.loads(unigram.to_str())["model"]["vocab"]]),
    }


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


@pytest.mark.parametrize("kind", KINDS)
def test_new_words_are_one_piece_and_nothing_else_changes(kind: str, tokenizers: Any, reviews: list[str]) -> None:
    old = tokenizers[kind]
    words = find_split_words(reviews, old, num_words=8, min_pieces=2)
    assert len(words) == 8
    new, pieces = add_words(old, words)
    assert list(pieces) == list(range(len(old), len(old) + 8))
    assert new.get_vocab().items() >= old.get_vocab().items()
    for word, (new_id, old_ids) in zip(words, pieces.items(), strict=True):
        assert encode(new, f" {word}") == [new_id]
        assert encode(old, f" {word}") == old_ids
        assert str(new.decode([new_id])).strip() == word
        assert new.decode(encode(new, f"He {word} on")) == old.decode(encode(old, f"He {word} on"))
    for text in [*reviews, f"A {old.mask_token} or <mask> [MASK] 42 \u00e9\u4e2d, isn't it?"]:
        found = encode(new, text)
        # The new words stand where their pieces stood, and all else is as it was.
        assert [token for new_id in found for token in pieces.get(new_id, [new_id])] == encode(old, text)
        assert new.decode(found) == old.decode(encode(old, text))
    assert any(pieces.keys() & encode(new, text) for text in reviews)
    assert new.special_tokens_map == old.special_tokens_map
    assert new.mask_token_id == old.mask_token_id
    assert new.model_max_length == old.model_max_length
    assert len(old) == min(pieces)  # not changed in place


@pytest.mark.parametrize("kind", KINDS)
def test_extended_tokenizers_survive_saving(kind: str, tokenizers: Any, reviews: list[str], tmp_path: Path) -> None:
    old = tokenizers[kind]
    new, _ = add_words(old, find_split_words(reviews, old, num_words=8, min_pieces=2))
    new.save_pretrained(tmp_path)
    for config in (None, {"roberta": RobertaConfig(), "deberta": DebertaV2Config()}.get(kind)):
        if config is not None:
            config.save_pretrained(tmp_path)  # AutoTokenizer looks at a model's type too
        loaded = AutoTokenizer.from_pretrained(tmp_path)
        assert hash_tokenizer(loaded) == hash_tokenizer(new)
        assert loaded(reviews)["input_ids"] == new(reviews)["input_ids"]
    again, pieces = add_words(loaded, ["tale"])  # and can be extended again
    assert list(pieces) == [len(new)]
    assert encode(again, " tale") == [len(new)]
    if kind == "deberta":
        assert type(new) is DebertaV2Tokenizer


def test_wordpiece_takes_a_new_word_as_the_head_of_longer_ones(tokenizers: Any) -> None:
    new, pieces = add_words(tokenizers["wordpiece"], ["Tale"])
    (tale,) = pieces
    assert encode(new, "tales")[0] == tale
    assert encode(new, "stale") == encode(tokenizers["wordpiece"], "stale")


def test_byte_level_bpe_takes_a_new_word_after_a_space_as_a_whole(tokenizers: Any) -> None:
    old = tokenizers["roberta"]
    new, pieces = add_words(old, ["tale"])
    (tale,) = pieces
    assert encode(new, "a tale, tale").count(tale) == 2
    for text in ("tale", "'tale'", " tales", " stale", " Tale", "(tale)"):
        assert encode(new, text) == encode(old, text)


def test_unigram_prefers_the_longer_of_two_new_words(tokenizers: Any) -> None:
    old = tokenizers["unigram"]
    new, pieces = add_words(old, ["story", "storyteller", "storyt"])
    assert [encode(new, word) for word in ("story", "storyteller", "storyt")] == [[new_id] for new_id in pieces]
    scores = [score for _, score in read_model(new)["vocab"]]
    assert all(scores[new_id] > sum(scores[old_id] for old_id in ids) for new_id, ids in pieces.items())
    assert min(scores) == min(score for _, score in read_model(old)["vocab"])


def test_unigram_scores_a_word_just_above_its_pieces() -> None:
    backend = Tokenizer(models.Unigram([("[UNK]", -9.0), ("\u2581a", -1.0), ("b", -1.0), ("bb", -1.5)], unk_id=0))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    new, _ = add_words(PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]"), ["ab"])
    assert -2.0 < read_model(new)["vocab"][4][1] < -1.99
    assert new.tokenize("ab abb") == ["\u2581ab", "\u2581a", "bb"]  # -2.5 is better than -3


def test_words_are_normalised_and_added_once(tokenizers: Any) -> None:
    old = tokenizers["wordpiece"]
    new, pieces = add_words(old, ["Gladly", "gladly", "GLADLY", "a"])
    assert len(pieces) == 1
    assert new.convert_ids_to_tokens(list(pieces)) == ["gladly"]
    assert add_words(new, ["gladly", "a"]) == (new, {})
    assert add_words(old, []) == (old, {})


@pytest.mark.parametrize(
    ("kind", "word", "reason"),
    [
        ("wordpiece", "", "'' can't be added: it is empty or contains white space"),
        ("wordpiece", "New York", "'New York' can't be added: it is empty or contains white space"),
        ("bpe", "film\n", "can't be added: it is empty or contains white space"),
        ("wordpiece", "well-made", r"makes it 3 words, \['well', '-', 'made'\]"),
        ("bpe", "don't", r"makes it 2 words, \['don', \"'t\"\]"),
        ("wordpiece", "\u00ad", r"makes it 0 words, \[\]"),
        ("wordpiece", "caf\u0634", "'caf\u0634' can't be added: it is unknown"),
        ("wordpiece", "a" * 101, "too long, so it has no tokens"),
        ("unigram", "caf\u0634", "'caf\u0634' can't be added: it is unknown"),
        ("deberta", "x[MASK]", r"'x\[MASK\]' can't"),
    ],
)
def test_words_that_cannot_be_one_piece_are_refused(kind: str, word: str, reason: str, tokenizers: Any) -> None:
    with pytest.raises(ValueError, match=reason):
        add_words(tokenizers[kind], ["film", word])


def test_added_tokens_keep_their_ids(tokenizers: Any) -> None:
    tokenizer, _ = add_words(tokenizers["bpe"], ["gladly"])
    tokenizer.add_tokens(["<speaker>"])
    new, pieces = add_words(tokenizer, ["tale"])
    assert list(pieces) == [len(tokenizer)]
    assert encode(new, "<speaker> gladly") == encode(tokenizer, "<speaker> gladly")
    assert new.get_added_vocab() == tokenizer.get_added_vocab()


def test_words_within_which_an_added_token_matches_are_refused(tokenizers: Any) -> None:
    tokenizer, _ = add_words(tokenizers["wordpiece"], ["gladly"])
    tokenizer.add_tokens(["film"])
    with pytest.raises(ValueError, match="the word 'filmic' can't become one token"):
        add_words(tokenizer, ["filmic"])


def test_other_kinds_of_tokenizers_are_refused(tokenizers: Any) -> None:
    words = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    with pytest.raises(ValueError, match="does not split text into words"):
        add_words(PreTrainedTokenizerFast(tokenizer_object=words), ["b"])
    characters = Tokenizer(models.BPE({"a": 0, "b</w>": 1, "b": 2}, [], end_of_word_suffix="</w>"))
    characters.pre_tokenizer = pre_tokenizers.Whitespace()
    with pytest.raises(ValueError, match="not BPE"):
        add_words(PreTrainedTokenizerFast(tokenizer_object=characters), ["ab"])
    passed_over = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, []))
    passed_over.pre_tokenizer = pre_tokenizers.Whitespace()
    with pytest.raises(ValueError, match="the vocabulary has it, but the tokenizer never uses it"):
        add_words(PreTrainedTokenizerFast(tokenizer_object=passed_over), ["ab"])


def test_split_words_are_counted(wordpiece: PreTrainedTokenizerFast) -> None:
    """Against a plain count over the words of the text."""
    reviews = read_reviews()
    counts = Counter(word for text in reviews for word in re.findall(r"[a-z]+", text.lower()))
    for min_pieces in (2, 3, 4):
        split = [word for word in counts if len(wordpiece.tokenize(word)) >= min_pieces]
        expected = sorted(split, key=lambda word: (-counts[word], word))
        assert find_split_words(reviews, wordpiece, 1000, min_pieces) == expected
        assert find_split_words(iter(reviews), wordpiece, 3, min_pieces) == expected[:3]


def test_split_words_have_letters_only_and_are_known() -> None:
    letters = "abcdehilmo\u0915\u093e\u092e\u0928"
    vocab = {"[UNK]": 0} | {mark + letter: 0 for letter in letters for mark in ("", "##")}
    backend = Tokenizer(models.WordPiece({token: index for index, token in enumerate(vocab)}, unk_token="[UNK]"))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.WhitespaceSplit(), decoders.WordPiece()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")
    kama = "\u0915\u093e\u092e\u0928\u093e"  # Hindi, with vowel signs, which are marks
    text = f"{kama} lime lime code-d abc1 \u093e\u093e\u093e \u5b57\u5b57\u5b57 xyz be melod {kama} coal"
    assert find_split_words([text], tokenizer, 10) == ["lime", kama, "coal", "melod"]


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_split_words_are_those_after_a_space(kind: str, tokenizers: Any) -> None:
    text = "a gladly b gladly 'mysterious 'mysterious 'mysterious c"
    assert find_split_words([text], tokenizers[kind], 10) == ["gladly"]


def test_fertility_of_a_text_by_hand(tokenizers: Any) -> None:
    backend = Tokenizer(models.WordPiece({"[UNK]": 0, "film": 1, "##s": 2, "a": 3, ",": 4, "##l": 5}))
    backend.normalizer, backend.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.BertPreTokenizer()
    fertility = measure_fertility(["Films, a film", "a films", ""], PreTrainedTokenizerFast(tokenizer_object=backend))
    assert fertility == Fertility(num_words=6, num_tokens=8, num_split_words=2)
    assert fertility.fertility == pytest.approx(8 / 6)
    assert fertility.split_fraction == pytest.approx(2 / 6)
    assert Fertility(0, 0, 0).fertility == Fertility(0, 0, 0).split_fraction == 0
    assert measure_fertility(["a  \n\n  a"], tokenizers["bpe"]).num_words == 2  # white space is no word
    unknown = measure_fertility(
        ["A zoo, a film", "zoo film!"], PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")
    )
    assert (unknown.num_unknown, unknown.unknown_words) == (3, {"zoo": 2, "!": 1})


@pytest.mark.parametrize("kind", KINDS)
def test_fertility_counts_the_tokenizer_s_own_tokens(kind: str, tokenizers: Any, reviews: list[str]) -> None:
    """Against whole texts and their word ids."""
    tokenizer = tokenizers[kind]
    lengths: list[int] = []
    num_unknown = 0
    for text in reviews:
        encoding = tokenizer(text, add_special_tokens=False)
        lengths += Counter(encoding.word_ids()).values()
        num_unknown += encoding["input_ids"].count(tokenizer.unk_token_id)
    expected = Fertility(len(lengths), sum(lengths), sum(length > 1 for length in lengths), num_unknown)
    found = measure_fertility(reviews, tokenizer)
    assert replace(found, unknown_words=Counter()) == expected
    assert found.unknown_words.total() <= num_unknown
    extended, _ = add_words(tokenizer, find_split_words(reviews, tokenizer, 8, 2))
    after = measure_fertility(reviews, extended)
    assert after.num_words == expected.num_words
    assert after.fertility < expected.fertility
    assert after.split_fraction < expected.split_fraction


def make_word_level(*words: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)})))


def test_vocabulary_with_half_of_the_model_s_ids_or_more_is_its_own() -> None:
    """As is that of a tokenizer which gives unused tokens a meaning, and has new ones at the end."""
    own, new = make_word_level(*"abcdefg"), [f"new{i}" for i in range(20)]
    for words in ("abcdefg", [*"abcdefg", *new], [*"abcd", *new], "abc"):
        require_same_vocabulary(make_word_level(*words), own, "data.tokenizer x")
    for words, num_same in (([*"abc", *new], 3), (new, 0), ("gfedcba", 1)):
        with pytest.raises(InputError, match=f"data.tokenizer x gives another .*: {num_same} of 7 tokens"):
            require_same_vocabulary(make_word_level(*words), own, "data.tokenizer x")
