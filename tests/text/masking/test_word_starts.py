"""Where words begin: a reference in plain Python on all families of tokenizers, and hard cases beside the library's."""

import random
import unicodedata
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.data.tokens import encoding
from lit_mlm.data.tokens.tokenize import tokenize_batch
from lit_mlm.data.tokens.training import train_tokenizer
from lit_mlm.errors import InputError
from lit_mlm.text.masking.masking import Masking, mask_tokens
from lit_mlm.text.masking.strategies import MaskingStrategy, SpanMasking, WordMasking
from lit_mlm.text.masking.word_starts import find_word_starts
from tests.families import FAMILIES, draw_sentence, is_surrogate

Spans = list[tuple[int, int]]

CHINESE = "我们明天去公园散步。"
DICTIONARY = {"我们", "明天", "公园", "散步"}


def segment(text: str, longest: int = 4) -> Spans:
    """The longest word of the dictionary from the left; other characters are left out."""
    spans, start = [], 0
    while start < len(text):
        lengths = (k for k in range(min(longest, len(text) - start), 0, -1) if text[start : start + k] in DICTIONARY)
        length = next(lengths, 0)
        if length:
            spans.append((start, start + length))
        start += length or 1
    return spans


def find_starts(tokenizer: Any, texts: list[str], segmenter: Any = None) -> list[list[bool]]:
    starts: list[list[bool]] = tokenize_batch({"text": texts}, tokenizer, True, True, segmenter)[
        "word_starts"
    ].to_pylist()
    return starts


def find_slowly(text: str, encoding: Any, spans: Spans) -> list[bool]:
    """The definition of the docstring, a pair of tokens at a time."""

    def is_mark(character: str) -> bool:
        ascii_mark = character.isascii() and character.isprintable() and not (character.isalnum() or character == " ")
        return ascii_mark or unicodedata.category(character).startswith("P")

    def find_span(place: int) -> int | None:
        return next((k for k, (start, end) in enumerate(spans) if start <= place < end), None)

    starts = [True] * len(encoding.ids)
    word_ids, offsets = encoding.word_ids, encoding.offsets
    for i in range(1, len(starts)):
        one, other = word_ids[i - 1 : i + 1]
        (start, end), (next_start, next_end) = offsets[i - 1 : i + 1]
        if one is None or other is None:
            continue
        starts[i] = one != other
        if start == end or next_start == next_end:
            continue
        before, behind = text[end - 1], text[next_start]
        old, new = find_span(end - 1), find_span(next_start)
        if old is not None or new is not None:
            starts[i] = old != new and not (old is None and before.isspace())
        elif next_start >= end:
            starts[i] |= behind.isspace() or is_mark(before) or (is_mark(behind) and not before.isspace())
    return starts


@pytest.mark.parametrize("family", FAMILIES)
def test_equal_to_reference_on_any_text(family: str, families: dict[str, PreTrainedTokenizerFast]) -> None:
    tokenizer, rng = families[family], random.Random(7)
    texts = ["", " ", "state-of-the-art", "Hello, world...", CHINESE]
    texts += [rng.choice(["", " ", "  "]).join(draw_sentence(rng, rng.randrange(12))) for _ in range(150)]
    texts = ["".join("\ufffd" if is_surrogate(c) else c for c in text) for text in texts]
    encodings = tokenizer(texts).encodings

    def segment_oddly(text: str) -> Spans:
        return [(i, min(i + 3, len(text))) for i in range(1, len(text), 4)]

    for segmenter in (None, segment_oddly):
        found = find_starts(tokenizer, texts, segmenter)
        for text, encoded, starts in zip(texts, encodings, found, strict=True):
            assert starts == find_slowly(text, encoded, segmenter(text) if segmenter else [])
    assert sum(not start for row in find_starts(tokenizer, texts) for start in row) > 100


