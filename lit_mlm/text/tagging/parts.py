"""Encodes any number of words in parts, whose rows are those of the whole.

The tokens of a sentence take about ten times the memory of its words, so only those of a part exist at a time. A long
sentence is cut into overlapping slices: where windows begin and which words they own depends on the words near them,
except at the end of the sentence. So the last two windows of a slice are left to the next one, which starts with them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from transformers import PreTrainedTokenizerBase

from lit_mlm.text.arrays import IntArray
from lit_mlm.text.tagging.alignment import encode_words
from lit_mlm.text.tagging.rows import TaggedRows

WORDS_PER_PART = 2**15
"""A sentence of more words is cut."""

MIN_WINDOWS = 4
"""Windows of a slice, at least: two of them, and one more of its own."""


def iterate_parts(
    tokenizer: PreTrainedTokenizerBase,
    sentences: Sequence[Sequence[str]],
    size: int,
    stride: int,
    context: tuple[IntArray, int] | None = None,
) -> Iterator[TaggedRows]:
    """Yields the rows of sentences in parts. Rows, and the words that they own, are in order.

    Args:
        tokenizer: encodes words, of which each is truncated to `size` tokens.
        sentences: words of each.
        size: as in `TaggedRows.build`.
        stride: as in `TaggedRows.build`.
        context: as in `TaggedRows.build`; a document is then in one part.
    """
    max_words = max(WORDS_PER_PART, MIN_WINDOWS * size)  # a word has at least one token
    for first, end in group_sentences(sentences, None if context is None else context[0]):
        if end - first == 1 and len(sentences[first]) > max_words:
            yield from _cut_sentence(tokenizer, sentences[first], size, stride, max_words)
            continue
        near = None if context is None else (context[0][first:end], context[1])
        yield TaggedRows.build(tokenizer, encode_words(tokenizer, sentences[first:end], size), size, stride, near)


def group_sentences(sentences: Sequence[Sequence[str]], documents: IntArray | None = None) -> Iterator[tuple[int, int]]:
    """Yields the first sentence and one past the last of parts of at most `WORDS_PER_PART` words.

    A part has at least one sentence, or at least one document if `documents`, the document of each sentence, are given.

    Examples:
        >>> list(group_sentences([["a"] * 2**14] * 5)), list(group_sentences([["a"] * 2**14] * 5, np.zeros(5)))
        ([(0, 2), (2, 4), (4, 5)], [(0, 5)])
    """
    starts = np.arange(len(sentences))
    if documents is not None and len(sentences):
        starts = np.flatnonzero(np.append(True, documents[1:] != documents[:-1]))
    ends = [*starts[1:].tolist(), len(sentences)]
    first = num_words = 0
    for start, end in zip(starts.tolist(), ends, strict=False):
        more = sum(map(len, sentences[start:end]))
        if start > first and num_words + more > WORDS_PER_PART:
            yield first, start
            first, num_words = start, 0
        num_words += more
    if sentences:
        yield first, len(sentences)


def _cut_sentence(
    tokenizer: PreTrainedTokenizerBase, words: Sequence[str], size: int, stride: int, max_words: int
) -> Iterator[TaggedRows]:
    """Yields the rows of a sentence in slices of at most `max_words` words."""
    start = owned = end = 0  # words: first of the slice, first that no row has owned yet, one past the last
    while end < len(words):
        end = min(start + max_words, len(words))
        rows = TaggedRows.build(tokenizer, encode_words(tokenizer, [words[start:end]], size), size, stride)
        table = rows.table
        table.owned_starts[0] = np.searchsorted(rows.words, owned - start)
        if end < len(words):
            owned = start + int(rows.words[table.owned_starts[-2]])
            start += int(rows.words[table.starts[-2]])
            table = table[:-2]
        yield replace(rows, table=table)
