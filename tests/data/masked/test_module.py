"""The base data module: from documents to masked batches."""

import itertools
import os
from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch import Tensor
from transformers import AddedToken, AutoTokenizer, DataCollatorForLanguageModeling, PreTrainedTokenizerBase

from lit_mlm.batch import BATCH_KEYS, IGNORE_INDEX
from lit_mlm.data.masked.module import BlocksDataModule
from lit_mlm.data.reading.documents import make_documents
from lit_mlm.data.tokens import tokenize
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
        validation: Any = next(iter(data.val_dataloader()))
        assert torch.equal(validation["labels"], next(iter(make_data().val_dataloader()))["labels"])
        return torch.cat([batch["labels"].flatten() for batch in loader]).numpy().tobytes()

    assert collect(1, 0) == collect(1, 0)
    assert len({collect(1, 0), collect(1, 1), collect(2, 0)}) == 3


def test_result_does_not_depend_on_processes_or_the_cache(
    make_data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make_data(cache_dir=str(tmp_path / "one"))
    two = make_data(cache_dir=str(tmp_path / "two"), num_proc=2)
    assert one.describe_split("val") == two.describe_split("val")
    assert one.fingerprint == two.fingerprint
    assert len({make_data(**o).fingerprint for o in ({}, {"mask_prob": 0.3}, {"eval_seed": 7}, {"block_size": 8})}) == 4
    np.testing.assert_array_equal(one.examples["train"].stream, two.examples["train"].stream)

    def fail(*_args: Any, **_options: Any) -> None:
        raise AssertionError("tokenised again")

    monkeypatch.setattr(tokenize, "tokenize_batch", fail)
    assert make_data(cache_dir=str(tmp_path / "one")).fingerprint == one.fingerprint


def test_samples_of_blocks_keep_their_masks(make_data: Any) -> None:
    whole, sample = make_data().examples["val"], make_data(num_val_blocks=5).examples["val"]
    assert len(sample) == 5
    assert len(set(sample.chosen)) == 5
    assert set(sample.chosen) <= set(whole.chosen)
    assert make_data(num_val_blocks=5, split_seed=1).examples["val"].chosen.tolist() != sample.chosen.tolist()
    from lit_mlm.data.batches import BatchKey

    for i, block in enumerate(sample.chosen):
        one, other = sample[BatchKey(0, np.array([i]))], whole[BatchKey(0, np.array([block]))]
        assert all(torch.equal(one[key], other[key]) for key in BATCH_KEYS)


def prepare_as_the_course(
    texts: list[str], tokenizer: PreTrainedTokenizerBase, block_size: int, num_train: int, num_val: int, seed: int
) -> tuple[int, list[list[int]], list[list[int]]]:
    """The slow reference: chapter 7.3 of the Hugging Face course, with the functions of `datasets` that it uses.

    Returns:
        The number of blocks, and the token ids of the training and the evaluation sample.
    """

    def group(batch: dict[str, list[list[int]]]) -> dict[str, list[list[int]]]:
        joined = list(itertools.chain.from_iterable(batch["input_ids"]))
        return {"input_ids": [joined[i : i + block_size] for i in range(0, len(joined) - block_size + 1, block_size)]}

    dataset = Dataset.from_dict({"text": texts})
    dataset = dataset.map(
        lambda batch: {"input_ids": tokenizer(batch["text"], verbose=False)["input_ids"]},
        batched=True,
        remove_columns=["text"],
    )
    dataset = dataset.map(group, batched=True)
    parts = dataset.train_test_split(train_size=num_train, test_size=num_val, seed=seed)
    return len(dataset), parts["train"]["input_ids"][:], parts["test"]["input_ids"][:]


class CourseDataModule(BlocksDataModule):
    """Many short documents, so that they fill several map batches."""

    def load_documents(self, splits: Collection[str]) -> dict[str, Dataset]:
        return {"train": make_documents(TEXTS)}


TEXTS = [f"{text} {number}" for number in range(100) for text in read_reviews()]


def test_recipe_of_the_course_gives_its_blocks_and_samples(tiny_bert: str, cache_dir: str) -> None:
    num_blocks, train, val = prepare_as_the_course(TEXTS, AutoTokenizer.from_pretrained(tiny_bert), 32, 900, 90, 42)
    options: dict[str, Any] = {"tokenizer": tiny_bert, "block_size": 32, "cache_dir": cache_dir}
    recipe: dict[str, Any] = {"map_batch_size": 1000, "drop_tail": True, "val_source": "train_blocks"}
    samples: dict[str, Any] = {"num_train_blocks": 900, "num_val_blocks": 90}
    data = CourseDataModule(**options, **recipe, **samples)
    data.setup("fit")
    assert len(data.examples["train"].table) == num_blocks
    assert [row for batch in data.val_dataloader() for row in restore_ids(batch)] == val
    trained_on = data.examples["train"]
    starts, ends = (edges[trained_on.chosen] for edges in (trained_on.table.starts, trained_on.table.ends))
    assert [trained_on.stream[start:end].tolist() for start, end in zip(starts, ends, strict=True)] == train
    facts = data.describe_split("val")
    num_tokens = len(trained_on.stream)
    assert facts["num_dropped_tokens"] == num_tokens - num_blocks * 32 > 0
    assert 0 < facts["num_blocks_shared_with_train"] <= 90  # type: ignore[operator]
    assert f"{facts['num_blocks_shared_with_train']} val blocks share a document with training" in data.describe()


def test_all_other_blocks_are_trained_on_unless_a_number_is_given(make_data: Any) -> None:
    data = make_data(val_source="train_blocks", num_val_blocks=7)
    train, val = (set(data.examples[split].chosen.tolist()) for split in ("train", "val"))
    assert len(val) == 7
    assert not train & val
    assert train | val == set(range(len(data.examples["train"].table)))


def test_lines_are_examples_cut_or_truncated(make_data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["a short line\n\nthe story was dull and the cast was dull and the music was dull", "the end\n"]
    monkeypatch.setattr(
        ReviewsDataModule, "load_documents", lambda *_: dict.fromkeys(("train", "val"), make_documents(texts))
    )
    lines = ["a short line", "the story was dull and the cast was dull and the music was dull", "the end"]
    whole = make_data(block_policy="line", block_size=8)
    ids = [whole.tokenizer(line)["input_ids"] for line in lines]
    rows = [row for batch in whole.val_dataloader() for row in restore_ids(batch)]
    assert rows == [line[i : i + 8] for line in ids for i in range(0, len(line), 8)]
    data = make_data(block_policy="line", block_size=8, truncate=True)
    assert [row for batch in data.val_dataloader() for row in restore_ids(batch)] == [line[:8] for line in ids]
    assert data.describe_split("val")["num_dropped_tokens"] == sum(len(line) - len(line[:8]) for line in ids) > 0


def test_mask_draws_are_independent_and_the_first_is_that_of_one_draw(make_data: Any) -> None:
    loaders = make_data(num_mask_draws=3).val_dataloader()
    labels = [
        torch.cat([batch["labels"].flatten() for batch in loader if batch["labels"].shape[1] == 16])
        for loader in loaders
    ]
    one = torch.cat([b["labels"].flatten() for b in make_data().val_dataloader() if b["labels"].shape[1] == 16])
    assert torch.equal(labels[0], one)
    for a, b in itertools.combinations(labels, 2):
        scored = (a != IGNORE_INDEX).float(), (b != IGNORE_INDEX).float()
        assert abs(float(torch.corrcoef(torch.stack(scored))[0, 1])) < 0.2
    facts = [make_data(num_mask_draws=k).describe_split("val")["mask_fingerprint"] for k in (1, 3)]
    assert facts[0] != facts[1]


def test_redrawn_masks_follow_the_step_of_the_evaluation(make_data: Any) -> None:
    data = make_data(redraw_eval_masks=True, num_mask_draws=2)

    def collect(step: int) -> tuple[list[bytes], Any]:
        data.attach(SimpleNamespace(num_steps=step, max_length=None))
        loaders = data.val_dataloader()
        labels = [b"".join(batch["labels"].numpy().tobytes() for batch in loader) for loader in loaders]
        return labels, data.describe_split("val")["mask_fingerprint"]

    first, again, later = collect(0), collect(0), collect(5)
    assert first == again
    assert len({*first[0], *later[0]}) == 4
    assert first[1] != later[1]


def test_fingerprint_of_a_split_is_that_of_its_own_text(make_data: Any) -> None:
    data = make_data()
    alone, whole, val = make_data("validate"), data.fingerprint, data.describe_split("val")["data_fingerprint"]
    assert alone.describe_split("val")["data_fingerprint"] == val != whole
    data.setup("test")  # a second stage leaves the first one's facts
    assert data.describe_split("val")["data_fingerprint"] == val != data.describe_split("test")["data_fingerprint"]


def test_batch_without_examples_scores_nothing(make_data: Any) -> None:
    from lit_mlm.data.batches import BatchKey

    batch = make_data().examples["val"][BatchKey(0, np.array([], dtype=np.int64))]
    assert len(batch["labels"]) == 1
    assert (batch["labels"] == IGNORE_INDEX).all()


def test_facts(make_data: Any) -> None:
    data = make_data(drop_tail=True)
    facts = data.describe_split("val")
    texts = read_reviews()[:6]
    tokens = sum(len(data.tokenizer(text)["input_ids"]) for text in texts)
    assert facts["num_blocks"] == tokens // 16
    assert facts["num_dropped_tokens"] == tokens % 16 > 0
    whole = make_data().describe_split("val")
    words = sum(len(data.tokenizer.tokenize(text)) for text in texts)
    assert whole["tokens_per_byte"] == words / sum(len(text.encode()) for text in texts) != facts["tokens_per_byte"]
    assert data.describe() == (
        f"{len(data.examples['train'])} train / {tokens // 16} val blocks of 16 (concatenate), "
        f"{data.describe_split('train')['num_dropped_tokens']} tokens of train dropped, "
        f"{tokens % 16} tokens of val dropped"
    )


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
        (
            {"vocab_size": 150, "tokenizer": "x"},
            r"data.tokenizer \(x\) and data.vocab_size \(150\) are mutually exclusive",
        ),
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
        ({"block_size": 2, "special_tokens": "block"}, "leaves no room beside 2 special tokens"),
        ({"block_size": None}, "data.block_size must be given"),
        ({"tokenizer": None}, "no tokenizer"),
        ({"block_size": 5000, "drop_tail": True}, "the train split has no blocks"),
        ({"num_mask_draws": 0}, "data.num_mask_draws must be at least 1, got 0"),
        ({"num_workers": -1}, "data.num_workers must be at least 0, got -1"),
        ({"map_batch_size": 9, "block_policy": "line"}, "data.map_batch_size 9 has no effect on .* line"),
        (
            {"block_policy": "documents"},
            "policy must be one of concatenate, document, line, got 'documents'; did you",
        ),
        (
            {"tokenizer_algorithm": "bpee", "vocab_size": 9},
            "tokenizer_algorithm must be one of wordpiece, bpe, got 'bpee'",
        ),
        ({"truncate": True}, "data.truncate needs data.block_policy document or line"),
        ({"val_source": "train_blocks"}, "needs data.num_val_blocks"),
        (
            {"val_source": "train_blocks", "block_policy": "line"},
            "data.block_policy concatenate or document",
        ),
        ({"val_source": "train_blocks", "num_val_blocks": 500}, "data.num_val_blocks 500 leaves none of the"),
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


@pytest.mark.parametrize(
    ("typed", "device", "num_cores", "num_devices", "expected"),
    [
        (None, "cpu", 64, 1, 0),
        (None, "cuda", 64, 1, 4),
        (None, "cuda", 16, 8, 1),
        (None, "cuda", 1, 1, 0),
        (7, "cpu", 2, 1, 7),
    ],
)
def test_workers_suit_the_machine(
    make_data: Any,
    monkeypatch: pytest.MonkeyPatch,
    typed: int | None,
    device: str,
    num_cores: int,
    num_devices: int,
    expected: int,
) -> None:
    data = make_data(num_workers=typed)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(num_cores)))
    data.trainer = SimpleNamespace(
        strategy=SimpleNamespace(root_device=SimpleNamespace(type=device)), num_devices=num_devices
    )
    assert data.num_workers == expected


def test_sample_larger_than_the_text_is_all_of_it(make_data: Any) -> None:
    whole, sampled = make_data(), make_data(num_train_blocks=10_000, num_val_blocks=3)
    assert len(sampled.examples["train"]) == len(whole.examples["train"]) > 0
    assert len(sampled.examples["val"]) == 3
    assert ", all of train, which has fewer than data.num_train_blocks 10,000" in sampled.describe()
    assert "num_val_blocks" not in sampled.describe()
    assert "all of" not in whole.describe()
