"""Words and pieces over the families of tokenizers."""

import random
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from lit_mlm.batch import IGNORE_INDEX, NO_WORD
from lit_mlm.text.tagging.alignment import align_labels, encode_words, find_first_tokens, make_inside_table, needs_space
from lit_mlm.text.tagging.windows import cut_windows
from lit_mlm.text.tagging.words import split_text
from tests.families import FAMILIES, SPACED, draw_sentence, is_surrogate

CONLL = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_word_has_pieces_in_order(family: str, families: dict[str, PreTrainedTokenizerFast]) -> None:
    tokenizer, rng = families[family], random.Random(family)
    sentences = [draw_sentence(rng, rng.randrange(30)) for _ in range(40)]
    sentences += [["\u00ad"], ["\u0301", "", " ", "\x07"], [], ["x" * 500]]
    for max_pieces in (1, 7, 1000):
        encoded = encode_words(tokenizer, sentences, max_pieces)
        assert len(encoded) == len(sentences)
        for words, pieces in zip(sentences, encoded, strict=True):
            assert pieces.ids.dtype == pieces.word_of_token.dtype == np.int64
            assert len(pieces.ids) == len(pieces.word_of_token)
            assert sorted(pieces.word_of_token.tolist()) == pieces.word_of_token.tolist()
            counts = np.bincount(pieces.word_of_token, minlength=len(words))
            assert len(counts) == len(words)
            assert (counts >= 1).all()
            assert (counts <= max_pieces).all()
            alone = [encode_words(tokenizer, [[word]], max_pieces)[0].ids for word in words[:3]]
            split = np.split(pieces.ids, find_first_tokens(pieces.word_of_token)[1:])
            assert [ids.tolist() for ids in split[:3]] == [ids.tolist() for ids in alone] or not words


@pytest.mark.parametrize("family", sorted({*FAMILIES} - SPACED))
def test_pieces_equal_those_of_split_words(family: str, families: dict[str, PreTrainedTokenizerFast]) -> None:
    """The library's own path, which needs no space for these families, leaving out the words that it swallows."""
    tokenizer, rng = families[family], random.Random(family)
    num_swallowed = 0
    for _ in range(60):
        drawn = draw_sentence(rng, rng.randrange(1, 20))
        words = ["".join(c for c in word if not is_surrogate(c)) for word in drawn]
        expected = tokenizer([words], is_split_into_words=True, add_special_tokens=False)
        seen = set(expected.word_ids(0))
        pieces = encode_words(tokenizer, [words], 10_000)[0]
        is_seen = np.isin(pieces.word_of_token, [i for i in seen if i is not None])
        num_swallowed += len(words) - len(seen)
        assert pieces.ids[is_seen].tolist() == expected["input_ids"][0]
        assert pieces.word_of_token[is_seen].tolist() == expected.word_ids(0)
        assert (pieces.ids[~is_seen] == tokenizer.unk_token_id).all()
        assert np.count_nonzero(~is_seen) == len(words) - len(seen)
    assert num_swallowed or family == "bpe_with_prefix_space"


@pytest.mark.parametrize("family", FAMILIES)
def test_pieces_equal_those_of_plain_text(family: str, families: dict[str, PreTrainedTokenizerFast]) -> None:
    """Words of letters, behind a first one that no tokenizer mistakes for what follows."""
    tokenizer, rng = families[family], random.Random(family)
    for _ in range(50):
        words = ["".join(rng.choices("aeinrstTHE", k=rng.randrange(1, 9))) for _ in range(rng.randrange(1, 15))]
        text, first = [tokenizer(t, add_special_tokens=False)["input_ids"] for t in ("a " + " ".join(words), "a")]
        assert encode_words(tokenizer, [words], 100)[0].ids.tolist() == text[len(first) :]


def test_space_is_found_by_asking(families: dict[str, PreTrainedTokenizerFast]) -> None:
    assert {family for family in FAMILIES if needs_space(families[family])} == SPACED


def test_byte_level_pieces_keep_the_boundaries_of_words(bpe: PreTrainedTokenizerFast) -> None:
    text = "Angela visited Paris/London, met Siemens."
    words = [word for word, _, _ in split_text(text)]
    pieces = encode_words(bpe, [words], 100)[0]
    split = np.split(pieces.ids, find_first_tokens(pieces.word_of_token)[1:])
    assert [bpe.decode(ids) for ids in split] == [f" {word}" for word in words]


def test_words_longer_than_a_window_keep_their_first_pieces(bpe: PreTrainedTokenizerFast) -> None:
    whole, cut = (encode_words(bpe, [["the", "xyz" * 200, "end"]], n)[0] for n in (10_000, 16))
    assert np.bincount(cut.word_of_token)[1] == 16
    assert cut.ids[cut.word_of_token == 1].tolist() == whole.ids[whole.word_of_token == 1][:16].tolist()
    assert cut.ids[cut.word_of_token != 1].tolist() == whole.ids[whole.word_of_token != 1].tolist()
    assert cut_windows(cut.word_of_token, 16, 8).end_owned[-1] == 3


