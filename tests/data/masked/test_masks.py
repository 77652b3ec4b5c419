"""Masks by options: words through the cache, schedules over epochs, ranks and restarts, strategies of one's own."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.data.batches import ShuffleSampler
from lit_mlm.data.sets.imdb import IMDBDataModule
from lit_mlm.data.sets.text_files import TextFilesDataModule
from lit_mlm.data.tokens import tokenize
from lit_mlm.errors import InputError
from lit_mlm.runs.checkpoints import read_checkpoint
from lit_mlm.text.arrays import BoolArray
from lit_mlm.text.masking.strategies import MaskingStrategy, SpanMasking, TokenMasking, WordMasking
from tests.conftest import FIXTURES, imdb_args


@pytest.fixture
def make_data(tiny_bert: str, cache_dir: str) -> Any:
    def make(stage: str = "fit", **options: Any) -> IMDBDataModule:
        defaults: dict[str, Any] = {"tokenizer": tiny_bert, "block_size": 32, "batch_size": 4, "cache_dir": cache_dir}
        data = IMDBDataModule(data_dir=str(FIXTURES / "aclImdb"), **(defaults | options))
        data.setup(stage)
        return data

    return make


def collect(data: Any, split: str) -> list[tuple[list[int], list[int]]]:
    """Labels and masked ids of each block, in order."""
    batches = list(data.train_dataloader() if split == "train" else data.val_dataloader())
    return [
        (ids.tolist(), labels.tolist())
        for b in batches
        for ids, labels in zip(b["input_ids"], b["labels"], strict=True)
    ]


def find_words(token_ids: list[int], data: Any) -> list[int]:
    """The number of the word of each token, by WordPiece's own marks; a special token has none of the pieces."""
    tokens = ["[SEP]", *data.tokenizer.convert_ids_to_tokens(token_ids)]
    pairs = zip(tokens[1:], tokens, strict=False)
    return list(np.cumsum([not token.startswith("##") or before in ("[CLS]", "[SEP]") for token, before in pairs]))


@pytest.mark.parametrize("special_tokens", ["document", "block"])
@pytest.mark.parametrize("masking", [WordMasking(), SpanMasking(), WordMasking("exact"), SpanMasking("exact")])
def test_words_are_masked_whole_in_blocks(make_data: Any, masking: MaskingStrategy, special_tokens: str) -> None:
    data = make_data(masking=masking, mask_prob=0.3, mask_token_prob=1.0, random_token_prob=0.0, block_size=17)
    num_long = 0
    for masked, labels in collect(data, "train"):
        original = [m if label == IGNORE_INDEX else label for m, label in zip(masked, labels, strict=True)]
        words = find_words(original, data)
        for word in set(words):
            hits = {labels[i] != IGNORE_INDEX for i, w in enumerate(words) if w == word}
            assert len(hits) == 1
            num_long += hits == {True} and words.count(word) > 1
    assert num_long > 5


def test_bytes_too(make_data: Any, tiny_roberta: str) -> None:
    data = make_data(tokenizer=tiny_roberta, masking=WordMasking("exact"), mask_prob=0.3, special_tokens="block")
    examples = data.examples["val"]
    assert examples.word_starts is not None
    text = data.read_documents("val")["text"][0]
    encoded = data.tokenizer(text, add_special_tokens=False)
    starts = examples.word_starts[: len(encoded["input_ids"])]
    expected = np.diff(encoded.word_ids(), prepend=-1) != 0
    assert np.array_equal(starts, expected)  # plain letters and marks: no boundary but those of word_ids
    assert not starts.all()


def test_tokens_are_masked_as_ever(make_data: Any) -> None:
    assert collect(make_data(), "val") == collect(make_data(masking=TokenMasking()), "val")
    assert make_data().examples["val"].word_starts is None


def test_results_of_any_batching_workers_and_processes_are_equal(make_data: Any, tmp_path: Path) -> None:
    data = make_data(masking=SpanMasking("exact"))
    other = make_data(masking=SpanMasking("exact"), num_proc=2, cache_dir=str(tmp_path), num_workers=2, batch_size=3)
    assert data.describe_split("val")["mask_fingerprint"] == other.describe_split("val")["mask_fingerprint"]
    rows = [[[i for i in row if i != IGNORE_INDEX] for _, row in collect(d, "train")] for d in (data, other)]
    assert rows[0] == rows[1]


