"""Counts the tokens and bytes of the text in blocks, document by document.

Blocks cut documents between tokens. A token has the text from the end of the one before it to its own end, so white
space belongs to the token after it; the last token of a document has the rest of it.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from lit_mlm.data.masked.documents import TokenizedText
from lit_mlm.data.reading.documents import READ_AT_A_TIME, TEXT
from lit_mlm.data.tokens.encoding import LENGTHS, OFFSETS
from lit_mlm.text.arrays import BoolArray, IntArray
from lit_mlm.text.special_tokens import SpecialTokens, find_special_tokens


class TextSize(NamedTuple):
    """The size of each document of a text in tokens, without special ones, and in bytes of UTF-8, shape (D,) each."""

    num_tokens: IntArray
    num_bytes: IntArray


def measure_blocks(text: TokenizedText, starts: IntArray, ends: IntArray) -> TextSize | None:
    """Measures the text in blocks; documents of which they hold a part are encoded again, for the places of tokens.

    Args:
        text: of the split.
        starts: first token of each block in the tokens of the split, shape (num_blocks,).
        ends: one past the last token, shape (num_blocks,); blocks don't overlap.

    Returns:
        The size of what each document has in the blocks; None if it is unknown, as a slow tokenizer does not tell the
        places of tokens.
    """
    order = np.argsort(starts)
    counts = _BlockTokens(starts[order], ends[order])
    lengths, encoder = text.tokens.document_lengths, text.encoder
    added = find_special_tokens(encoder.tokenizer) if encoder.add_special_tokens else SpecialTokens([], [])
    stops = np.cumsum(lengths)
    firsts = stops - lengths
    num_kept = counts.count_between(firsts, stops)
    before = np.maximum(firsts - 1, 0)  # a document without tokens goes with the token before it
    is_whole = np.where(lengths > 0, num_kept == lengths, counts.count_between(before, before + 1) > 0)
    num_tokens = np.where(is_whole, np.maximum(lengths - len(added), 0), 0)
    num_bytes = np.where(is_whole, text.tokens.document_bytes, 0)
    cut = np.flatnonzero((num_kept > 0) & ~is_whole)
    if len(cut) and not encoder.tokenizer.is_fast:
        return None
    for number, sizes in zip(cut.tolist(), _iterate_token_bytes(text, cut, added), strict=True):
        places = np.arange(firsts[number], stops[number])
        is_kept: BoolArray = counts.count_between(places, places + 1) > 0
        num_tokens[number] = is_kept[len(added.prefix) : len(sizes) - len(added.suffix)].sum()
        num_bytes[number] = sizes[is_kept].sum()
    return TextSize(num_tokens, num_bytes)


class _BlockTokens:
    """Counts the tokens of blocks, given in the order of the text, in any of its stretches."""

    def __init__(self, starts: IntArray, ends: IntArray) -> None:
        self._starts, self._ends = starts, np.append(0, ends)
        self._sums = np.cumsum(np.append(0, ends - starts))

    def count_between(self, first: IntArray, last: IntArray) -> IntArray:
        """The tokens of blocks from `first` up to but not including `last`, of the same shape."""
        return self._count_before(last) - self._count_before(first)

    def _count_before(self, places: IntArray) -> IntArray:
        number = np.searchsorted(self._starts, places, side="right")
        return self._sums[number] - np.maximum(self._ends[number] - places, 0)


def _iterate_token_bytes(text: TokenizedText, documents: IntArray, added: SpecialTokens) -> Iterator[IntArray]:
    """Yields the bytes of each token of some documents."""
    for start in range(0, len(documents), READ_AT_A_TIME):
        texts = text.documents[documents[start : start + READ_AT_A_TIME]][TEXT]
        arrays = text.encoder(texts)
        for each, offsets in zip(texts, np.split(arrays[OFFSETS], np.cumsum(arrays[LENGTHS])[:-1]), strict=True):
            yield measure_tokens(each, offsets, len(added.suffix))


def measure_tokens(text: str, offsets: IntArray, num_suffix: int = 0) -> IntArray:
    """Returns the bytes of text of each token, shape (N,); their sum is that of the text.

    Args:
        text: not empty.
        offsets: start and end of each token in characters, shape (N, 2); of special tokens arbitrary within the text
            before them.
        num_suffix: special tokens at the end.

    Examples:
        >>> measure_tokens("a  né ", np.array([[0, 1], [3, 4], [4, 5]]))
        array([1, 3, 3])
    """
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    places = np.cumsum(np.append(0, 1 + (codes > 0x7F) + (codes > 0x7FF) + (codes > 0xFFFF)))
    ends = np.maximum.accumulate(offsets[:, 1])
    ends[max(0, len(ends) - num_suffix - 1) :] = len(text)
    return np.diff(places[ends], prepend=0)
