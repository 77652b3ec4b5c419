"""Pseudo-log-likelihoods, against one mask at a time, and against minicons."""

import math
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch

from lit_mlm.errors import InputError
from lit_mlm.inference import masked_rows, score
from lit_mlm.inference.fill import load_masked_lm
from lit_mlm.inference.masked_rows import MaskedRow
from lit_mlm.inference.score import Method, iterate_scores, make_rows, score_texts, summarise_scores
from lit_mlm.text.special_tokens import SpecialTokens

TEXTS = [
    "The unforgettable story was wonderfully bright.",
    "",
    "I don't know: was it dull?!",
    "Café films, 1999",
    "a",
]
METHODS: tuple[Method, ...] = ("within_word_l2r", "original")


def score_one_by_one(net: Any, tokenizer: Any, text: str, method: Method) -> list[float]:
    """The log-probability of each token in a forward pass of its own, over the whole vocabulary."""
    encoded = tokenizer(text)
    words, found = encoded.word_ids(), []
    for i, word in enumerate(words):
        if word is None:
            continue
        ids = torch.tensor(encoded["input_ids"])
        target = int(ids[i])
        later = [j for j, other in enumerate(words) if j > i and other == word]
        ids[[i, *(later if method == "within_word_l2r" else [])]] = tokenizer.mask_token_id
        with torch.no_grad():
            found.append(float(net(ids[None]).logits[0, i].double().log_softmax(-1)[target]))
    return found


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", ["tiny_bert", "tiny_roberta"])
def test_scores_equal_those_of_one_mask_at_a_time(
    model: str, method: Method, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score, "ROWS_AT_A_TIME", 10)  # cuts texts
    net, tokenizer = load_masked_lm(request.getfixturevalue(model))
    for text, found in zip(TEXTS, score_texts(net, tokenizer, TEXTS, method), strict=True):
        expected = score_one_by_one(net, tokenizer, text, method)
        assert found.log_probs == pytest.approx(expected, abs=1e-5)
        assert found.score == pytest.approx(math.fsum(expected), rel=1e-6)
        assert (found.text, found.num_tokens, found.is_windowed) == (text, len(expected), False)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", ["tiny_bert", "tiny_roberta"])
def test_scores_equal_those_of_minicons(model: str, method: Method, request: pytest.FixtureRequest) -> None:
    scorer = pytest.importorskip("minicons.scorer")
    net, tokenizer = load_masked_lm(request.getfixturevalue(model))
    texts = [text for text in TEXTS if text]
    encoded = tokenizer(texts, padding=True, return_tensors="pt")
    theirs = scorer.MaskedLMScorer(net, "cpu", tokenizer=tokenizer)
    expected = theirs.sequence_score(encoded, reduction=lambda each: each.sum().item(), PLL_metric=method)
    assert [found.score for found in score_texts(net, tokenizer, texts, method)] == pytest.approx(expected, rel=1e-5)


def test_later_tokens_of_a_word_change_its_score(tiny_bert: str) -> None:
    net, tokenizer = load_masked_lm(tiny_bert)
    assert tokenizer.tokenize("was café") == ["was", "ca", "##f", "##e"]
    (one,), (other,) = (score_texts(net, tokenizer, ["was café"], method) for method in METHODS)
    is_equal = np.isclose(one.log_probs, other.log_probs, atol=1e-6)
    assert is_equal.tolist() == [True, False, False, True]


def test_tokens_have_their_places_in_the_text(tiny_bert: str) -> None:
    net, tokenizer = load_masked_lm(tiny_bert)
    (found,) = score_texts(net, tokenizer, ["The  CAFÉ was\tdull."])
    assert [token["text"] for token in found.tokens] == ["The", "CA", "F", "É", "was", "dull", "."]
    assert [token["start"] for token in found.tokens] == [0, 5, 7, 8, 10, 14, 18]
    assert [token["end"] - token["start"] for token in found.tokens] == [3, 2, 1, 1, 3, 4, 1]
    assert [token["log_prob"] for token in found.tokens] == found.log_probs.tolist()
    assert found.num_words == 5


