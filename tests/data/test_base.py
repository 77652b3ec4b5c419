"""The base data module: from documents to masked batches."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch import Tensor
from transformers import AddedToken, AutoTokenizer, DataCollatorForLanguageModeling

from lit_mlm.data import stream
from lit_mlm.data.base import BlocksDataModule
from lit_mlm.data.documents import make_documents
from lit_mlm.text import BATCH_KEYS, IGNORE_INDEX
from tests.conftest import read_reviews


class ReviewsDataModule(BlocksDataModule):
    """A data set as a researcher adds one: a class with one method."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.save_hyperparameters()

    def load_documents(self, splits: Collection[str]) -> dict[str, Dataset]:
        texts = read_reviews()
        parts = {"train": texts[6:], "val": texts[:6], "test": read_reviews("test")}
        return {split: make_documents(parts[split]) for split in splits}


@pytest.fixture
def make_data(tiny_bert: str, cache_dir: str) -> Any:
    def make(stage: str = "fit", **options: Any) -> ReviewsDataModule:
        defaults = {"tokenizer": tiny_bert, "block_size": 16, "batch_size": 4, "cache_dir": cache_dir}
        if options.get("vocab_size"):
            del defaults["tokenizer"]
        data = ReviewsDataModule(**(defaults | options))
        data.setup(stage)
        return data

    return make


def restore_ids(batch: dict[str, Tensor]) -> list[list[int]]:
    """The ids before masking, at tokens that were not replaced or are scored."""
    ids = torch.where(batch["labels"] == IGNORE_INDEX, batch["input_ids"], batch["labels"])
    return [row[mask.bool()].tolist() for row, mask in zip(ids, batch["attention_mask"], strict=True)]


def test_batches_keep_the_contract_and_lose_no_token(make_data: Any) -> None:
    data = make_data()
    found = []
    for batch in data.val_dataloader():
        assert tuple(batch) == BATCH_KEYS
        assert all(tensor.dtype == torch.int64 and tensor.shape == batch["labels"].shape for tensor in batch.values())
        assert (batch["input_ids"][batch["attention_mask"] == 0] == data.tokenizer.pad_token_id).all()
        found += restore_ids(batch)
    expected = [i for text in read_reviews()[:6] for i in data.tokenizer(text)["input_ids"]]
    assert [i for row in found for i in row] == expected
    assert {len(row) for row in found[:-1]} == {16}


