"""A cache of tokens appears whole, and nothing else does."""

import copy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from transformers import CanineTokenizer, PreTrainedTokenizerFast

from lit_mlm.data import stream
from lit_mlm.data.documents import TEXT
from lit_mlm.data.stream import tokenize_batch, tokenize_documents


def test_stopped_tokenising_leaves_nothing_half_written(
    tmp_path: Path, wordpiece: PreTrainedTokenizerFast, reviews: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = 50 * reviews  # two batches of `map`
    documents, cache_file = Dataset.from_dict({TEXT: texts}), tmp_path / "tokens" / f"{'a' * 32}.arrow"
    (cache_file.parent / f".{cache_file.stem}.unfinished").mkdir(parents=True)  # of a process that was killed
    (cache_file.parent / f".{cache_file.stem}.unfinished" / "tmp1").touch()

    def stop(batch: dict[str, list[str]], **options: Any) -> Any:
        if len(batch[TEXT]) == 1000:
            return tokenize_batch(batch, **options)
        assert list(tmp_path.rglob("tmp*"))  # of `datasets`
        raise SystemExit(143)

    monkeypatch.setattr(stream, "tokenize_batch", stop)
    with pytest.raises(SystemExit):
        tokenize_documents(documents, wordpiece, True, cache_file, None, "tokenising")
    assert [path for path in cache_file.parent.iterdir() if path.suffix != ".lock"] == []
    monkeypatch.undo()
    tokens = tokenize_documents(documents, wordpiece, True, cache_file, None, "tokenising")
    assert tokens.ids.tolist() == [token for text in texts for token in wordpiece(text)["input_ids"]]
    assert [path for path in cache_file.parent.iterdir() if path.suffix != ".lock"] == [cache_file]


@pytest.mark.parametrize("finds_words", [False, True])
def test_cache_that_was_cut_short_is_made_anew(
    tmp_path: Path, wordpiece: PreTrainedTokenizerFast, reviews: list[str], finds_words: bool
) -> None:
    documents, cache_file = Dataset.from_dict({TEXT: 50 * reviews}), tmp_path / f"{'a' * 32}.arrow"
    read = partial(tokenize_documents, documents, wordpiece, True, cache_file, None, "tokenising", finds_words)
    first = read()
    assert first.seconds is not None
    assert read().seconds is None
    for size in (len(cache_file.read_bytes()) // 2, 0):
        cache_file.write_bytes(cache_file.read_bytes()[:size])
        again = read()
        assert again.seconds is not None
        np.testing.assert_array_equal(again.ids, first.ids)
        np.testing.assert_array_equal(again.document_lengths, first.document_lengths)


def test_cache_of_several_processes_serves_one(
    tmp_path: Path, wordpiece: PreTrainedTokenizerFast, reviews: list[str]
) -> None:
    documents, cache_file = Dataset.from_dict({TEXT: reviews}), tmp_path / f"{'a' * 32}.arrow"
    streams = [
        tokenize_documents(documents, wordpiece, True, cache_file, num_proc, "tokenising", True)
        for num_proc in (2, None, 3)
    ]
    assert [stream.seconds is None for stream in streams] == [False, True, True]
    assert [path.name for path in cache_file.parent.glob("*.arrow") if "_of_00002" not in path.name] == []
    for one in streams[1:]:
        np.testing.assert_array_equal(one.ids, streams[0].ids)


def test_truncation_of_a_tokenizer_s_file_is_left_out(wordpiece: PreTrainedTokenizerFast, reviews: list[str]) -> None:
    tokenizer = copy.deepcopy(wordpiece)
    tokenizer.backend_tokenizer.enable_truncation(4)
    tokenizer.backend_tokenizer.enable_padding(length=9)
    expected = wordpiece(reviews)["input_ids"]
    for finds_words in (False, True):
        assert tokenize_batch({TEXT: reviews}, tokenizer, True, finds_words)["input_ids"].to_pylist() == expected


def test_tokenizer_with_a_way_of_its_own_is_asked_in_its_way(wordpiece: PreTrainedTokenizerFast) -> None:
    class Shouting(PreTrainedTokenizerFast):
        def _encode_plus(self, text: Any, *args: Any, **options: Any) -> Any:
            return super()._encode_plus([part + "!" for part in text], *args, **options)

    tokenizer: Any = Shouting(tokenizer_object=wordpiece.backend_tokenizer)  # type: ignore[no-untyped-call]
    for finds_words in (False, True):
        batch = tokenize_batch({TEXT: ["a film"]}, tokenizer, False, finds_words)
        assert batch["input_ids"].to_pylist() == wordpiece(["a film!"], add_special_tokens=False)["input_ids"]


def test_slow_tokenizer_gives_its_ids(reviews: list[str]) -> None:
    tokenizer = CanineTokenizer()
    assert not tokenizer.is_fast
    rows = tokenize_batch({TEXT: reviews}, tokenizer, True)["input_ids"].to_pylist()
    assert rows == [tokenizer(text)["input_ids"] for text in reviews]


def test_long_documents_come_in_small_batches(
    tmp_path: Path, wordpiece: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def watch(batch: dict[str, list[str]], **options: Any) -> Any:
        sizes.append(len(batch[TEXT]))
        return tokenize_batch(batch, **options)

    monkeypatch.setattr(stream, "tokenize_batch", watch)
    monkeypatch.setattr(stream, "BATCH_BYTES", 3000)
    for number, length in enumerate((1000, 10_000, 1)):
        documents = Dataset.from_dict({TEXT: 10 * ["x" * length]})
        tokenize_documents(documents, wordpiece, True, tmp_path / f"{number}.arrow", None, "tokenising")
    assert sizes == [3, 3, 3, 1] + 10 * [1] + [10]
