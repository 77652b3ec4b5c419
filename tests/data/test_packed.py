"""Data modules that pack: what a sequence is, it is in its row."""

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lit_mlm import CoNLLDataModule, IMDBDataModule
from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.data.batches import BatchKey
from lit_mlm.errors import InputError
from lit_mlm.text.masking.strategies import SpanMasking, TokenMasking, WordMasking
from lit_mlm.text.packing import find_padding
from tests.conftest import FIXTURES

NAMES = ("input_ids", "labels")


@pytest.fixture
def make_data(tiny_bert: str, cache_dir: str) -> Any:
    def make(**options: Any) -> IMDBDataModule:
        defaults: dict[str, Any] = {"tokenizer": tiny_bert, "block_size": 32, "batch_size": 2, "cache_dir": cache_dir}
        shape = {"block_policy": "document", "special_tokens": "block"}
        data = IMDBDataModule(data_dir=str(FIXTURES / "aclImdb"), **(defaults | shape | options))
        data.setup("fit")
        return data

    return make


@pytest.fixture
def make_news(tiny_bert: str, cache_dir: str) -> Any:
    def make(**options: Any) -> CoNLLDataModule:
        defaults: dict[str, Any] = {"tokenizer": tiny_bert, "batch_size": 4, "cache_dir": cache_dir, "window": 40}
        data = CoNLLDataModule(data_dir=str(FIXTURES / "conll"), **(defaults | options))
        data.setup("fit")
        return data

    return make


def collect(loader: Any) -> list[tuple[list[int], ...]]:
    """Ids and labels of each sequence, sorted."""
    found = []
    for batch in loader:
        for row, mask in enumerate(batch["attention_mask"] == 1):
            found.append(tuple(batch[name][row][mask].tolist() for name in NAMES))
    return sorted(found)