@pytest.mark.parametrize(
    ("names", "expected"), [({}, 1), ({"unk_token": None}, 4), ({"unk_token": None, "mask_token": None}, 0)]
)
def test_swallowed_words_have_a_stand_in(
    wordpiece: PreTrainedTokenizerFast, names: dict[str, Any], expected: int
) -> None:
    kept = {"pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]"} | names
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=wordpiece.backend_tokenizer, **kept)
    pieces = encode_words(tokenizer, [["a", "\u00ad", "a"]], 5)[0]
    assert pieces.ids.tolist()[1] == expected
    assert wordpiece.convert_ids_to_tokens([0, 1, 4]) == ["[PAD]", "[UNK]", "[MASK]"]
    assert pieces.word_of_token.tolist() == [0, 1, 2]


def test_without_a_stand_in_the_word_is_named(wordpiece: PreTrainedTokenizerFast) -> None:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=wordpiece.backend_tokenizer)
    with pytest.raises(ValueError, match=r"leaves nothing of the word '\\xad'"):
        encode_words(tokenizer, [["a", "\u00ad"]], 5)


def test_pieces_per_word_must_be_positive(wordpiece: PreTrainedTokenizerFast) -> None:
    with pytest.raises(ValueError, match="max_tokens_per_word must be at least 1, got 0"):
        encode_words(wordpiece, [["a"]], 0)


def test_no_words_need_no_tokenizer(wordpiece: PreTrainedTokenizerFast) -> None:
    assert encode_words(wordpiece, [], 5) == []
    assert len(encode_words(wordpiece, [[]], 5)[0].ids) == 0


def test_golden_sentences_of_the_recipe() -> None:
    """The first two of CoNLL-2003, with the pieces that BERT-base-cased has for them."""
    words = ["EU", "rejects", "German", "call", "to", "boycott", "British", "la", "##mb", ".", "Peter", "Blackburn"]
    vocab = {token: i for i, token in enumerate(["[UNK]", *words])}
    backend = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")
    sentences = [["EU", "rejects", "German", "call", "to", "boycott", "British", "lamb", "."], ["Peter", "Blackburn"]]
    first, second = encode_words(tokenizer, sentences, 10)
    assert first.word_of_token.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 7, 8]
    with_special = [np.pad(s.word_of_token, 1, constant_values=NO_WORD) for s in (first, second)]
    inside_of = make_inside_table(CONLL)
    labels = np.array([3, 0, 7, 0, 0, 0, 7, 0, 0]), np.array([1, 2])
    aligned = [align_labels(w, ids, inside_of).tolist() for w, ids in zip(with_special, labels, strict=True)]
    assert aligned == [[-100, 3, 0, 7, 0, 0, 0, 7, 0, 0, 0, -100], [-100, 1, 2, -100]]
    assert align_labels(with_special[0], labels[0]).tolist() == [-100, 3, 0, 7, 0, 0, 0, 7, 0, -100, 0, -100]


def align_slowly(words: list[int], labels: list[str | None], later: dict[str, str] | None) -> list[str | None]:
    aligned: list[str | None] = []
    for i, word in enumerate(words):
        if word == NO_WORD:
            aligned.append(None)
        elif i == 0 or words[i - 1] != word:
            aligned.append(labels[word])
        else:
            aligned.append(later[labels[word] or ""] if later and labels[word] else None)
    return aligned


@pytest.mark.parametrize("order", range(10))
def test_labels_equal_a_reference_in_any_order_of_names(order: int) -> None:
    rng = random.Random(order)
    names = rng.sample(CONLL, len(CONLL))
    later = {name: name.replace("B-", "I-") for name in names}
    for _ in range(20):
        labels = [rng.choice([*names, None]) for _ in range(rng.randrange(1, 15))]
        words = [i for i in range(len(labels)) for _ in range(rng.randrange(1, 4))]
        words = [NO_WORD, *words[rng.randrange(len(words)) :], NO_WORD, NO_WORD]
        ids = np.array([IGNORE_INDEX if name is None else names.index(name) for name in labels])
        for table in (None, later):
            expected = [IGNORE_INDEX if n is None else names.index(n) for n in align_slowly(words, labels, table)]
            inside_of = make_inside_table(names) if table else None
            assert align_labels(np.array(words), ids, inside_of).tolist() == expected


@pytest.mark.parametrize(
    ("labels", "later"),
    [
        ("O B-PER I-PER B-LOC", "O I-PER I-PER B-LOC"),
        ("I-LOC O B-LOC", "I-LOC O I-LOC"),
        ("B-A I-A E-A S-A S-B O", "I-A I-A I-A I-A S-B O"),
        ("U-A L-A I-A B-A U-B O", "I-A I-A I-A I-A U-B O"),
        ("B-creative-work I-creative-work I-work", "I-creative-work I-creative-work I-work"),
        ("NNP VBD -LRB- , : NN|SYM B I", "NNP VBD -LRB- , : NN|SYM B I"),
    ],
)
def test_later_pieces_are_inside_by_name(labels: str, later: str) -> None:
    names = labels.split()
    assert [names[i] for i in make_inside_table(names)] == later.split()


def test_no_word_may_be_scored() -> None:
    unscored = np.full(2, IGNORE_INDEX)
    assert align_labels(np.array([0, 0, 1]), unscored, make_inside_table(CONLL)).tolist() == [IGNORE_INDEX] * 3
    assert align_labels(np.empty(0, np.int64), np.empty(0, np.int64), make_inside_table(CONLL)).tolist() == []
