"""A cache of tokens appears whole, and nothing else does."""

import copy
import hashlib
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import CanineTokenizer, PreTrainedTokenizerFast

from lit_mlm.data.reading import cache_folder
from lit_mlm.data.reading.documents import TEXT
from lit_mlm.data.tokens import tokenize
from lit_mlm.data.tokens.tokenize import tokenize_batch, tokenize_documents
from lit_mlm.errors import InputError


def test_stopped_tokenising_leaves_nothing_half_written(
    tmp_path: Path, wordpiece: PreTrainedTokenizerFast, reviews: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = 200 * reviews
    documents, folder = Dataset.from_dict({TEXT: texts}), tmp_path / "tokens" / ("a" * 32)
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    unfinished.mkdir(parents=True)  # of a process that was killed
    (unfinished / "input_ids").write_bytes(b"old")

    def stop(batch: dict[str, list[str]], **options: Any) -> Any:
        if len(batch[TEXT]) == 1000:
            return tokenize_batch(batch, **options)
        while not (unfinished / "input_ids").stat().st_size:  # the batches before it are being written
            time.sleep(0.01)
        raise SystemExit(143)

    monkeypatch.setattr(tokenize, "tokenize_batch", stop)
    with pytest.raises(SystemExit):
        tokenize_documents(documents, wordpiece, True, folder, None, "tokenising")
    assert [path for path in folder.parent.iterdir() if path.suffix != ".lock"] == []
    monkeypatch.undo()
    tokens = tokenize_documents(documents, wordpiece, True, folder, None, "tokenising")
    assert tokens.ids.tolist() == [token for text in texts for token in wordpiece(text)["input_ids"]]
    assert [path for path in folder.parent.iterdir() if path.suffix != ".lock"] == [folder]


@pytest.mark.parametrize("finds_words", [False, True])
def test_damaged_cache_is_made_anew(
    tmp_path: Path, wordpiece: PreTrainedTokenizerFast, reviews: list[str], finds_words: bool
) -> None:
    documents, folder = Dataset.from_dict({TEXT: 50 * reviews}), tmp_path / "a"
    read = partial(tokenize_documents, documents, wordpiece, True, folder, None, "tokenising", finds_words)
    first = read()
    assert first.seconds is not None
    assert read().seconds is None
    assert len(list(folder.iterdir())) == 4 + finds_words
    for file in [*folder.iterdir()]:
        content = file.read_bytes()
        half = len(content) // 2
        altered = content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :]
        for damaged in (altered, content[:half], b"", content + bytes(8), None):
            file.unlink()  # what is mapped stays as it is
            if damaged is not None:
                file.write_bytes(damaged)
            again = read()
            assert again.seconds is not None
            np.testing.assert_array_equal(again.ids, first.ids)
            np.testing.assert_array_equal(again.document_lengths, first.document_lengths)
            assert again.document_bytes.tolist() == 50 * [len(text.encode()) for text in reviews]


def test_several_processes_make_the_same_cache(
    tmp_path: Path, wordpiece: PreTrainedTokenizerFast, reviews: list[str]
) -> None:
    documents = Dataset.from_dict({TEXT: 100 * reviews})
    state = torch.get_rng_state()
    one, other, again = (
        tokenize_documents(documents, wordpiece, True, tmp_path / name, num_proc, "tokenising", True)
        for name, num_proc in (("a", None), ("b", 2), ("b", None))
    )
    assert [tokens.seconds is None for tokens in (one, other, again)] == [False, False, True]
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
    assert other.ids.tolist() == [i for text in 100 * reviews for i in wordpiece(text)["input_ids"]]
    assert torch.equal(torch.get_rng_state(), state)


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

    monkeypatch.setattr(tokenize, "tokenize_batch", watch)
    monkeypatch.setattr(tokenize, "BATCH_BYTES", 3000)
    for number, length in enumerate((1000, 10_000, 1)):
        documents = Dataset.from_dict({TEXT: 10 * ["x" * length]})
        tokenize_documents(documents, wordpiece, True, tmp_path / str(number), None, "tokenising")
    documents = Dataset.from_dict({TEXT: 1200 * ["x"] + 3 * [5000 * "x"] + 2 * ["x"]})
    tokenize_documents(documents, wordpiece, True, tmp_path / "mixed", None, "tokenising")
    # Two threads take them up, in this order.
    assert Counter(sizes) == Counter([3, 3, 3, 1] + 10 * [1] + [10] + [1000, 201, 1, 1, 2])


@pytest.mark.parametrize("num_proc", [None, 2])
def test_mistake_of_a_segmenter_keeps_its_message(
    tmp_path: Path, wordpiece: PreTrainedTokenizerFast, num_proc: int | None
) -> None:
    documents = Dataset.from_dict({TEXT: ["a film"]})
    with pytest.raises(InputError, match=r"^data.segmenter must give pairs of start and end, got 'ab'"):
        tokenize_documents(documents, wordpiece, True, tmp_path / "a", num_proc, "", True, lambda _: "ab")  # type: ignore[arg-type, return-value]
    assert [path for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


def test_progress_is_told_in_tokens(
    tmp_path: Path, wordpiece: PreTrainedTokenizerFast, reviews: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    documents = Dataset.from_dict({TEXT: 50 * reviews})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr.isatty", lambda: True)
        tokens = tokenize_documents(documents, wordpiece, True, tmp_path / "a", None, "tokenising train")
    last = capsys.readouterr().err.strip().rpartition("\r")[2]
    assert last.startswith("tokenising train: 100%")
    rate = float(last.rpartition(" tokens/s")[0].rpartition(", ")[2].replace(",", ""))
    assert rate > len(tokens.ids) / 600


def test_version_of_the_format_is_raised_with_its_tokens(
    tmp_path: Path, wordpiece: PreTrainedTokenizerFast, reviews: list[str]
) -> None:
    """Where this digest changes, raise `cache_folder.FORMAT`, so that no run uses tokens that were made otherwise."""
    documents = Dataset.from_dict({TEXT: [*reviews, "", " ", "naïve 日本語 state-of-the-art\n\nx" * 9]})
    tokenize_documents(documents, wordpiece, True, tmp_path / "a", None, "tokenising", True)
    files = sorted(path for path in (tmp_path / "a").iterdir() if path.name != cache_folder.DIGESTS)
    content = b"".join(path.name.encode() + path.read_bytes() for path in files)
    assert (cache_folder.FORMAT, hashlib.sha256(content).hexdigest()[:16]) == (1, "4efa48c29f374e9a")
