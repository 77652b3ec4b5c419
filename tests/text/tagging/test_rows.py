"""Batches of windows against sentences that are cut and labelled one by one."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lit_mlm.batch import IGNORE_INDEX, NO_WORD
from lit_mlm.text.arrays import IntArray
from lit_mlm.text.special_tokens import SpecialTokens
from lit_mlm.text.tagging.alignment import EncodedWords
from lit_mlm.text.tagging.rows import TaggedRows, cut_sentences, join_tokens, widen

INSIDE = np.array([0, 2, 2])
AROUND = SpecialTokens([101, 102], [103])
SIZE, OVERLAP = 8, 3


def draw(seed: int, num_sentences: int = 40) -> tuple[list[EncodedWords], list[IntArray]]:
    """Sentences of random pieces, some of no words, some longer than a window, and the labels of their words."""
    rng = np.random.default_rng(seed)
    encoded, labels = [], []
    for _ in range(num_sentences):
        words = np.repeat(np.arange(num_words := int(rng.integers(0, 16))), rng.integers(1, 5, num_words))
        encoded.append(EncodedWords(rng.integers(0, 100, len(words)), words))
        labels.append(rng.integers(0, 3, num_words))
    return encoded, labels


def make(encoded: list[EncodedWords], labels: list[IntArray], inside: IntArray | None = INSIDE) -> TaggedRows:
    pieces = join_tokens(encoded, np.concatenate(labels), inside)
    return TaggedRows(*pieces, cut_sentences(encoded, SIZE, OVERLAP), AROUND, pad_id=104)


def read_rows(batch: dict[str, npt.NDArray[Any]]) -> list[tuple[list[int], list[int], list[int], int]]:
    """The ids, labels and words of each row without padding, which must be marked as such, and its sentence."""
    rows = []
    for i, sentence in enumerate(batch["sentences"].tolist()):
        length = int(batch["attention_mask"][i].sum())
        assert batch["attention_mask"][i, :length].all()
        for name, value in (("input_ids", 104), ("labels", IGNORE_INDEX), ("words", NO_WORD)):
            assert (batch[name][i, length:] == value).all()
        rows.append((*(batch[name][i, :length].tolist() for name in ("input_ids", "labels", "words")), sentence))
    return rows


@pytest.mark.parametrize("inside", [INSIDE, None])
@pytest.mark.parametrize("seed", range(5))
def test_words_are_owned_once_with_their_ids_and_labels(seed: int, inside: IntArray | None) -> None:
    encoded, labels = draw(seed)
    examples = make(encoded, labels, inside)
    batch = examples.make_batch(np.random.default_rng(seed).permutation(len(examples)))
    assert all(array.dtype == np.int64 for array in batch.values())
    found: dict[tuple[int, int], tuple[list[int], list[int]]] = {}
    for ids, row_labels, words, sentence in read_rows(batch):
        assert (ids[:2], ids[-1], len(ids) <= SIZE + 3) == ([101, 102], 103, True)
        pieces = encoded[sentence].ids.tolist()
        assert any(pieces[i : i + len(ids) - 3] == ids[2:-1] for i in range(len(pieces)))
        for word in set(words) - {NO_WORD}:
            places = [i for i, number in enumerate(words) if number == word]
            assert (sentence, word) not in found
            found[sentence, word] = ([ids[i] for i in places], [row_labels[i] for i in places])
        assert all(label == IGNORE_INDEX for label, word in zip(row_labels, words, strict=True) if word == NO_WORD)
    expected = {}
    for number, (sentence_pieces, tags) in enumerate(zip(encoded, labels, strict=True)):
        for word, tag in enumerate(tags.tolist()):
            ids = sentence_pieces.ids[sentence_pieces.word_of_token == word].tolist()
            later = IGNORE_INDEX if inside is None else int(inside[tag])
            expected[number, word] = (ids, [tag] + [later] * (len(ids) - 1))
    assert found == expected


def test_rows_stand_in_the_order_of_the_text() -> None:
    table = make(*draw(1)).table
    assert (np.diff(table.sentences) >= 0).all()
    assert (table.owned_starts[1:] == table.owned_ends[:-1]).all()
    assert (np.bincount(table.sentences) > 1).any()


def test_a_row_does_not_depend_on_its_batch() -> None:
    examples = make(*draw(2))
    together = read_rows(examples.make_batch(np.arange(len(examples))))
    assert [row for i in range(len(examples)) for row in read_rows(examples.make_batch(np.array([i])))] == together


def test_context_stands_around_and_is_not_scored() -> None:
    encoded, labels = draw(4, 150)
    plain = make(encoded, labels)
    documents = np.arange(len(encoded)) // 10
    wide = TaggedRows(
        *(plain.ids, plain.words, plain.labels, widen(plain.table, encoded, documents, 4, SIZE), AROUND, 104)
    )
    rows = zip(
        *(read_rows(examples.make_batch(np.arange(len(plain)))) for examples in (plain, wide)),
        wide.table.sentences,
        strict=True,
    )
    stream = [encoded[i].ids.tolist() for i in range(len(encoded))]
    num_wider = 0
    for (ids, row_labels, words, _), (wide_ids, wide_labels, wide_words, sentence), number in rows:
        assert sentence == number
        num_more = len(wide_ids) - len(ids)
        num_wider += num_more > 0
        start = next(
            i
            for i in range(num_more + 1)
            if wide_ids[2 + i : 2 + i + len(ids) - 3] == ids[2:-1]
            and wide_words[2 + i : 2 + i + len(ids) - 3] == words[2:-1]
        )
        assert [label for label in wide_labels if label != IGNORE_INDEX] == [x for x in row_labels if x != IGNORE_INDEX]
        document = [piece for i in np.flatnonzero(documents == documents[number]) for piece in stream[i]]
        assert any(document[i : i + len(wide_ids) - 3] == wide_ids[2:-1] for i in range(len(document)))
        assert set(wide_words[2 : 2 + start]) <= {NO_WORD}
        assert len(wide_ids) <= SIZE + 3
    assert num_wider > 5
