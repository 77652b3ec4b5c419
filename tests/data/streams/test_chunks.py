"""Chunks of documents as blocks."""

from typing import Any

import pytest

from lit_mlm.data.masked.blocks import BlockCutter, BlockOptions
from lit_mlm.data.streams.chunks import ChunkCutter
from lit_mlm.data.tokens import tokenize

TEXTS = ["The film was good .\r\n\r\nI left before the end .", "Bad .", "\nThe cast was noisy ."]


def make_cutter(tokenizer: Any, size: int, policy: Any = "concatenate", **options: Any) -> BlockCutter:
    return BlockOptions(size, policy, **options).fit(tokenizer, None)


@pytest.mark.parametrize("num_bytes", [10, 2**21])
def test_a_chunk_is_its_documents_tokens_cut(wordpiece: Any, num_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is tokenised at a time."""
    monkeypatch.setattr(tokenize, "BATCH_BYTES", num_bytes)
    expected = [wordpiece(text)["input_ids"] for text in TEXTS]
    chunk = ChunkCutter(wordpiece, make_cutter(wordpiece, 7), finds_words=True)(TEXTS)
    flat = [i for ids in expected for i in ids]
    assert chunk.ids.tolist() == flat
    assert chunk.document_lengths.tolist() == [len(ids) for ids in expected]
    assert chunk.table.starts.tolist() == list(range(0, len(flat), 7))
    assert chunk.table.ends.tolist() == [min(start + 7, len(flat)) for start in range(0, len(flat), 7)]
    words = [word for text in TEXTS for word in wordpiece(text).word_ids()]
    assert chunk.word_starts is not None
    assert chunk.word_starts.tolist() == [
        i == 0 or word is None or word != words[i - 1] for i, word in enumerate(words)
    ]


def test_policies(wordpiece: Any) -> None:
    lines = ["The film was good .", "I left before the end .", "Bad .", "The cast was noisy ."]
    by_line = ChunkCutter(wordpiece, make_cutter(wordpiece, 8, "line", truncate=True, special_tokens="block"))(TEXTS)
    assert by_line.documents == lines
    assert by_line.word_starts is None
    lengths = [len(wordpiece(line, add_special_tokens=False)["input_ids"]) for line in lines]
    assert (by_line.table.ends - by_line.table.starts).tolist() == [min(6, length) for length in lengths]
    by_document = ChunkCutter(wordpiece, make_cutter(wordpiece, 6, "document", drop_tail=True))(TEXTS)
    lengths = [len(wordpiece(text)["input_ids"]) for text in TEXTS]
    assert len(by_document.table) == sum(length // 6 for length in lengths)


def test_no_document_at_all(wordpiece: Any) -> None:
    chunk = ChunkCutter(wordpiece, make_cutter(wordpiece, 6))([])
    assert (len(chunk.ids), len(chunk.table), len(chunk.document_lengths)) == (0, 0, 0)
