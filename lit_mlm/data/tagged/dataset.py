"""Sentences of pieces with labels, read a batch of windows at a time.

Shapes: B windows, T tokens, S sentences, P pieces of a split, R windows of a split.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.data.batches import BatchKey
from lit_mlm.data.tagged.sentences import TaggedSentence
from lit_mlm.text.blocks import IntArray
from lit_mlm.text.special_tokens import SpecialTokens
from lit_mlm.text.tagging.alignment import NO_WORD, EncodedWords, align_labels, find_first_pieces
from lit_mlm.text.tagging.schemes import find_spans
from lit_mlm.text.tagging.windows import add_context, cut_windows

Int32Array = npt.NDArray[np.int32]


@dataclass(frozen=True)
class WindowTable:
    """Windows as slices of the stream of all pieces; what a window shows but doesn't own is not scored.

    Attributes:
        starts: first piece of each window, shape (R,).
        ends: one past its last piece, shape (R,).
        owned_starts: the first piece of the words that it owns, shape (R,).
        owned_ends: one past the last piece of these, shape (R,).
        sentences: the sentence that these belong to, never decreasing, shape (R,).
    """

    starts: IntArray
    ends: IntArray
    owned_starts: IntArray
    owned_ends: IntArray
    sentences: IntArray

    def __len__(self) -> int:
        return len(self.starts)


@dataclass(frozen=True)
class TaggedWindows(Dataset[dict[str, Tensor]]):
    """Maps the key of a batch to the batch; holds no state, so every worker and every restart gives the same.

    Attributes:
        ids: of all pieces of the split, sentence after sentence, without special tokens, shape (P,).
        words: for each piece the index of its word in its sentence, shape (P,).
        labels: of each piece, `IGNORE_INDEX` where it is not scored, shape (P,).
        table: the windows.
        around: special tokens put around each window.
        pad_id: id that stands on padding, where nothing is attended or scored.
    """

    ids: Int32Array
    words: Int32Array
    labels: Int32Array
    table: WindowTable
    around: SpecialTokens
    pad_id: int

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, key: BatchKey) -> dict[str, Tensor]:
        """The batch; one without windows still has a row, of which nothing is scored: nets need one."""
        is_empty = len(key.examples) == 0
        rows = np.zeros(1, dtype=np.int64) if is_empty else key.examples
        starts, lengths = self.table.starts[rows], self.lengths[rows]
        num_before = len(self.around.prefix)
        columns = np.arange(int(lengths.max())) - num_before
        is_token = columns < (lengths - num_before)[:, None]
        is_piece = (columns >= 0) & (columns < (lengths - len(self.around))[:, None])
        pieces = np.where(is_piece, starts[:, None] + columns, 0)
        is_owned = is_piece & (pieces >= self.table.owned_starts[rows, None])
        is_owned &= (pieces < self.table.owned_ends[rows, None]) & (not is_empty)
        input_ids = np.where(is_piece, self.ids[pieces], self.pad_id).astype(np.int64)
        input_ids[:, :num_before] = self.around.prefix
        for i, token_id in enumerate(self.around.suffix):
            input_ids[np.arange(len(rows)), lengths - len(self.around.suffix) + i] = token_id
        arrays = {
            "input_ids": input_ids,
            "attention_mask": is_token.astype(np.int64),
            "labels": np.where(is_owned, self.labels[pieces], IGNORE_INDEX).astype(np.int64),
            "words": np.where(is_owned, self.words[pieces], NO_WORD).astype(np.int64),
            "sentences": np.full(1, -1) if is_empty else self.table.sentences[rows],
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    @property
    def lengths(self) -> IntArray:
        """Tokens of each window, special tokens included, shape (R,)."""
        return self.table.ends - self.table.starts + len(self.around)


def join_pieces(
    encoded: Sequence[EncodedWords], word_labels: IntArray, inside_of: IntArray | None
) -> tuple[Int32Array, Int32Array, Int32Array]:
    """Ids, words and labels of all pieces, each of shape (P,).

    Args:
        encoded: of each sentence.
        word_labels: of all words, sentence after sentence.
        inside_of: as in `align_labels`.
    """
    empty = np.zeros(0, dtype=np.int64)
    ids = np.concatenate([empty, *(sentence.ids for sentence in encoded)])
    words = np.concatenate([empty, *(sentence.word_of_piece for sentence in encoded)])
    num_words = np.array([_count_words(sentence) for sentence in encoded], dtype=np.int64)
    first_words = np.cumsum(num_words) - num_words
    # Numbered through, so that one call aligns all sentences: no word runs on into the next one's.
    numbered = words + np.repeat(first_words, [len(sentence.ids) for sentence in encoded])
    labels = align_labels(numbered, word_labels, inside_of)
    return ids.astype(np.int32), words.astype(np.int32), labels.astype(np.int32)


def cut_sentences(encoded: Sequence[EncodedWords], size: int, stride: int) -> WindowTable:
    """The windows of all sentences, as `cut_windows` cuts them; a sentence without words has none.

    Args:
        encoded: of each sentence.
        size: pieces in a window, >= 1.
        stride: pieces that neighbours share, >= 0 and < `size`.
    """
    lengths = np.array([len(sentence.ids) for sentence in encoded], dtype=np.int64)
    offsets = np.cumsum(lengths) - lengths
    short = np.flatnonzero((lengths > 0) & (lengths <= size))
    starts, ends = offsets[short], offsets[short] + lengths[short]
    parts = [np.stack([starts, ends, starts, ends, short])]
    for number in np.flatnonzero(lengths > size).tolist():
        word_of_piece = encoded[number].word_of_piece
        windows = cut_windows(word_of_piece, size, stride)
        boundaries = np.append(find_first_pieces(word_of_piece), len(word_of_piece))
        slices = [windows.starts, windows.ends, boundaries[windows.first_owned], boundaries[windows.end_owned]]
        parts.append(np.stack([*(offsets[number] + places for places in slices), np.full(len(windows), number)]))
    columns = np.concatenate(parts, axis=1)
    return WindowTable(*columns[:, np.argsort(columns[4], kind="stable")])


def widen(
    table: WindowTable, encoded: Sequence[EncodedWords], documents: IntArray, num_pieces: int, size: int
) -> WindowTable:
    """The windows with the context of their sentences, as `add_context` adds it.

    Args:
        table: of the sentences.
        encoded: of each sentence.
        documents: a number for each sentence, the same for neighbours of one document, shape (S,).
        num_pieces: pieces of context at most, >= 0.
        size: pieces in a window, >= 1.
    """
    lengths = np.array([len(sentence.ids) for sentence in encoded], dtype=np.int64)
    words = [sentence.word_of_piece for sentence in encoded]
    starts, ends = add_context(words, documents, num_pieces, size)
    # A sentence of several windows has as many pieces as one holds, or more, and no context: its windows stay.
    is_whole = (table.ends - table.starts) == lengths[table.sentences]
    return WindowTable(
        np.where(is_whole, starts[table.sentences], table.starts),
        np.where(is_whole, ends[table.sentences], table.ends),
        table.owned_starts,
        table.owned_ends,
        table.sentences,
    )


def count_words(
    sentences: Sequence[TaggedSentence], encoded: Sequence[EncodedWords], has_entities: bool, truncation: int | None
) -> dict[str, float | int | str]:
    """How many sentences and words there are, how many entities, and what truncation would lose of them.

    A word is lost if its first piece is, an entity if one of its words is.

    Args:
        sentences: as the files have them, in any scheme.
        encoded: the pieces of each.
        has_entities: whether the tags are those of a scheme.
        truncation: pieces that it leaves of a sentence; None for all.
    """
    num_words = [len(sentence.words) for sentence in sentences]
    kept = [_count_words(sentence, truncation) for sentence in encoded]
    counts: dict[str, float | int | str] = {"num_sentences": len(sentences), "num_words": sum(num_words)}
    counts["num_words_lost_by_truncation"] = sum(num_words) - sum(kept)
    if has_entities:
        ends = [[span.end for span in find_spans(sentence.tags)] for sentence in sentences]
        counts["num_gold_entities"] = sum(map(len, ends))
        lost = sum(end > num_kept for found, num_kept in zip(ends, kept, strict=True) for end in found)
        counts["num_entities_lost_by_truncation"] = lost
    return counts


def _count_words(sentence: EncodedWords, size: int | None = None) -> int:
    """The words of the first `size` pieces, or of all."""
    words = sentence.word_of_piece[:size]
    return int(words[-1]) + 1 if len(words) else 0