@pytest.mark.parametrize("method", METHODS)
def test_long_texts_are_scored_in_windows_around_each_token(tiny_bert: str, method: Method) -> None:
    net, tokenizer = load_masked_lm(tiny_bert)
    (found,) = score_texts(net, tokenizer, ["the story was dull and bright . " * 20], method)
    ids = tokenizer(found.text, add_special_tokens=False)
    size = 64 - 2
    assert found.is_windowed
    assert found.num_tokens == len(ids["input_ids"]) > 2 * size
    words = ids.word_ids()
    for i in (0, 5, size - 1, size, 100, found.num_tokens - 1):
        start = next(s for s in range(found.num_tokens) if i - s <= size // 2 or s == found.num_tokens - size)
        row = torch.tensor([tokenizer.cls_token_id, *ids["input_ids"][start : start + size], tokenizer.sep_token_id])
        assert len(row) == 64
        masked = [i, *(j for j in range(i + 1, start + size) if words[j] == words[i] and method != "original")]
        row[[j - start + 1 for j in masked]] = tokenizer.mask_token_id
        with torch.no_grad():
            logits = net(row[None]).logits[0, i - start + 1]
        assert found.log_probs[i] == pytest.approx(float(logits.log_softmax(-1)[ids["input_ids"][i]]), abs=1e-5)


def test_windows_have_as_much_context_as_fits() -> None:
    rows = list(make_rows(np.arange(10), np.arange(10) + 3, SpecialTokens([77], [88, 99]), size=4))
    assert [row.input_ids.tolist()[1:-2] for row in rows[:5]] == [[0, 1, 2, 3]] * 3 + [[1, 2, 3, 4], [2, 3, 4, 5]]
    assert [row.input_ids[row.scored[0]] for row in rows] == list(range(10))
    assert [len(row.masked) for row in rows] == [3, 3, 2, 2, 2, 2, 2, 2, 2, 1]
    assert all(row.input_ids.tolist()[0] == 77 and row.input_ids.tolist()[-2:] == [88, 99] for row in rows)


def test_few_rows_and_logits_are_held_at_once(tiny_bert: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a corpus without end, and of a text that is longer than all rows and batches."""
    net, tokenizer = load_masked_lm(tiny_bert)
    monkeypatch.setattr(score, "ROWS_AT_A_TIME", 20)
    monkeypatch.setattr(masked_rows, "LOGITS_PER_BATCH", 6 * net.config.vocab_size)
    held: list[int] = []
    num_logits: list[int] = []

    def watch(net: Any, tokenizer: Any, rows: list[MaskedRow]) -> Iterator[Any]:
        held.append(len(rows))
        for numbers, logits in masked_rows.iterate_logits(net, tokenizer, rows):
            num_logits.append(logits.numel())
            yield numbers, logits

    monkeypatch.setattr(score, "iterate_logits", watch)
    num_read = 0

    def read() -> Iterator[str]:
        nonlocal num_read
        while True:
            num_read += 1
            yield "bright " * 50 if num_read == 3 else "The story was dull."

    scored = iterate_scores(net, tokenizer, read())
    for num_scored in range(1, 20):
        assert next(scored).num_tokens > 0
        assert num_read - num_scored <= 20
    assert max(held) == 20
    assert max(num_logits) == 6 * net.config.vocab_size


def test_corpus_is_measured_by_sums(tiny_bert: str) -> None:
    net, tokenizer = load_masked_lm(tiny_bert)
    scored = score_texts(net, tokenizer, TEXTS)
    metrics = summarise_scores(scored)
    nats = [value for text in TEXTS for value in score_one_by_one(net, tokenizer, text, "within_word_l2r")]
    assert metrics["score"] == pytest.approx(math.fsum(nats), rel=1e-6)
    assert (metrics["num_texts"], metrics["num_tokens"], metrics["num_words"]) == (5, len(nats), 7 + 11 + 4 + 1)
    assert metrics["num_unknown"] == list(chain(*map(tokenizer.tokenize, TEXTS))).count("[UNK]") > 0
    assert metrics["pseudo_perplexity"] == pytest.approx(math.exp(-math.fsum(nats) / len(nats)), rel=1e-6)
    assert metrics["score_per_word"] == pytest.approx(math.fsum(nats) / 23, rel=1e-6)
    for name in ("pseudo_perplexity", "score_per_word"):
        assert metrics[f"{name}_low"] < metrics[name] < metrics[f"{name}_high"]
    assert summarise_scores(reversed(scored)) == pytest.approx(metrics, rel=1e-12)


def test_what_is_undefined_is_missing(tiny_bert: str) -> None:
    empty, one = score_texts(*load_masked_lm(tiny_bert), ["", "a"])
    assert (empty.score, empty.num_tokens, empty.tokens, empty.num_words) == (0, 0, [], 0)
    nothing = {"num_texts": 1, "num_tokens": 0, "num_words": 0, "num_unknown": 0, "score": 0}
    assert summarise_scores([empty]) == nothing
    assert summarise_scores([]) == nothing | {"num_texts": 0}
    assert set(summarise_scores([empty, one])) - set(nothing) == {"pseudo_perplexity", "score_per_word"}


def test_bad_input_is_refused(tiny_bert: str) -> None:
    net, tokenizer = load_masked_lm(tiny_bert)
    with pytest.raises(InputError, match="texts must be a list, got the text 'a text'"):
        score_texts(net, tokenizer, "a text")
    with pytest.raises(InputError, match="method must be within_word_l2r or original, got 'l2r'"):
        score_texts(net, tokenizer, ["a text"], "l2r")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"the mask token \[MASK\] has no score; fill it instead: 'The \[MASK\]\.'"):
        score_texts(net, tokenizer, ["a text", "The [MASK]."])
    assert score_texts(net, tokenizer, ["half \ud83d a character"])[0].num_tokens > 0
    torch.nn.init.constant_(next(net.parameters()), math.nan)
    with pytest.raises(InputError, match="the net gives NaN for some masks"):
        score_texts(net, tokenizer, ["a text"])