def test_cache_knows_words_and_segmenter(make_data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    original = tokenize.tokenize_batch

    def watch(*args: Any, **options: Any) -> Any:
        sizes.append(1)
        return original(*args, **options)

    monkeypatch.setattr(tokenize, "tokenize_batch", watch)

    def count(**options: Any) -> int:
        sizes.clear()
        make_data(cache_dir=str(tmp_path), **options)
        return len(sizes)

    assert count() > 0
    assert count(masking=WordMasking()) > 0
    assert count(masking=SpanMasking()) == 0  # has the same words
    assert count(masking=WordMasking(), segmenter=cut_in_pairs) > 0
    assert count(masking=WordMasking(), segmenter=CutInParts(2)) > 0
    assert count(masking=WordMasking(), segmenter=CutInParts(3)) > 0
    assert count(masking=WordMasking(), segmenter=CutInParts(2)) == count() == 0


def cut_in_pairs(text: str) -> list[tuple[int, int]]:
    return [(i, min(i + 2, len(text))) for i in range(0, len(text), 2)]


@dataclass
class CutInParts:
    size: int

    def __call__(self, text: str) -> list[tuple[int, int]]:
        return [(i, min(i + self.size, len(text))) for i in range(0, len(text), self.size)]


def test_fingerprint_and_facts_name_the_strategy(make_data: Any) -> None:
    options: list[dict[str, Any]] = [
        {},
        {"masking": TokenMasking("exact")},
        {"masking": WordMasking()},
        {"masking": WordMasking(), "segmenter": cut_in_pairs},
        {"masking": WordMasking(), "segmenter": CutInParts(2)},
        {"mask_schedule": "linear", "train_mask_probs": [0.3, 0.1]},
        {"mask_schedule": "steps", "train_mask_probs": [0.3, 0.1]},
    ]
    data = [make_data(**chosen) for chosen in options]
    assert len({d.fingerprint for d in data}) == len(data)
    assert make_data(masking=TokenMasking()).fingerprint == data[0].fingerprint
    assert data[1].describe_split("val")["masking"] == "TokenMasking(mask_budget='exact')"
    assert "masked by WordMasking" in data[2].describe()
    assert "mask_prob in training 0.3 -> 0.1 (linear)" in data[5].describe()
    assert len({d.describe_split("val")["mask_fingerprint"] for d in (data[0], *data[5:])}) == 1  # not of training


def test_hyper_parameters_are_plain_data(make_data: Any) -> None:
    data = make_data(masking=SpanMasking("exact"), segmenter=CutInParts(2))
    init_args = {"mask_budget": "exact", "replace_per": "span", "length_prob": 0.2, "max_length": 10}
    assert data.hparams["masking"] == {
        "class_path": "SpanMasking",
        "init_args": init_args,
    }
    assert data.hparams["segmenter"] == f"{__name__}.CutInParts"


def test_slow_tokenizer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow: Any = SimpleNamespace(is_fast=False, name_or_path="slow")
    with pytest.raises(InputError, match=r"data.masking needs whole words, but the slow tokenizer slow"):
        tokenize.tokenize_documents(
            Dataset.from_dict({"text": ["a"]}), slow, True, tmp_path / "a.arrow", None, "", finds_words=True
        )


def test_segmenter_without_words_is_refused(make_data: Any) -> None:
    with pytest.raises(InputError, match=r"data.segmenter has no effect on TokenMasking, which uses no words"):
        make_data(segmenter=cut_in_pairs)


DICTIONARY = {"我们", "明天", "公园", "散步", "天气", "今天", "周末"}


def segment_chinese(text: str) -> list[tuple[int, int]]:
    spans, start = [], 0
    while start < len(text):
        length = 2 if text[start : start + 2] in DICTIONARY else 1
        spans.append((start, start + length))
        start += length
    return spans


def test_chinese_words_are_masked_whole(cache_dir: str) -> None:
    file = str(FIXTURES / "chinese.txt")
    options: dict[str, Any] = {"document_per": "line", "vocab_size": 1000, "block_size": 32, "cache_dir": cache_dir}
    data = TextFilesDataModule(
        file,
        masking=WordMasking(),
        mask_prob=0.3,
        mask_token_prob=1.0,
        segmenter=segment_chinese,
        **options,
        random_token_prob=0.0,
    )
    data.setup("fit")
    found: dict[str, set[tuple[bool, ...]]] = {}
    for masked, labels in collect(data, "train"):
        original = [m if label == IGNORE_INDEX else label for m, label in zip(masked, labels, strict=True)]
        text = data.tokenizer.convert_ids_to_tokens(original)
        for i in range(len(text) - 1):
            if (word := "".join(text[i : i + 2])) in DICTIONARY:
                found.setdefault(word, set()).add((labels[i] != IGNORE_INDEX, labels[i + 1] != IGNORE_INDEX))
    assert len(found) >= 3
    assert set().union(*found.values()) == {(True, True), (False, False)}


def make_trainer(epochs: int, **options: Any) -> Any:
    plain = {"max_epochs": epochs, "max_steps": -1, "world_size": 1, "global_rank": 0, "accumulate_grad_batches": 1}
    module = SimpleNamespace(max_length=None, num_steps=0, load_tokenizer=lambda: None, has_final_tokenizer=False)
    root = SimpleNamespace(root_device=torch.device("cpu"))
    progress = SimpleNamespace(current=SimpleNamespace(ready=0))
    loop = SimpleNamespace(epoch_loop=SimpleNamespace(batch_progress=progress))
    extra = {"strategy": root, "fit_loop": loop, "training": True, "lightning_module": module}
    return SimpleNamespace(**(plain | extra | options))


def train(data: Any, epochs: int, ranks: int = 1, **options: Any) -> dict[tuple[int, int], tuple[Any, ...]]:
    """The labels of each (epoch, example), and the rate of its place."""
    found: dict[tuple[int, int], tuple[Any, ...]] = {}
    for rank in range(ranks):
        data.trainer = make_trainer(epochs, world_size=ranks, global_rank=rank, **options)
        loader = data.train_dataloader()
        for epoch in range(epochs):
            loader.sampler.set_epoch(epoch)
            for key, batch in zip(loader.sampler, loader, strict=True):
                for number, example in enumerate(key.examples):
                    labels = tuple(i for i in batch["labels"][number].tolist() if i != IGNORE_INDEX)
                    found[epoch, int(example)] = labels
    return found


@pytest.mark.parametrize("masking", [None, WordMasking("exact"), SpanMasking()])
def test_scheduled_masks_are_equal_for_any_batches_ranks_and_workers(make_data: Any, masking: Any) -> None:
    options = {"masking": masking, "mask_schedule": "linear", "train_mask_probs": [0.6, 0.05]}
    one = train(make_data(**options, batch_size=4), 3)
    assert one == train(make_data(**options, batch_size=1), 3)
    assert one == train(make_data(**options, batch_size=3, num_workers=2), 3)
    assert one == train(make_data(**options, batch_size=2), 3, ranks=3)
    assert one != train(make_data(**options, batch_size=4), 4)  # another length, other progress


def test_rate_falls_with_the_place_in_training(make_data: Any) -> None:
    data = make_data(mask_schedule="steps", train_mask_probs=[0.8, 0.1], block_size=16)
    num = len(data.examples["train"])
    found = train(data, 1)
    order = next(iter(ShuffleSampler(num, num, 0, 1, seed=data.examples["train"].seed))).examples
    counts = [len(found[0, int(example)]) / 16 for example in order]
    first, last = np.mean(counts[: num // 2]), np.mean(counts[-(num // 2) :])
    assert first > 0.55  # of tokens, some of them special
    assert last < 0.2
    data.trainer = None
    shares = [
        np.mean([bool(i != IGNORE_INDEX) for _, row in collect(d, "val") for i in row])
        for d in (data, make_data(block_size=16))
    ]
    assert shares[0] == shares[1]


def test_epochs_of_a_schedule(make_data: Any) -> None:
    data = make_data(mask_schedule="linear", train_mask_probs=[0.6, 0.1], batch_size=4)
    num_batches = -(-len(data.examples["train"]) // 4)
    with pytest.raises(InputError, match=r"data.mask_schedule linear needs a trainer"):
        data.train_dataloader()
    data.trainer = make_trainer(5)
    assert data._count_epochs() == 5
    data.trainer = make_trainer(5, max_steps=2 * num_batches)
    assert data._count_epochs() == 2
    data.trainer = make_trainer(-1, max_steps=num_batches, accumulate_grad_batches=num_batches)
    assert data._count_epochs() == num_batches
    assert data.order_options == {"mask_schedule (epochs)": num_batches, "pack_length": None}
    data.trainer = make_trainer(-1)
    with pytest.raises(InputError, match=r"needs an end: give trainer.max_epochs or trainer.max_steps"):
        data._count_epochs()
    assert make_data().order_options == {"pack_length": None}


@dataclass(frozen=True)
class NamedTokens(MaskingStrategy):
    """Scores all tokens of given names."""

    names: list[str]

    def choose(self, ids: Any, *args: Any) -> Any:
        return np.isin(ids, [self.vocabulary[name] for name in self.names])


def test_strategy_gets_the_vocabulary_of_the_tokenizer(make_data: Any) -> None:
    data = make_data(masking=NamedTokens(["the", "a"]), num_workers=1)
    scored = {int(label) for batch in data.val_dataloader() for label in batch["labels"].flatten()} - {IGNORE_INDEX}
    named = set(data.tokenizer.convert_tokens_to_ids(["the", "a"]))
    assert scored == named & set(data.examples["val"].stream.tolist()) != set()


@dataclass(frozen=True)
class FirstTokens(MaskingStrategy):
    num: int = 3

    def choose(self, ids: Any, *args: Any) -> BoolArray:
        return np.broadcast_to(np.arange(ids.shape[1]) < self.num, ids.shape)


Run = Callable[..., Path]

SCHEDULE = ["--data.masking", "WordMasking", "--data.mask_schedule", "linear", "--data.train_mask_probs", "[0.6,0.1]"]


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before")
def test_interrupted_run_goes_on_with_the_same_masks(
    tiny_bert: str, cache_dir: str, run_cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed within an epoch and run again: the weights of the run that was not."""
    from lit_mlm.modules.masked_lm import MaskedLM

    args = [*imdb_args(tiny_bert, cache_dir), *SCHEDULE, "--data.batch_size", "4", "--save_every_n_steps", "1"]
    folder = run_cli("fit", *args, "--run_dir", "whole")
    training_step, seen = MaskedLM.training_step, []

    def die(self: Any, *batch: Any) -> Any:
        seen.append(1)
        if len(seen) == 3:
            raise KeyError("killed")
        return training_step(self, *batch)

    monkeypatch.setattr(MaskedLM, "training_step", die)
    with pytest.raises(KeyError):
        run_cli("fit", *args, "--run_dir", "parts")
    monkeypatch.setattr(MaskedLM, "training_step", training_step)
    started = ("--run_dir", "other", "--ckpt_path", "parts/checkpoints/last.ckpt")
    with pytest.raises(InputError, match=r"data.mask_schedule \(epochs\) 2.0, not 3.0"):
        run_cli("fit", *args, *started, "--trainer.max_epochs", 3)
    with pytest.raises(InputError, match=r"data.masking"):
        run_cli("fit", *args, *started, "--data.masking", "SpanMasking")
    run_cli("fit", *args, "--run_dir", "parts")
    whole, parts = (read_checkpoint(folder / name / "checkpoints" / "last.ckpt") for name in ("whole", "parts"))
    assert whole["global_step"] == parts["global_step"] > 4
    for name, weight in whole["state_dict"].items():
        assert torch.equal(weight, parts["state_dict"][name]), name


def test_strategy_and_segmenter_in_a_config(
    tiny_bert: str,
    cache_dir: str,
    run_cli: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "own_words.py").write_text(
        "def pairs(text):\n    return [(i, i + 2) for i in range(0, len(text) - 1, 2)]\n"
    )
    (tmp_path / "own.yaml").write_text(
        "data: {class_path: IMDBDataModule, init_args: {segmenter: own_words.pairs, masking: "
        "{class_path: WordMasking, init_args: {mask_budget: exact}}}}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    args = [*imdb_args(tiny_bert, cache_dir)[2:], "--config", "imdb.yaml", "--config", "own.yaml"]
    with pytest.raises(InputError, match=r"own_words.pairs; if you trust the code of own_words, add --trust own_words"):
        run_cli("show", *args)
    assert "own_words" not in sys.modules
    run_cli("show", *args, "--trust", "own_words")
    assert "masked by WordMasking" in capsys.readouterr().out
    typed = ["--data.masking", f"{__name__}.FirstTokens", "--data.masking.num", 4]
    run_cli("show", *args, "--data.segmenter", "own_words.pairs", *typed)
    assert "masked by FirstTokens" in capsys.readouterr().out