def test_special_tokens_per_block(make_data: Any) -> None:
    data = make_data(special_tokens="block", block_policy="document")
    rows = [row for batch in data.val_dataloader() for row in restore_ids(batch)]
    cls, sep = data.tokenizer.cls_token_id, data.tokenizer.sep_token_id
    assert all(row[0] == cls and row[-1] == sep and len(row) <= 16 for row in rows)
    inner = [i for row in rows for i in row[1:-1]]
    texts = read_reviews()[:6]
    assert inner == [i for text in texts for i in data.tokenizer(text, add_special_tokens=False)["input_ids"]]
    assert len(rows) == sum(-(-len(data.tokenizer.tokenize(text)) // 14) for text in texts)
    assert data.sequence_length == 16


def test_special_tokens_are_never_scored(make_data: Any) -> None:
    data = make_data(mask_prob=1.0)
    special = torch.tensor(data.tokenizer.all_special_ids)
    for batch in data.train_dataloader():
        labels = batch["labels"][batch["labels"] != IGNORE_INDEX]
        assert not torch.isin(labels, special).any()
        assert labels.numel() > 0
        assert torch.isin(batch["input_ids"][batch["labels"] == IGNORE_INDEX], special).all()


def test_share_of_masks_is_that_of_the_library_s_collator(make_data: Any) -> None:
    data = make_data()
    batches = list(data.train_dataloader())
    ours = sum(int((b["labels"] != IGNORE_INDEX).sum()) for b in batches)
    collator = DataCollatorForLanguageModeling(data.tokenizer)
    torch.manual_seed(0)
    rows = [{"input_ids": row} for batch in batches for row in restore_ids(batch)]
    theirs = int((collator(rows)["labels"] != IGNORE_INDEX).sum())
    assert abs(ours - theirs) < 5 * (2 * 0.15 * 0.85 * sum(len(row["input_ids"]) for row in rows)) ** 0.5


@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_masks_are_the_same_for_any_batch_size_and_workers(make_data: Any, batch_size: int, num_workers: int) -> None:
    def collect(data: ReviewsDataModule) -> list[tuple[Any, ...]]:
        return [
            (row[mask.bool()].tolist(), labels[mask.bool()].tolist())
            for batch in data.val_dataloader()
            for row, mask, labels in zip(*(batch[k] for k in ("input_ids", "attention_mask", "labels")), strict=True)
        ]

    assert collect(make_data(batch_size=batch_size, num_workers=num_workers)) == collect(make_data())


def test_training_masks_and_order_follow_seed_and_epoch(make_data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def collect(seed: int, epoch: int) -> bytes:
        monkeypatch.setenv("PL_GLOBAL_SEED", str(seed))
        data = make_data()
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)
        validation = next(iter(data.val_dataloader()))["labels"]
        assert torch.equal(validation, next(iter(make_data().val_dataloader()))["labels"])
        return torch.cat([batch["labels"].flatten() for batch in loader]).numpy().tobytes()

    assert collect(1, 0) == collect(1, 0)
    assert len({collect(1, 0), collect(1, 1), collect(2, 0)}) == 3


def test_result_does_not_depend_on_processes_or_the_cache(
    make_data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make_data(cache_dir=str(tmp_path / "one"))
    two = make_data(cache_dir=str(tmp_path / "two"), num_proc=2)
    assert one.facts("val") == two.facts("val")
    assert one.fingerprint == two.fingerprint
    assert len({make_data(**o).fingerprint for o in ({}, {"mask_prob": 0.3}, {"eval_seed": 7}, {"block_size": 8})}) == 4
    np.testing.assert_array_equal(one.examples["train"].stream, two.examples["train"].stream)

    def fail(*_args: Any, **_options: Any) -> None:
        raise AssertionError("tokenised again")

    monkeypatch.setattr(stream, "tokenize_batch", fail)
    assert make_data(cache_dir=str(tmp_path / "one")).fingerprint == one.fingerprint


def test_samples_of_blocks_keep_their_masks(make_data: Any) -> None:
    whole, sample = make_data().examples["val"], make_data(num_val_blocks=5).examples["val"]
    assert len(sample) == 5
    assert len(set(sample.chosen)) == 5
    assert set(sample.chosen) <= set(whole.chosen)
    assert make_data(num_val_blocks=5, split_seed=1).examples["val"].chosen.tolist() != sample.chosen.tolist()
    from lit_mlm.data.order import BatchKey

    for i, block in enumerate(sample.chosen):
        one, other = sample[BatchKey(0, np.array([i]))], whole[BatchKey(0, np.array([block]))]
        assert all(torch.equal(one[key], other[key]) for key in BATCH_KEYS)


def test_batch_without_examples_scores_nothing(make_data: Any) -> None:
    from lit_mlm.data.order import BatchKey

    batch = make_data().examples["val"][BatchKey(0, np.array([], dtype=np.int64))]
    assert len(batch["labels"]) == 1
    assert (batch["labels"] == IGNORE_INDEX).all()


def test_facts(make_data: Any) -> None:
    data = make_data(drop_tail=True)
    facts = data.facts("val")
    texts = read_reviews()[:6]
    tokens = sum(len(data.tokenizer(text)["input_ids"]) for text in texts)
    assert facts["num_blocks"] == tokens // 16
    assert facts["num_dropped_tokens"] == tokens % 16 > 0
    words = sum(len(data.tokenizer.tokenize(text)) for text in texts)
    assert facts["tokens_per_byte"] == words / sum(len(text.encode()) for text in texts)
    assert data.describe() == f"{len(data.examples['train'])} train / {tokens // 16} val blocks of 16 (stream)"


def test_tokenizer_without_pad_uses_eos(make_data: Any, tiny_bert: str, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    tokenizer.eos_token, tokenizer.pad_token = "[SEP]", None
    tokenizer.save_pretrained(tmp_path)
    data = make_data(tokenizer=str(tmp_path), eval_batch_size=1000)
    assert data.tokenizer.pad_token_id is None
    batch = next(iter(data.val_dataloader()))
    padding = batch["attention_mask"] == 0
    assert padding.any()
    assert (batch["input_ids"][padding] == tokenizer.eos_token_id).all()
    assert (batch["labels"][padding] == IGNORE_INDEX).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocab_size": 150, "tokenizer": "x"}, r"data.tokenizer \(x\) and data.vocab_size \(150\) exclude each other"),
        ({"eval_batch_size": 0}, "data.eval_batch_size must be at least 1, got 0"),
        ({"block_size": 0}, "data.block_size must be at least 1, got 0"),
        ({"lowercase": False}, r"data.lowercase \(False\) has no effect without data.vocab_size"),
        ({"tokenizer_algorithm": "bpe"}, r"data.tokenizer_algorithm \(bpe\) has no effect without data.vocab_size"),
        ({"vocab_size": 380, "tokenizer_algorithm": "bpe", "lowercase": True}, "no effect on .* bpe"),
        (
            {"tokenizer": None, "tokenizer_revision": "x"},
            r"tokenizer_revision \(x\) has no effect without data.tokenizer",
        ),
        ({"batch_size": 0}, "data.batch_size must be at least 1, got 0"),
        ({"num_val_blocks": 10_000}, "data.num_val_blocks is 10000, but the val split has"),
        ({"block_size": 2, "special_tokens": "block"}, "leaves no room beside 2 special tokens"),
        ({"block_size": None}, "data.block_size must be given"),
        ({"tokenizer": None}, "no tokenizer"),
        ({"block_size": 5000, "drop_tail": True}, "the train split has no blocks"),
    ],
)
def test_options_that_do_not_fit_are_refused(make_data: Any, options: dict[str, Any], message: str) -> None:
    make = ReviewsDataModule if "vocab_size" in options else make_data
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_added_special_tokens_are_neither_masked_nor_drawn(make_data: Any, tiny_bert: str, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    tokenizer.add_tokens([AddedToken("<user>", special=True), AddedToken("film", special=False)])
    tokenizer.save_pretrained(tmp_path)
    ordinary = make_data(tokenizer=str(tmp_path)).examples["val"].masking.is_ordinary
    assert not ordinary[tokenizer.convert_tokens_to_ids("<user>")]
    assert ordinary[tokenizer.convert_tokens_to_ids("film")]


def test_tokenizer_without_mask_is_refused(make_data: Any, tiny_bert: str, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    tokenizer.mask_token = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="has no mask token"):
        make_data(tokenizer=str(tmp_path))


def test_trained_tokenizer_comes_from_the_training_text(make_data: Any) -> None:
    for stage in ("fit", "validate", "test"):
        data = make_data(stage, vocab_size=150)
        assert len(data.tokenizer) == 150
        assert data.tokenizer.mask_token_id is not None
