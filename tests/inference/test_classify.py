"""`classify_texts` without a run; `tests/modules/test_text_classification.py` compares it with the evaluation."""

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from lit_mlm.errors import InputError
from lit_mlm.inference.classify import classify_texts, load_classifier
from tests.conftest import TINY_BERT


def build(tokenizer: Any, **fields: Any) -> Any:
    config = AutoConfig.for_model(**TINY_BERT, vocab_size=len(tokenizer), **fields)
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(config).eval()


def test_scores_are_those_of_the_net(wordpiece: Any) -> None:
    net = build(wordpiece, num_labels=3)
    texts = ["a great film", "", "boring " * 200]
    found = classify_texts(net, wordpiece, texts)
    for text, one in zip(texts, found, strict=True):
        inputs = wordpiece(text, truncation=True, max_length=64, return_tensors="pt")
        with torch.no_grad():
            expected = net(input_ids=inputs["input_ids"]).logits.softmax(dim=-1)[0].tolist()
        assert list(one["scores"].values()) == pytest.approx(expected, abs=1e-6)
        assert one["labels"] == [f"LABEL_{expected.index(max(expected))}"]
    assert classify_texts(net, wordpiece, []) == []
    with pytest.raises(InputError, match="as many columns as the first"):
        classify_texts(net, wordpiece, ["a", ("b", "c")])


def test_several_labels_have_probabilities_of_their_own(wordpiece: Any) -> None:
    net = build(wordpiece, num_labels=2, problem_type="multi_label_classification")
    (found,) = classify_texts(net, wordpiece, [("a film", "a great film")])
    with torch.no_grad():
        inputs = wordpiece("a film", "a great film", return_tensors="pt")
        expected = net(input_ids=inputs["input_ids"]).logits.sigmoid()[0].tolist()
    assert list(found["scores"].values()) == pytest.approx(expected, abs=1e-6)
    assert found["labels"] == [name for name, score in found["scores"].items() if score >= 0.5]


def test_a_net_without_a_head_is_refused(tiny_bert: str) -> None:
    with pytest.raises(InputError, match="is a BertForMaskedLM, which has no head to label texts"):
        load_classifier(tiny_bert)


def test_options_of_a_config_are_checked(wordpiece: Any) -> None:
    with pytest.raises(InputError, match="long_texts in the config of the model must be one of head, tail"):
        classify_texts(build(wordpiece, lit_mlm={"long_texts": "middle"}), wordpiece, ["a"])
