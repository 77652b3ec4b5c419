"""Rows of tagged words: windows of sentences, as training, evaluation, prediction and tagging read them.

Shapes: B rows of a batch, T tokens per row, S sentences, P tokens of all sentences, R rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from lit_mlm.batch import IGNORE_INDEX, NO_WORD
from lit_mlm.text.arrays import Int32Array, IntArray
from lit_mlm.text.special_tokens import SpecialTokens, find_pad_id, find_special_tokens, lay_out
from lit_mlm.text.tagging.alignment import EncodedWords, align_labels, find_first_tokens
from lit_mlm.text.tagging.windows import add_context, cut_windows


@dataclass(frozen=True)
class WindowTable:
    """Windows as slices of the concatenated tokens. A window may show tokens that it does not own; they are not scored.

    Attributes:
        starts: first token of each window, shape (R,).
        ends: one past the last token, shape (R,).
        owned_starts: first token of the words that the window owns, shape (R,).
        owned_ends: one past the last token of these words, shape (R,).
        sentences: sentence index of each window, non-decreasing, shape (R,).
    """

    starts: IntArray
    ends: IntArray
    owned_starts: IntArray
    owned_ends: IntArray
    sentences: IntArray

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, windows: slice) -> Self:
        return type(self)(*(getattr(self, field.name)[windows] for field in fields(self)))


@dataclass(frozen=True)
class TaggedRows:
    """The rows of a list of sentences, batched on demand.

    Attributes:
        ids: concatenated tokens of the sentences, without special tokens, shape (P,).
        words: index of each token's word in its sentence, shape (P,).
        labels: of each token, `IGNORE_INDEX` where it is not scored, shape (P,).
        table: the windows.
        special_tokens: added to each window.
        pad_id: id on padding.
    """

    ids: Int32Array
    words: Int32Array
    labels: Int32Array
    table: WindowTable
    special_tokens: SpecialTokens
    pad_id: int

    @classmethod
    def build(
        cls,
        tokenizer: PreTrainedTokenizerBase,
        encoded: Sequence[EncodedWords],
        size: int,
        stride: int,
        context: tuple[IntArray, int] | None = None,
        word_labels: IntArray | None = None,
        inside_of: IntArray | None = None,
    ) -> Self:
        """Builds the rows of sentences.

        Args:
            tokenizer: that encoded the sentences.
            encoded: the tokens of each sentence.
            size: tokens per window, without special tokens, >= 1.
            stride: tokens that neighbouring windows of a sentence share, in [0, size).
            context: the document of each sentence, shape (S,), and the number of tokens of it to show around a
                sentence.
            word_labels: concatenated labels of the words; by default nothing is scored.
            inside_of: as in `align_labels`.
        """
        table = cut_sentences(encoded, size, stride)
        if context is not None and len(encoded):
            table = widen(table, encoded, *context, size)
        if word_labels is None:
            word_labels = np.full(sum(count_words(sentence) for sentence in encoded), IGNORE_INDEX)
        tokens = join_tokens(encoded, word_labels, inside_of)
        return cls(*tokens, table, find_special_tokens(tokenizer), find_pad_id(tokenizer))

    def __len__(self) -> int:
        return len(self.table)

    @property
    def lengths(self) -> IntArray:
        """Tokens per row, special tokens included, shape (R,)."""
        return self.table.ends - self.table.starts + len(self.special_tokens)

    def make_batch(self, rows: IntArray) -> dict[str, npt.NDArray[Any]]:
        """Returns rows as a batch, as described in `lit_mlm.batch`.

        Args:
            rows: row indices, at least one, shape (B,).

        Returns:
            int64 arrays of shape (B, T), padded on the right, and ``sentences``, shape (B,).
        """
        found = lay_out(self.ids, self.table.starts[rows], self.table.ends[rows], self.special_tokens)
        places = found.places
        is_owned = found.is_text & (places >= self.table.owned_starts[rows, None])
        is_owned &= places < self.table.owned_ends[rows, None]
        return {
            "input_ids": np.where(found.is_token, found.ids, self.pad_id),
            "attention_mask": found.is_token.astype(np.int64),
            "labels": np.where(is_owned, self.labels[places], IGNORE_INDEX).astype(np.int64),
            "words": np.where(is_owned, self.words[places], NO_WORD).astype(np.int64),
            "sentences": self.table.sentences[rows],
        }


def count_words(sentence: EncodedWords, size: int | None = None) -> int:
    """Counts the words of a sentence, or of its first `size` tokens."""
    words = sentence.word_of_token[:size]
    return int(words[-1]) + 1 if len(words) else 0


def join_tokens(
    encoded: Sequence[EncodedWords], word_labels: IntArray, inside_of: IntArray | None
) -> tuple[Int32Array, Int32Array, Int32Array]:
    """Concatenates ids, words and labels of all sentences, shape (P,) each; arguments are as in `TaggedRows.build`."""
    empty = np.zeros(0, dtype=np.int64)
    ids = np.concatenate([empty, *(sentence.ids for sentence in encoded)])
    words = np.concatenate([empty, *(sentence.word_of_token for sentence in encoded)])
    num_words = np.array([count_words(sentence) for sentence in encoded], dtype=np.int64)
    first_words = np.cumsum(num_words) - num_words
    # Numbering words over all sentences lets one call align them.
    numbered = words + np.repeat(first_words, [len(sentence.ids) for sentence in encoded])
    labels = align_labels(numbered, word_labels, inside_of)
    return ids.astype(np.int32), words.astype(np.int32), labels.astype(np.int32)


def cut_sentences(encoded: Sequence[EncodedWords], size: int, stride: int) -> WindowTable:
    """Cuts all sentences into windows by `cut_windows`; a sentence without words has none."""
    lengths = np.array([len(sentence.ids) for sentence in encoded], dtype=np.int64)
    offsets = np.cumsum(lengths) - lengths
    short = np.flatnonzero((lengths > 0) & (lengths <= size))
    starts, ends = offsets[short], offsets[short] + lengths[short]
    parts = [np.stack([starts, ends, starts, ends, short])]
    for number in np.flatnonzero(lengths > size).tolist():
        word_of_token = encoded[number].word_of_token
        windows = cut_windows(word_of_token, size, stride)
        boundaries = np.append(find_first_tokens(word_of_token), len(word_of_token))
        slices = [windows.starts, windows.ends, boundaries[windows.first_owned], boundaries[windows.end_owned]]
        parts.append(np.stack([*(offsets[number] + places for places in slices), np.full(len(windows), number)]))
    columns = np.concatenate(parts, axis=1)
    return WindowTable(*columns[:, np.argsort(columns[4], kind="stable")])


def widen(
    table: WindowTable, encoded: Sequence[EncodedWords], documents: IntArray, num_tokens: int, size: int
) -> WindowTable:
    """Adds context to the windows of whole sentences by `add_context`."""
    lengths = np.array([len(sentence.ids) for sentence in encoded], dtype=np.int64)
    words = [sentence.word_of_token for sentence in encoded]
    starts, ends = add_context(words, documents, num_tokens, size)
    # A sentence of several windows fills them, so there is no room for context.
    is_whole = (table.ends - table.starts) == lengths[table.sentences]
    starts = np.where(is_whole, starts[table.sentences], table.starts)
    return replace(table, starts=starts, ends=np.where(is_whole, ends[table.sentences], table.ends))
