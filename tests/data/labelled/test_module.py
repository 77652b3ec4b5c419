"""Splits, labels, batches and fingerprints of labelled texts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lit_mlm import IMDBSentimentDataModule, LabelledFilesDataModule
from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.data.batches import BatchKey
from lit_mlm.errors import InputError
from tests.conftest import FIXTURES

LONG: dict[str, Any] = {"window": 14, "stride": 3, "long_texts": "windows"}


def make(tiny_bert: str, cache_dir: str, stage: str = "fit", **options: Any) -> IMDBSentimentDataModule:
    options = dict[str, Any](tokenizer=tiny_bert, cache_dir=cache_dir, batch_size=4, window=24) | options
    data = IMDBSentimentDataModule(str(FIXTURES / "aclImdb"), **options)
    data.setup(stage)
    return data


@pytest.mark.parametrize("options", [{}, LONG, {"group_by_length": True}, {"max_tokens_per_batch": 90}])
def test_each_text_is_in_one_batch_of_an_epoch(tiny_bert: str, cache_dir: str, options: dict[str, Any]) -> None:
    data = make(tiny_bert, cache_dir, **options)
    for loader in (data.train_dataloader(), data.val_dataloader()):
        batches = list(loader)
        texts = torch.cat([batch["texts"] for batch in batches]).tolist()
        examples = data.examples["train" if len(texts) > 2 else "val"]
        assert sorted(texts) == [*range(len(examples))]
        for batch in batches:
            counts = np.bincount(examples.texts)[batch["texts"].numpy()]
            assert batch["row_texts"].bincount().tolist() == counts.tolist()
            assert torch.equal(batch["labels"], torch.from_numpy(examples.labels)[batch["texts"]])
            if "max_tokens_per_batch" in options:
                assert batch["input_ids"].numel() <= 90


def test_a_batch_without_examples_is_not_scored(tiny_bert: str, cache_dir: str) -> None:
    batch = make(tiny_bert, cache_dir, **LONG).examples["train"][BatchKey(0, np.zeros(0, dtype=np.int64))]
    assert batch["labels"].tolist() == [IGNORE_INDEX]
    assert batch["texts"].tolist() == [-1]


def test_metadata(tiny_bert: str, cache_dir: str) -> None:
    data = make(tiny_bert, cache_dir, "test", **LONG)
    found = data.describe_split("test")
    examples = data.examples["test"]
    assert (found["num_texts"], found["num_windows"]) == (12, examples.num_rows)
    assert found["num_long_texts"] == int((np.bincount(examples.texts) > 1).sum()) > 0
    batches = list(data.test_dataloader())
    num_tokens = sum(int(batch["attention_mask"].sum()) for batch in batches)
    num_cells = sum(batch["input_ids"].numel() for batch in batches)
    assert found["padding_fraction"] == pytest.approx(1 - num_tokens / num_cells)
    assert data.sequence_length == 14
    assert data.text_options == {"window": 14, "long_texts": "windows", "stride": 3}
    assert data.describe().startswith("12 test texts, 2 labels, ")
    assert "longer than 14 tokens, in windows" in data.describe()


def test_the_fingerprint_changes_with_what_shapes_examples(tiny_bert: str, cache_dir: str) -> None:
    def find(**options: Any) -> str:
        return make(tiny_bert, cache_dir, **options).fingerprint

    same = {find(), find(batch_size=2), find(group_by_length=True), find(num_workers=0), find(labels=["neg", "pos"])}
    assert len(same) == 1
    others: list[dict[str, Any]] = [
        *({"window": 20}, {"long_texts": "tail"}, {"long_texts": "windows"}, {"long_texts": "windows", "stride": 1}),
        *({"split_seed": 1}, {"val_fraction": 0.3}, {"labels": ["pos", "neg"]}),
    ]
    assert len(same | {find(**other) for other in others}) == len(others) + 1


def test_labels_that_the_data_lack_or_that_say_nothing(tiny_bert: str, cache_dir: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"label 'neg' is not among the labels of data.labels: pos, good"):
        make(tiny_bert, cache_dir, labels=["pos", "good"])
    (tmp_path / "a.csv").write_text("text,label\na,1\nb,1\nc,1\n")
    data = LabelledFilesDataModule(str(tmp_path / "a.csv"), tokenizer=tiny_bert, cache_dir=cache_dir)
    with pytest.raises(InputError, match="all texts have the label 1, so there is nothing to learn"):
        data.setup("fit")


def test_a_tokenizer_is_trained_on_the_training_texts(cache_dir: str) -> None:
    data = make("", cache_dir, tokenizer=None, vocab_size=120)
    assert len(data.tokenizer) == 120
    assert data.describe_split("val")["num_texts"] == 2