def read_rows(batch: dict[str, Tensor]) -> list[list[int]]:
    """The sequences of each row of a packed batch, each of which must be there whole and once."""
    mask, packing = batch["attention_mask"], batch["packing"]
    places = packing[packing >= 0]
    assert sorted(places.tolist()) == mask.flatten().nonzero().flatten().tolist()
    rows = []
    for row in packing:
        filled = row[row >= 0]
        assert torch.equal(row[: len(filled)], filled)
        sequences = (filled // mask.shape[1]).unique_consecutive().tolist()
        starts = [sequence * mask.shape[1] for sequence in sequences]
        ends = [start + int(mask[sequence].sum()) for start, sequence in zip(starts, sequences, strict=True)]
        assert filled.tolist() == [n for start, end in zip(starts, ends, strict=True) for n in range(start, end)]
        rows.append(sequences)
    return rows


@pytest.mark.parametrize("masking", [TokenMasking(), WordMasking(), SpanMasking("exact")])
def test_masks_are_those_without_packing(make_data: Any, masking: Any) -> None:
    data, packed = make_data(masking=masking), make_data(masking=masking, pack_length=64)
    assert packed.describe_split("val")["mask_fingerprint"] == data.describe_split("val")["mask_fingerprint"]
    assert collect(packed.val_dataloader()) == collect(data.val_dataloader())
    loaders = packed.train_dataloader(), data.train_dataloader()
    for epoch in (0, 3):
        for loader in loaders:
            loader.sampler.set_epoch(epoch)
        assert collect(loaders[0]) == collect(loaders[1])
    assert len(loaders[0]) < len(loaders[1])


def test_batches_keep_the_contract(make_data: Any) -> None:
    for batch in make_data(pack_length=64).train_dataloader():
        assert set(batch) == {"input_ids", "attention_mask", "labels", "packing"}
        assert all(tensor.dtype == torch.int64 for tensor in batch.values())
        assert batch["packing"].shape[1] == 64
        assert sum(read_rows(batch), []) == list(range(len(batch["input_ids"])))  # noqa: RUF017


def test_rows_stay_and_their_order_changes(make_data: Any) -> None:
    loader = make_data(pack_length=64).train_dataloader()
    epochs = []
    for epoch in (0, 1):
        loader.sampler.set_epoch(epoch)
        rows = []
        for batch in loader:
            for sequences in read_rows(batch):
                masks = batch["attention_mask"][sequences] == 1
                ids = [batch["labels"][i][mask] != IGNORE_INDEX for i, mask in zip(sequences, masks, strict=True)]
                rows.append(([int(mask.sum()) for mask in masks], [each.tolist() for each in ids]))
        epochs.append(rows)
    lengths = [[sizes for sizes, _ in rows] for rows in epochs]
    assert lengths[0] != lengths[1]
    assert sorted(lengths[0]) == sorted(lengths[1])
    assert sorted(epochs[0]) != sorted(epochs[1])  # masks are drawn anew


def test_a_batch_without_rows_scores_nothing(make_data: Any) -> None:
    options = {"mask_schedule": "linear", "train_mask_probs": [0.5, 0.1]}
    data = make_data(pack_length=64, **options)
    batch = data.splits["train"].packed[BatchKey(0, np.zeros(0, dtype=np.int64))]
    assert batch["packing"].shape == (1, 64)
    assert read_rows(batch) == [[0]]
    assert (batch["labels"] == IGNORE_INDEX).all()


ISOLATED = SimpleNamespace(max_length=64, has_final_tokenizer=True, is_isolated=True, vocabulary={}, num_steps=0)


@pytest.mark.parametrize("make", ["make_data", "make_news"])
def test_sequences_of_each_batch_are_packed_for_nets_that_keep_them_apart(
    make: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, num_packed = request.getfixturevalue(make)(batch_size=8), 0
    loaders = "train_dataloader", "val_dataloader"
    plain = {name: list(getattr(data, name)()) for name in loaders}
    padding = data.describe_split("val").get("padding_fraction")
    monkeypatch.setattr(data, "_attached", ISOLATED)
    for name in loaders:
        for found, expected in zip(getattr(data, name)(), plain[name], strict=True):
            assert all(torch.equal(found[key], expected[key]) for key in expected)
            if "packing" in found:
                num_packed += 1
                rows, width = found["packing"].shape
                assert sum(read_rows(found), []) != []  # noqa: RUF017
                assert rows * width < 0.95 * found["input_ids"].numel()
                assert width <= 64
    assert num_packed > len(plain["train_dataloader"]) / 2
    if make == "make_news":
        assert re.search(r"1\d\.\d% of a training batch is padding \(2\d\.\d% without packing\)", data.describe())
        assert data.describe_split("val")["padding_fraction"] <= padding
    data.pack_batches = False
    assert all("packing" not in batch for name in loaders for batch in getattr(data, name)())


def test_a_schedule_goes_by_rows(make_data: Any) -> None:
    """From the first row to the last, whatever the size of a batch."""
    shares = []
    for size in (1, 4):
        data = make_data(
            mask_schedule="linear", train_mask_probs=[0.9, 0.1], pack_length=64, batch_size=size, masking=TokenMasking()
        )
        data.trainer = SimpleNamespace(
            max_epochs=1, max_steps=-1, world_size=1, global_rank=0, training=False, strategy=SimpleNamespace()
        )
        data.trainer.strategy.root_device = torch.device("cpu")
        data.trainer.lightning_module = None
        rows = [batch["labels"][row] for batch in data.train_dataloader() for row in read_rows(batch)]
        shares.append([float((row != IGNORE_INDEX).sum()) for row in rows])
    assert shares[0] == shares[1]
    third = len(shares[0]) // 3
    assert sum(shares[0][:third]) > 2 * sum(shares[0][-third:])


def test_epochs_of_a_schedule_are_counted_in_rows(make_data: Any) -> None:
    options = {"mask_schedule": "linear", "train_mask_probs": [0.9, 0.1]}
    data = make_data(pack_length=64, **options)
    num_batches = -(-len(data.splits["train"].packed) // 2)
    data.trainer = SimpleNamespace(max_epochs=-1, max_steps=num_batches, world_size=1, accumulate_grad_batches=1)
    data.trainer.lightning_module = None
    assert data._count_epochs() == 1


def test_facts_and_options(make_data: Any) -> None:
    data, packed = make_data(), make_data(pack_length=64)
    assert packed.fingerprint == data.fingerprint  # the examples are the same, and what they are fed in is an order
    assert (data.order_options, packed.order_options) == ({"pack_length": None}, {"pack_length": 64})
    facts = packed.describe_split("val")
    num_tokens = int(packed.examples["val"].lengths.sum())
    assert facts["num_blocks"] == data.describe_split("val")["num_blocks"]
    assert facts["padding_fraction"] == pytest.approx(1 - num_tokens / (64 * facts["num_rows"]))
    assert "padding_fraction" not in data.describe_split("val")
    assert "packed" not in data.describe()
    rows, lengths = len(packed.splits["train"].packed), packed.examples["train"].lengths
    assert f"packed into {rows} rows of 64 ({1 - lengths.sum() / (64 * rows):.1%} padding, " in packed.describe()
    alone = make_data(pack_length=64, batch_size=1).describe()
    assert "padding, 0.0% without)" in alone
    assert "are fewer than a batch of 1000" in make_data(pack_length=64, batch_size=1000).describe()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"block_policy": "concatenate"},
            r"data.pack_length 64 needs data.block_policy document or line: others are full",
        ),
        ({"pack_length": 20}, r"data.pack_length 20 is less than the longest block, 32 tokens; raise it or lower data"),
        ({"pack_length": 0}, r"data.pack_length must be at least 1, got 0"),
    ],
)
def test_mistakes(options: dict[str, Any], message: str, make_data: Any) -> None:
    with pytest.raises(InputError, match=message):
        make_data(**({"pack_length": 64} | options))


