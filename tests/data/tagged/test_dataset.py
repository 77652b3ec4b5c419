"""Batches of tagged words for the loaders, and counts of their sentences."""

import numpy as np
import torch

from lit_mlm.batch import IGNORE_INDEX, NO_WORD
from lit_mlm.data.batches import BatchKey
from lit_mlm.data.tagged.dataset import TaggedDataset, count_texts
from lit_mlm.data.tagged.sentences import TaggedSentence
from lit_mlm.text.special_tokens import SpecialTokens
from lit_mlm.text.tagging.alignment import EncodedWords
from lit_mlm.text.tagging.rows import cut_sentences, join_tokens

ENCODED = [EncodedWords(np.arange(5), np.array([0, 1, 1, 2, 2])), EncodedWords(np.arange(3), np.arange(3))]


def make() -> TaggedDataset:
    tokens = join_tokens(ENCODED, np.array([0, 1, 2, 0, 1, 2]), None)
    return TaggedDataset(*tokens, cut_sentences(ENCODED, 4, 1), SpecialTokens([101], [103]), 104)


def test_batches_are_those_of_the_rows() -> None:
    rows = np.array([2, 0])
    batch, expected = make()[BatchKey(3, rows)], make().make_batch(rows)
    assert all(tensor.dtype == torch.int64 for tensor in batch.values())
    assert {name: tensor.tolist() for name, tensor in batch.items()} == {n: a.tolist() for n, a in expected.items()}


def test_empty_batch_keeps_ranks_in_step() -> None:
    batch = make()[BatchKey(0, np.zeros(0, dtype=np.int64))]
    assert batch["sentences"].tolist() == [-1]
    assert batch["attention_mask"].sum() > 0
    assert (batch["labels"] == IGNORE_INDEX).all()
    assert (batch["words"] == NO_WORD).all()


def test_counts_of_files_and_of_truncation() -> None:
    words = np.array([0, 0, 1, 2, 2, 2])
    encoded, tags = [EncodedWords(words, words)] * 2, [["O", "B-X", "I-X"], ["S-X", "O", "U-X"]]
    sentences = [TaggedSentence(["a", "b", "c"], sentence_tags, "f") for sentence_tags in tags]
    lost = []
    for size in (1, 2, 3, 4, 5, None):
        counts = count_texts(sentences, encoded, True, size)
        assert [counts[f"num_{name}"] for name in ("sentences", "words", "gold_entities")] == [2, 6, 3]
        lost.append([counts[f"num_{name}_lost_by_truncation"] for name in ("words", "entities")])
    assert lost == [[4, 2], [4, 2], [2, 2], [0, 0], [0, 0], [0, 0]]
    assert list(count_texts(sentences, encoded, False, 1)) == [
        "num_sentences",
        "num_words",
        "num_words_lost_by_truncation",
    ]
