"""Figures of documents, held against counts by hand."""

import numpy as np
import pytest
from datasets import Dataset
from transformers import PreTrainedTokenizerFast

from lit_mlm.data.audit.documents import audit_documents, count_lengths
from lit_mlm.data.reading.documents import make_documents
from lit_mlm.data.tokens.vocabulary import measure_fertility


def test_lengths_by_powers_of_two() -> None:
    lengths = np.array([0, 1, 2, 3, 4, 7, 8, 40])
    assert [(b["from"], b["to"], b["num"]) for b in count_lengths(lengths)] == [
        (0, 0, 1),
        (1, 1, 1),
        (2, 3, 2),
        (4, 7, 2),
        (8, 15, 1),
        (16, 31, 0),
        (32, 63, 1),
    ]
    assert count_lengths(np.array([5, 6])) == [{"from": 4, "to": 7, "num": 2}]
    rng = np.random.default_rng(0)
    many = rng.integers(0, 10_000, 500)
    assert all(b["num"] == ((many >= b["from"]) & (many <= b["to"])).sum() for b in count_lengths(many))


def test_tokens_of_more_than_one_batch(wordpiece: PreTrainedTokenizerFast, reviews: list[str]) -> None:
    texts = [f"{text} {i}" for i in range(50) for text in reviews] + ["\u200b"]
    splits: dict[str, Dataset] = {"train": make_documents(texts)}
    facts = audit_documents(splits, wordpiece, 60, 0.8, 2)["splits"]["train"]
    lengths = np.array([len(wordpiece(text, add_special_tokens=False)["input_ids"]) for text in texts])
    fertility = measure_fertility(texts, wordpiece)
    assert len(texts) > 1000
    assert (facts["num_tokens"], facts["num_long"]) == (lengths.sum(), (lengths > 58).sum())
    assert facts["num_without_tokens"] == 1
    assert (facts["num_words"], facts["fertility"]) == (fertility.num_words, fertility.fertility)
    assert facts["split_fraction"] == fertility.split_fraction
    assert facts["lengths"] == pytest.approx(
        {
            "min": lengths.min(),
            "p5": np.percentile(lengths, 5),
            "median": np.median(lengths),
            "p95": np.percentile(lengths, 95),
            "max": lengths.max(),
            "mean": lengths.mean(),
        }
    )