def test_rows_longer_than_the_model_takes(tiny_bert: str, cache_dir: str, make_news: Any) -> None:
    options: dict[str, Any] = {"tokenizer": tiny_bert, "cache_dir": cache_dir, "block_policy": "document"}
    data: Any = IMDBDataModule(data_dir=str(FIXTURES / "aclImdb"), pack_length=65, **options)
    news = make_news()
    news.pack_length = 65
    for module in (data, news):
        module.attach(SimpleNamespace(max_length=64, has_final_tokenizer=True))
        with pytest.raises(InputError, match=r"data.pack_length is 65, but the model takes at most 64 tokens"):
            module.setup("fit")


def test_windows_of_training_are_packed(make_news: Any) -> None:
    news, packed = make_news(), make_news(pack_length=64)
    loaders = packed.train_dataloader(), news.train_dataloader()
    assert collect(loaders[0]) == collect(loaders[1])
    assert len(loaders[0]) == -(-len(packed.packed) // 4) < len(loaders[1]) / 2
    for ours, theirs in zip(packed.val_dataloader(), news.val_dataloader(), strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert packed.fingerprint == news.fingerprint
    assert packed.describe_split("val") == news.describe_split("val")
    assert packed.order_options == {"max_tokens_per_batch": None, "pack_length": 64}
    by_chance: dict[str, Any] = {"max_tokens_per_batch": None, "pack_length": None, "group_by_length": False}
    assert news.order_options == by_chance | {"batch_size": 4}
    by_tokens = make_news(max_tokens_per_batch=500).order_options
    assert by_tokens == by_chance | {"max_tokens_per_batch": 500, "group_by_length": True}
    padding = f"{find_padding(news.make_sampler('train', is_training=True).list_lengths()):.1%}"
    assert f"{padding} of a training batch is padding" in news.describe()
    assert f" padding, {padding} without)" in packed.describe()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_tokens_per_batch": 500}, "data.pack_length and data.max_tokens_per_batch are mutually exclusive"),
        ({"group_by_length": True}, "data.group_by_length true has no effect with data.pack_length"),
        ({"pack_length": 30}, "data.pack_length 30 is less than the longest sequence, 40 tokens; raise it or lower da"),
        ({"pack_length": -1}, "data.pack_length must be at least 1, got -1"),
    ],
)
def test_mistakes_with_windows(options: dict[str, Any], message: str, make_news: Any) -> None:
    with pytest.raises(InputError, match=message):
        make_news(**({"pack_length": 64} | options))
