"""Long texts in parts have the tokens of the whole, in every family of tokenizers."""

import random
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import CanineTokenizer, PreTrainedTokenizerFast

from lit_mlm.data.reading.documents import TEXT
from lit_mlm.data.tokens import encoding
from lit_mlm.data.tokens.encoding import INPUT_IDS, LENGTHS, OFFSETS, WORD_STARTS, Encoder
from lit_mlm.data.tokens.tokenize import tokenize_batch
from lit_mlm.data.tokens.vocabulary import measure_fertility
from tests.families import FAMILIES, draw_sentence, is_surrogate

CHINESE = "我们明天去公园散步。漢字かかな、カナ한국어"

OTHERS = ["added_bpe", "added_wordpiece", "llama", "stripping", "chinese", "unsplit"]
"""With added tokens that span white space, a prefix by the normaliser, stripped texts, Chinese, and without words."""


@pytest.fixture(scope="module")
def tokenizers(families: dict[str, PreTrainedTokenizerFast], reviews: list[str]) -> dict[str, PreTrainedTokenizerFast]:
    def copy(family: str, **parts: Any) -> PreTrainedTokenizerFast:
        backend = Tokenizer.from_str(families[family].backend_tokenizer.to_str())
        for name, part in parts.items():
            setattr(backend, name, part)
        return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token=families[family].unk_token)

    found = dict(families) | {f"added_{family}": copy(family) for family in ("bpe", "wordpiece")}
    for family in ("bpe", "wordpiece"):
        found[f"added_{family}"].add_tokens([AddedToken("the film"), AddedToken("[X]", lstrip=True, rstrip=True)])
    strip = normalizers.Sequence([normalizers.NFKC(), normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")])
    found["stripping"] = copy("unigram", normalizer=strip)
    found["unsplit"] = copy("unigram_first", pre_tokenizer=pre_tokenizers.Metaspace(split=False))
    for name, model, trainer, texts in (
        ("llama", models.BPE(unk_token="<unk>", fuse_unk=True), trainers.BpeTrainer, " ".join(reviews).split()),
        ("chinese", models.Unigram(), trainers.UnigramTrainer, [CHINESE[i:] for i in range(20)]),
    ):
        backend = Tokenizer(model)
        if name == "llama":
            backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        else:
            backend.pre_tokenizer = pre_tokenizers.Metaspace()
        options: dict[str, Any] = {"vocab_size": 300, "special_tokens": ["<unk>", "<s>"], "show_progress": False}
        options |= {"unk_token": "<unk>"} if name == "chinese" else {}
        backend.train_from_iterator(texts, trainer(**options))
        backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
        found[name] = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
    return found


def draw_texts(reviews: list[str]) -> Iterator[str]:
    rng, words = random.Random(3), " ".join(reviews).split()

    def draw(choices: Any, num: int, space: str = "") -> str:
        return space.join(rng.choices(choices, k=num))

    yield "".join("\ufffd" if is_surrogate(c) else c for c in " ".join(draw_sentence(rng, 2000)))
    yield draw(words, 4000, " ")
    yield draw(["the", "film", "the film", "[X]", " [X] ", "was", "  the  film"], 4000, " ")
    yield draw(
        ["the ", "film", "。", "漢", " ", "\n\n", "é", "e\u0301", "😀", "👩🏽", "1234567", "state-of-the-art"], 6000
    )
    yield draw(CHINESE, 12_000)
    yield "a b" + " " * 9000 + draw(["a", " ", "\n", "  "], 4000)
    yield "a" * 12_000
    yield draw(words, 1000, " ") + " " + draw("abcdefgh", 6000) + " " + draw(words, 1000, " ")
    yield draw("0123456789", 9000)
    yield draw(".,-'!", 9000)


@pytest.fixture
def short_parts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Parts of 3000 characters; collects the lengths of what is encoded as a whole."""
    lengths: list[int] = []
    encode = Encoder._encode

    def watch(self: Encoder, texts: list[str]) -> Any:
        lengths.extend(map(len, texts))
        return encode(self, texts)

    monkeypatch.setattr(encoding, "PART_CHARACTERS", 3000)
    monkeypatch.setattr(encoding, "OVERLAP_CHARACTERS", 400)
    monkeypatch.setattr(Encoder, "_encode", watch)
    return lengths


@pytest.mark.parametrize("name", [*FAMILIES, *OTHERS])
def test_tokens_of_parts_are_those_of_the_whole(
    name: str, tokenizers: dict[str, PreTrainedTokenizerFast], reviews: list[str], short_parts: list[int]
) -> None:
    encoder = Encoder(tokenizers[name], True, finds_words=True, gives_offsets=True)
    for number, text in enumerate(draw_texts(reviews)):
        whole = encoder._encode([text])
        short_parts.clear()
        found = encoder([text])
        assert {*found} == {INPUT_IDS, WORD_STARTS, OFFSETS, LENGTHS}
        for key, array in whole.items():
            assert np.array_equal(found[key], array), (number, key)
            assert found[key].dtype == array.dtype
        assert np.array_equal(Encoder(tokenizers[name], True)([text])[INPUT_IDS], whole[INPUT_IDS])
        if number < 4 or (number == 4 and name in ("wordpiece", "bpe", "chinese")):
            assert max(short_parts) <= 3400
            assert len(short_parts) > 2


def test_word_starts_of_a_segmenter_are_those_of_the_whole(
    tokenizers: dict[str, PreTrainedTokenizerFast], short_parts: list[int]
) -> None:
    """Of one that looks at its place only by the words around it, and of one that counts from the start."""
    text = "".join(random.Random(0).choices(CHINESE, k=9000))

    def cut_at_marks(text: str) -> list[tuple[int, int]]:
        ends = [i + 1 for i, c in enumerate(text) if c in "。、"] or [len(text)]
        return [*zip([0, *ends], ends, strict=False)]

    def cut_in_sevens(text: str) -> list[tuple[int, int]]:
        return [(i, min(i + 7, len(text))) for i in range(0, len(text), 7)]

    for segmenter in (cut_at_marks, cut_in_sevens):
        encoder = Encoder(tokenizers["wordpiece"], False, True, segmenter)
        assert np.array_equal(encoder([text])[WORD_STARTS], encoder._encode([text])[WORD_STARTS])


def test_short_and_long_texts_keep_their_order(
    wordpiece: PreTrainedTokenizerFast, reviews: list[str], short_parts: list[int]
) -> None:
    texts = ["", "a film", " ".join(reviews), " ".join(reviews * 2), "x", ""]
    rows = tokenize_batch({TEXT: texts}, wordpiece, True, finds_words=True).to_pydict()
    assert rows[INPUT_IDS] == wordpiece(texts)["input_ids"]
    assert [len(starts) for starts in rows[WORD_STARTS]] == [len(ids) for ids in rows[INPUT_IDS]]
    assert tokenize_batch({TEXT: []}, wordpiece, True)[INPUT_IDS].to_pylist() == []


def test_slow_tokenizer_encodes_the_whole(reviews: list[str], short_parts: list[int]) -> None:
    text = " ".join(reviews)
    found = Encoder(CanineTokenizer(), True)([text])
    assert found[INPUT_IDS].tolist() == CanineTokenizer()(text)["input_ids"]
    assert short_parts == [len(text)]


def test_memory_does_not_grow_with_the_text(
    wordpiece: PreTrainedTokenizerFast, reviews: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the result, of 5 bytes a token; the lengths above tell of the tokenizer's own memory."""
    monkeypatch.setattr(encoding, "PART_CHARACTERS", 2**15)
    peaks, encoder = [], Encoder(wordpiece, True, finds_words=True)
    for num in (200_000, 600_000):
        text = " ".join(reviews * (num // 1000))[:num]
        tracemalloc.start()
        num_tokens = len(encoder([text])[INPUT_IDS])
        peaks.append(tracemalloc.get_traced_memory()[1] - 2 * 5 * num_tokens)  # parts and their concatenation
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.parametrize("name", [*FAMILIES, "stripping", "chinese", "unsplit"])
def test_words_of_long_texts_are_those_of_the_whole(
    name: str, tokenizers: dict[str, PreTrainedTokenizerFast], reviews: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [*draw_texts(reviews)]
    whole = [measure_fertility([text], tokenizers[name]) for text in texts]
    monkeypatch.setattr(encoding, "PART_CHARACTERS", 3000)
    monkeypatch.setattr(encoding, "OVERLAP_CHARACTERS", 400)
    assert [measure_fertility([text], tokenizers[name]) for text in texts] == whole
