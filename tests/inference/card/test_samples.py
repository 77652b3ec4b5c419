"""What the samples of a card show."""

import re
from collections.abc import Callable
from typing import Any, cast

import pytest
from transformers import AutoModelForMaskedLM, FillMaskPipeline, PreTrainedTokenizerFast

from lit_mlm.data.tokens.training import train_tokenizer
from lit_mlm.inference.card.samples import PROBES, choose_probes, make_samples
from lit_mlm.inference.fill import load_masked_lm
from lit_mlm.inference.tag import load_tagger, tag_texts
from tests.conftest import FIXTURES


def test_fillings_are_those_of_the_pipeline(tiny_bert: str) -> None:
    net, tokenizer = load_masked_lm(tiny_bert)
    text = "this is a great [MASK] ."
    row = make_samples("AutoModelForMaskedLM", net, tokenizer, [text, "without a mask"])[-1]
    fill: Any = FillMaskPipeline(net, cast(Any, tokenizer))
    assert row.startswith(r"| this is a great \[MASK\] . | ")
    assert [float(score) for score in re.findall(r"\((\d\.\d\d)\)", row)] == [
        round(one["score"], 2) for one in fill(text, top_k=3)
    ]


def test_entities_are_those_of_tag(news_tagger: str) -> None:
    net, tokenizer = load_tagger(news_tagger)
    text = "Tom Reed of Acme Steel Works met Japanese farmers in Nairobi."
    row = make_samples("AutoModelForTokenClassification", net, tokenizer, [text])[-1]
    (expected,) = tag_texts(net, tokenizer, [text])
    assert expected
    for entity in expected:
        assert f"{entity['text']} **{entity['type']}** ({entity['score']:.2f})" in row


def test_probes_are_of_the_tokenizer_s_language(
    wordpiece: PreTrainedTokenizerFast, bpe: PreTrainedTokenizerFast
) -> None:
    english, chinese = PROBES
    lines = (FIXTURES / "chinese.txt").read_text().splitlines()
    assert choose_probes(wordpiece) == choose_probes(bpe) == english
    assert choose_probes(train_tokenizer(iter(lines), "wordpiece", 600)) == chinese
    assert choose_probes(bpe, ["mine"]) == ["mine"]


def test_failure_is_reported_and_leaves_no_samples(
    tiny_bert: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, tokenizer = load_masked_lm(tiny_bert)
    fail: Callable[..., Any] = AutoModelForMaskedLM.from_config  # raises without its argument
    monkeypatch.setattr(net, "forward", fail)
    assert make_samples("AutoModelForMaskedLM", net, tokenizer) == []
    assert "there are no samples" in caplog.text


def test_other_tasks_have_no_samples(tiny_bert: str) -> None:
    assert make_samples("AutoModelForMultipleChoice", *load_masked_lm(tiny_bert)) == []