def test_places_add_nothing_where_the_tokenizer_splits_punctuation(
    wordpiece: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For each punctuation mark, symbol and separator of Unicode: BERT's pre-tokenizer knows the same punctuation."""
    found = [c for c in map(chr, range(0x110000)) if unicodedata.category(c)[0] not in "LMNC"]
    texts = [f"film{c}the {c}{c} {c}was story{c} 1{c}2" for c in found]
    starts = find_starts(wordpiece, texts)
    assert encoding.splits_punctuation(wordpiece)
    monkeypatch.setattr(encoding, "splits_punctuation", lambda tokenizer: False)
    assert starts == find_starts(wordpiece, texts)
    assert len(found) > 8000


@pytest.mark.parametrize(
    "strategy", [WordMasking(), WordMasking("exact"), SpanMasking(), SpanMasking("exact")], ids=str
)
@pytest.mark.parametrize("family", FAMILIES)
def test_words_of_any_text_are_masked_in_all_their_pieces(
    family: str, strategy: MaskingStrategy, families: dict[str, PreTrainedTokenizerFast]
) -> None:
    """From text to masks, in blocks that cut words: what is left of a word in a block is masked or not as one."""
    tokenizer, rng = families[family], random.Random(11)
    texts = [" ".join(draw_sentence(rng, 8)) for _ in range(60)]
    texts = ["".join("\ufffd" if is_surrogate(c) else c for c in text) for text in texts]
    encodings = tokenizer(texts).encodings
    words = np.cumsum([start for text, e in zip(texts, encodings, strict=True) for start in find_slowly(text, e, [])])
    ids = np.array([i for encoding in encodings for i in encoding.ids])
    starts = np.array([start for row in find_starts(tokenizer, texts) for start in row])
    shape = (len(ids) // 23, 23)
    ids, starts, words = (array[: shape[0] * 23].reshape(shape) for array in (ids, starts, words))
    is_ordinary = np.ones(len(tokenizer), dtype=bool)
    is_ordinary[tokenizer.all_special_ids] = False
    masking = Masking(0, is_ordinary, 0.4, 1.0, 0.0, strategy)
    labels = mask_tokens(ids, np.ones_like(starts), np.arange(shape[0]), masking, 1, 0, starts)[1]
    num_long, most = 0, getattr(strategy, "max_length", 1)
    for row in range(shape[0]):
        longest = 1
        for word in set(words[row]):
            places = [i for i in range(23) if words[row, i] == word and is_ordinary[ids[row, i]]]
            hits = {bool(labels[row, i] != IGNORE_INDEX) for i in places}
            assert len(hits) < 2
            longest = max(longest, len(places))
            num_long += hits == {True} and len(places) > 1
        if strategy.mask_budget == "exact":  # type: ignore[attr-defined]
            budget = round(0.4 * is_ordinary[ids[row]].sum())
            assert abs((labels[row] != IGNORE_INDEX).sum() - budget) < longest * most
    assert num_long > 10


def make_unigram(pieces: str) -> PreTrainedTokenizerFast:
    scores = [("<unk>", -20.0), *((piece, -1.0 - i / 100) for i, piece in enumerate(pieces.split()))]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", mask_token="<mask>", pad_token="<p>")


def make_wordpiece(pieces: str) -> PreTrainedTokenizerFast:
    tokenizer = train_tokenizer(iter(["a"]), "wordpiece", 10)
    vocab = {token: i for i, token in enumerate([*tokenizer.get_vocab(), *pieces.split()])}
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.model = models.WordPiece(vocab, unk_token="[UNK]")
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, **{f"{n}_token": f"[{n.upper()}]" for n in ("unk", "mask", "pad", "cls", "sep")}
    )


UNIGRAM = "▁state -of-the- art ▁ , . - ▁hel lo ▁U S based ▁a i e\u0301 n 我们 明天 去 公园 散步 。"
WORDPIECE = "state - of the art hel ##lo , u . s based na ##ive 我 们 明 天 去 公 园 散 步 。"

CASES = [
    # text, tokenizer, words by the definition, words as the library groups them
    ("state-of-the-art", "wordpiece", "state|-|of|-|the|-|art", "state - of - the - art"),
    ("state-of-the-art", "unigram", "▁state|-of-the-|art", "▁state -of-the- art"),
    ("hello,", "wordpiece", "hel ##lo|,", "hel ##lo ,"),
    ("hello,", "unigram", "▁hel lo|,", "▁hel lo ,"),
    ("U.S.-based", "wordpiece", "u|.|s|.|-|based", "u . s . - based"),
    ("U.S.-based", "unigram", "▁U|.|S|.|-|based", "▁U . S . - based"),
    ("na\u0308ive", "wordpiece", "na ##ive", "na|##ive"),
    (CHINESE, "wordpiece", "我 们|明 天|去|公 园|散 步|。", "我 们 明 天 去 公 园 散 步 。"),
    (CHINESE, "unigram", "▁ 我们|明天|去|公园|散步|。", "▁|我们 明天 去 公园 散步 。"),
]
"""The library goes by gaps between offsets; the accent of "na\u0308ive" stands behind its letter and leaves one."""


@pytest.fixture(scope="module")
def hard() -> dict[str, PreTrainedTokenizerFast]:
    return {"unigram": make_unigram(UNIGRAM), "wordpiece": make_wordpiece(WORDPIECE)}


def format_words(tokenizer: Any, ids: list[int], starts: list[bool]) -> str:
    tokens = tokenizer.convert_ids_to_tokens(ids)
    return "".join(("|" if start else " ") + token for token, start in zip(tokens, starts, strict=True))[1:]


def group_as_library(tokenizer: Any, text: str) -> list[bool]:
    """Which tokens begin a word for `DataCollatorForLanguageModeling(whole_word_mask=True)`."""
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    is_special = np.zeros((1, len(offsets)), dtype=bool)
    calculate: Any = DataCollatorForLanguageModeling._calc_word_ids_and_prob_mask
    words, _ = calculate(np.array([offsets]), is_special)
    return list(np.diff(words[0], prepend=-1) > 0)


@pytest.mark.parametrize(("text", "kind", "ours", "theirs"), CASES)
def test_hard_cases(text: str, kind: str, ours: str, theirs: str, hard: dict[str, Any]) -> None:
    batch = tokenize_batch({"text": [text]}, hard[kind], False, True, segment).to_pydict()
    ids = batch["input_ids"][0]
    assert format_words(hard[kind], ids, batch["word_starts"][0]) == ours
    assert format_words(hard[kind], ids, group_as_library(hard[kind], text)) == theirs


def test_without_a_segmenter_chinese_is_cut_as_the_tokenizer_does(hard: dict[str, Any]) -> None:
    for kind, words in (("wordpiece", "我|们|明|天|去|公|园|散|步|。"), ("unigram", "▁ 我们 明天 去 公园 散步|。")):
        batch = tokenize_batch({"text": [CHINESE]}, hard[kind], False, True).to_pydict()
        assert format_words(hard[kind], batch["input_ids"][0], batch["word_starts"][0]) == words


def test_bytes_of_one_character_are_not_parted(bpe: PreTrainedTokenizerFast) -> None:
    (starts,) = find_starts(bpe, ["“x”"])
    ids = bpe("“x”")["input_ids"]
    assert len(ids) > 5  # quotation marks of several tokens
    assert sum(starts) == 5  # <s>, “, x, ”, </s>


def test_mixed_text_keeps_the_rule_where_the_segmenter_gives_nothing(hard: dict[str, Any]) -> None:
    batch = tokenize_batch({"text": ["hello, 我们"]}, hard["wordpiece"], False, True, segment).to_pydict()
    assert format_words(hard["wordpiece"], batch["input_ids"][0], batch["word_starts"][0]) == "hel ##lo|,|我 们"


@pytest.mark.parametrize(
    ("segmenter", "message"),
    [
        (lambda text: [(0, 2), (1, 3)], r"in order, within the text .* got \[\[0, 2\], \[1, 3\]\] for a text of 4"),
        (lambda text: [(2, 5)], "within the text"),
        (lambda text: [(1, 1)], "without overlap"),
        (lambda text: [(-1, 1)], "within the text"),
        (lambda text: text.split(), "data.segmenter must give pairs of start and end, got .'hell'"),
        (lambda text: None, "pairs of start and end, got None"),
    ],
)
def test_segmenters_that_give_no_spans_are_refused(segmenter: Callable[[str], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_word_starts(["hell"], np.array([1]), np.array([0]), np.array([[0, 4]]), segmenter)
