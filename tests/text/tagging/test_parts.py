"""Parts of sentences against the rows of all of them at once."""

import random
from typing import Any

import numpy as np
import pytest

from lit_mlm.batch import NO_WORD
from lit_mlm.text.arrays import IntArray
from lit_mlm.text.tagging import parts
from lit_mlm.text.tagging.alignment import encode_words
from lit_mlm.text.tagging.rows import TaggedRows

WORDS = ["the", "film", "is", "extraordinarily", "unwatchable", "zzz", "a"]


def read(rows: TaggedRows) -> list[tuple[list[int], list[int]]]:
    """The tokens of each row, and those of them that the row owns."""
    batch = rows.make_batch(np.arange(len(rows)))
    owned = batch["words"] != NO_WORD
    pairs = zip(batch["input_ids"], batch["attention_mask"].astype(bool), owned, strict=True)
    return [(ids[kept].tolist(), np.flatnonzero(mine).tolist()) for ids, kept, mine in pairs]


@pytest.mark.parametrize("context", [None, 4])
@pytest.mark.parametrize(("size", "stride"), [(8, 0), (8, 7), (13, 4), (40, 10)])
def test_rows_are_those_of_the_whole(
    size: int, stride: int, context: int | None, families: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For sentences of many parts too: same windows, same owned words, in the same order."""
    monkeypatch.setattr(parts, "WORDS_PER_PART", 30)
    rng, tokenizer = random.Random(size + stride), families["wordpiece"]
    sentences = [rng.choices(WORDS, k=rng.choice([0, 1, 5, 12, 29, 31, 400])) for _ in range(30)]
    documents: IntArray = np.arange(30) // 3
    near = None if context is None else (documents, context)
    whole = TaggedRows.build(tokenizer, encode_words(tokenizer, sentences, size), size, stride, near)
    found = list(parts.iterate_parts(tokenizer, sentences, size, stride, near))
    assert [row for part in found for row in read(part)] == read(whole)
    assert len(found) > 5


def test_the_tokens_of_one_sentence_exist_in_parts_only(families: Any) -> None:
    words = ["the", "film"] * parts.WORDS_PER_PART
    found = list(parts.iterate_parts(families["wordpiece"], [words], 126, 30))
    assert len(found) > 2
    assert max(int(part.words.max()) for part in found) < parts.WORDS_PER_PART


def test_no_sentences_have_no_parts(families: Any) -> None:
    assert list(parts.iterate_parts(families["wordpiece"], [], 8, 2)) == []
    assert [len(part) for part in parts.iterate_parts(families["wordpiece"], [[], []], 8, 2)] == [0]
