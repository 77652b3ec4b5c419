"""Rows of texts to classify, cut to a length or in windows, as training, evaluation and inference read them.

Shapes: N texts, C columns of text, P tokens, R rows, S texts and B rows of a batch, T tokens per row.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from lit_mlm.errors import InputError
from lit_mlm.text.arrays import Int32Array, IntArray
from lit_mlm.text.special_tokens import (
    SpecialTokens,
    find_pad_id,
    find_second_type,
    find_separator,
    find_special_tokens,
    lay_out,
)

LongTexts = Literal["head", "tail", "both", "windows"]
"""What is kept of a text that is longer than a row: its start, its end, a quarter of the row from the start and the
rest from the end (Sun et al. 2019, "How to fine-tune BERT for text classification?", section 5.3.1), or all of it in
windows whose logits are averaged."""


def fit_window(
    window: int | None, stride: int | None, num_special: int, max_length: int | None
) -> tuple[int | None, int, int]:
    """Checks the length of rows against a model, and sets defaults.

    Args:
        window: tokens per row, special tokens included; by default `max_length`.
        stride: tokens that neighbouring windows share; by default a quarter of a window.
        num_special: special tokens of a row.
        max_length: the model's maximum in tokens; None without a limit.

    Returns:
        Tokens per row, None without a limit; the same without special tokens; and the stride.
    """
    if window is not None and max_length is not None and window > max_length:
        raise InputError(f"data.window is {window}, but the model takes at most {max_length} tokens")
    window = max_length if window is None else window
    size = sys.maxsize if window is None else window - num_special
    if size < 1:
        raise InputError(f"data.window {window} leaves no room beside {num_special} special tokens")
    if stride is not None and stride >= size:
        raise InputError(f"data.stride {stride} must be less than the {size} tokens of a window")
    return window, size, size // 4 if stride is None else stride


@dataclass(frozen=True)
class TextRows:
    """The rows of texts, batched on demand; the rows of a text are always in one batch.

    Attributes:
        ids: token ids without those of `special_tokens`, shape (P,).
        types: token types of nets that distinguish the columns, shape (P,); None if there are none.
        starts: first token of each row, shape (R,).
        ends: one past the last token, shape (R,).
        texts: text of each row, non-decreasing, shape (R,).
        num_long: texts that are longer than a row.
        special_tokens: added to each row.
        pad_id: id on padding.
    """

    ids: Int32Array
    types: Int32Array | None
    starts: IntArray
    ends: IntArray
    texts: IntArray
    num_long: int
    special_tokens: SpecialTokens
    pad_id: int

    @classmethod
    def build(
        cls,
        tokenizer: PreTrainedTokenizerBase,
        ids: npt.NDArray[Any],
        lengths: IntArray,
        long_texts: LongTexts,
        size: int,
        stride: int,
    ) -> Self:
        """Builds the rows of texts.

        Args:
            tokenizer: that encoded the texts.
            ids: concatenated tokens without special tokens, text by text, column by column.
            lengths: their number, shape (N, C).
            long_texts: what becomes of long texts; ``windows`` needs one column.
            size: tokens per row, without special tokens.
            stride: tokens that neighbouring windows share, in [0, size).
        """
        num_texts, num_columns = lengths.shape
        special = find_special_tokens(tokenizer), find_pad_id(tokenizer)
        separator = find_separator(tokenizer) if num_columns > 1 else []
        totals = lengths.sum(axis=1) + len(separator) * (num_columns - 1)
        num_long = int((totals > size).sum())
        if long_texts == "windows":
            starts, ends, texts = cut_windows(totals, size, stride)
            offsets = (np.cumsum(totals) - totals)[texts]
            return cls(ids.astype(np.int32), None, offsets + starts, offsets + ends, texts, num_long, *special)
        room = size - len(separator) * (num_columns - 1)
        if room < num_columns:
            raise InputError(f"a row of {size} tokens has no room for {num_columns} columns and what separates them")
        parts: list[npt.NDArray[Any]] = [np.zeros(0, dtype=np.int32)]
        types: list[int] = []
        place, kept = 0, np.zeros(num_texts, dtype=np.int64)
        for text, columns in enumerate(lengths):
            shares = columns if totals[text] <= size else share_room(columns, room)
            for column, (length, share) in enumerate(zip(columns.tolist(), shares.tolist(), strict=True)):
                part = [*_cut(ids[place : place + length], share, long_texts)]
                part += [np.array(separator)] if separator and column < num_columns - 1 else []
                num_tokens = sum(map(len, part))
                parts += part
                types += [min(column, 1)] * num_tokens
                kept[text] += num_tokens
                place += length
        ends = np.cumsum(kept)
        second = find_second_type(tokenizer) if num_columns > 1 else 0
        type_of = np.array(types, dtype=np.int32) * second if second else None
        joined = np.concatenate(parts).astype(np.int32)
        return cls(joined, type_of, ends - kept, ends, np.arange(num_texts), num_long, *special)

    def __len__(self) -> int:
        return int(self.texts[-1]) + 1 if len(self.texts) else 0

    @property
    def num_rows(self) -> int:
        """R."""
        return len(self.texts)

    @property
    def row_lengths(self) -> IntArray:
        """Tokens per row, special tokens included, shape (R,)."""
        return self.ends - self.starts + len(self.special_tokens)

    @property
    def lengths(self) -> IntArray:
        """Tokens of all rows of each text, special tokens included, shape (N,)."""
        return np.bincount(self.texts, weights=self.row_lengths).astype(np.int64)

    def make_batch(self, texts: IntArray) -> dict[str, npt.NDArray[Any]]:
        """Returns all rows of some texts, as described in `lit_mlm.batch`, without labels.

        Args:
            texts: indices, at least one, shape (S,).

        Returns:
            int64 arrays of shape (B, T), padded on the right; ``row_texts``, shape (B,); and ``texts``, shape (S,).
        """
        firsts = np.searchsorted(self.texts, texts)
        counts = np.searchsorted(self.texts, texts, side="right") - firsts
        row_texts = np.repeat(np.arange(len(texts)), counts)
        rows = np.arange(counts.sum()) + (firsts - np.cumsum(counts) + counts)[row_texts]
        stream = self.ids if len(self.ids) else np.zeros(1, dtype=np.int32)
        found = lay_out(stream, self.starts[rows], self.ends[rows], self.special_tokens)
        batch = {
            "input_ids": np.where(found.is_token, found.ids, self.pad_id),
            "attention_mask": found.is_token.astype(np.int64),
            "row_texts": row_texts,
            "texts": np.asarray(texts, dtype=np.int64),
        }
        if self.types is not None:
            types = np.where(found.is_text, self.types[found.places], 0)
            # Special tokens behind the text are of the last column.
            batch["token_type_ids"] = (np.maximum.accumulate(types, axis=1) * found.is_token).astype(np.int64)
        return batch


def cut_windows(lengths: IntArray, size: int, stride: int) -> tuple[IntArray, IntArray, IntArray]:
    """Cuts texts into windows of `size` tokens; the last of a long text is extended backwards to its full size.

    >>> [part.tolist() for part in cut_windows(np.array([7, 2]), size=4, stride=2)]
    [[0, 2, 3, 0], [4, 6, 7, 2], [0, 0, 0, 1]]

    Args:
        lengths: tokens of each text, shape (N,).
        size: tokens per window, >= 1.
        stride: tokens that neighbours share, in [0, size).

    Returns:
        Start and end of each window in its text, and the text, shape (R,) each.
    """
    counts = np.maximum(1, -(-(lengths - stride) // (size - stride)))
    texts = np.repeat(np.arange(len(lengths)), counts)
    numbers = np.arange(counts.sum()) - (np.cumsum(counts) - counts)[texts]
    starts = np.maximum(np.minimum(numbers * (size - stride), lengths[texts] - size), 0)
    return starts, np.minimum(starts + size, lengths[texts]), texts


def share_room(lengths: IntArray, room: int) -> IntArray:
    """Shortens the longest columns until all fit, as ``longest_first`` of `transformers` does for two.

    >>> share_room(np.array([9, 2, 9]), 10)
    array([4, 2, 4])
    """
    kept = np.zeros_like(lengths)
    for rank, column in enumerate(np.argsort(lengths, kind="stable").tolist()):
        kept[column] = min(int(lengths[column]), room // (len(lengths) - rank))
        room -= int(kept[column])
    return kept


def _cut(ids: npt.NDArray[Any], num: int, long_texts: LongTexts) -> Sequence[npt.NDArray[Any]]:
    """The parts of a column that are kept, `num` tokens in all."""
    first = {"head": num, "tail": 0}.get(long_texts, num // 4)
    return (ids,) if num >= len(ids) else (ids[:first], ids[len(ids) - (num - first) :])
