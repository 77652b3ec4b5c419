"""Finds the first token of each word, for any tokenizer.

Two neighbouring tokens belong to different words if one of these holds:

- their `word_ids` differ, or one is a special token;
- they share no character, and the first ends or the second begins with punctuation, or the second begins with white
  space. White space belongs to the word after it, so a token of white space alone ends no word.

A token that crosses a word boundary (Unigram's ``-of-the-``) therefore joins both sides, and the tokens of one
character are never separated. A segmenter overrides this within its spans: tokens are in one word if the first ends in
the span in which the second begins, and in different words if they are in different spans or only one is in a span.
Punctuation is defined as in BERT's pre-tokenizer: Unicode categories P and all ASCII symbols.

Shapes: B texts, N tokens in all.
"""

import unicodedata
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from lit_mlm.batch import NO_WORD
from lit_mlm.errors import InputError
from lit_mlm.text.arrays import BoolArray, IntArray

Segmenter = Callable[[str], Sequence[tuple[int, int]]]
"""Returns the words of a text as spans ``text[start:end]``, sorted and disjoint; they need not cover the text."""


def find_word_starts(
    texts: Sequence[str],
    num_tokens: IntArray,
    word_ids: IntArray,
    offsets: IntArray | None,
    segmenter: Segmenter | None = None,
) -> BoolArray:
    """Marks the tokens that begin a word, shape (N,).

    Special tokens, the tokens after them and the first token of each text are marked too.

    Args:
        texts: B of them.
        num_tokens: of each text, shape (B,).
        word_ids: the tokenizer's, or `NO_WORD`, shape (N,).
        offsets: start and end of each token in its text, in characters, shape (N, 2); None if the word ids decide
            alone: no segmenter, and the tokenizer separates punctuation.
        segmenter: finds words in scripts without spaces.

    Examples:
        >>> offsets = np.array([[0, 2], [2, 6], [6, 7], [7, 9]])  # un like - it
        >>> find_word_starts(["unlike-it"], np.array([4]), np.zeros(4, dtype=int), offsets).tolist()
        [True, False, True, True]
    """
    starts = np.ones(len(word_ids), dtype=np.bool_)
    starts[1:] = (word_ids[1:] != word_ids[:-1]) | (word_ids[1:] == NO_WORD)
    if offsets is not None:
        _part_at_characters(starts, texts, num_tokens, word_ids, offsets, segmenter)
    starts[(np.cumsum(num_tokens) - num_tokens)[num_tokens > 0]] = True
    return starts


def _part_at_characters(
    starts: BoolArray,
    texts: Sequence[str],
    num_tokens: IntArray,
    word_ids: IntArray,
    offsets: IntArray,
    segmenter: Segmenter | None,
) -> None:
    """Adds to `starts` the boundaries that the characters and the segmenter define."""
    bases = np.cumsum([0, *map(len, texts)])
    # The final space gives empty texts a character to look up.
    codes = np.frombuffer("".join([*texts, " "]).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    positions = offsets + np.repeat(bases[:-1], num_tokens)[:, None]
    first, last = positions[1:, 0], positions[:-1, 1] - 1
    # Tokens without characters, such as an added prefix, are decided by their word ids.
    has_text = (offsets[1:, 0] < offsets[1:, 1]) & (offsets[:-1, 0] < offsets[:-1, 1])
    is_space, is_punctuation = (table[np.minimum(codes, len(table) - 1)] for table in _classify())
    before = np.maximum(last, 0)
    parts = is_punctuation[before] | (is_punctuation[first] & ~is_space[before]) | is_space[first]
    starts[1:] |= has_text & (first > last) & parts
    if segmenter is not None:
        spans = _mark_spans(texts, segmenter)
        one, other = spans[before], spans[first]
        is_special = (word_ids[1:] == NO_WORD) | (word_ids[:-1] == NO_WORD)
        is_inside = has_text & ~is_special & ((one > 0) | (other > 0))
        starts[1:] = np.where(is_inside, (one != other) & ~(is_space[before] & (one == 0)), starts[1:])


@cache
def _classify() -> tuple[BoolArray, BoolArray]:
    """Returns lookup tables of white space and punctuation, up to U+1FFFF."""
    characters = [chr(code) for code in range(0x20000)]
    is_punctuation = np.array([unicodedata.category(character)[0] == "P" for character in characters])
    for low, high in ((33, 47), (58, 64), (91, 96), (123, 126)):
        is_punctuation[low : high + 1] = True
    return np.array([character.isspace() for character in characters]), is_punctuation


def _mark_spans(texts: Sequence[str], segmenter: Segmenter) -> npt.NDArray[np.int64]:
    """Returns the number of each character's span over all texts, from 1, or 0 outside; one extra 0 at the end."""
    marks: list[IntArray] = []
    num_spans = 0
    for text in texts:
        given = segmenter(text)
        try:
            spans = np.array([*given], dtype=np.int64).reshape(-1, 2)
        except (TypeError, ValueError) as error:
            raise InputError(f"data.segmenter must give pairs of start and end, got {given!r:.80}") from error
        flat = spans.ravel()
        if (np.diff(flat, prepend=0, append=len(text)) < 0).any() or (spans[:, 0] == spans[:, 1]).any():
            raise InputError(
                f"data.segmenter must give spans in order, within the text and without overlap, got {spans.tolist()} "
                f"for a text of {len(text)} characters: {text[:40]!r}"
            )
        lengths = spans[:, 1] - spans[:, 0]
        numbers = np.zeros(len(text), dtype=np.int64)
        inside = np.repeat(spans[:, 0] - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
        numbers[inside] = np.repeat(np.arange(len(spans)) + num_spans + 1, lengths)
        marks.append(numbers)
        num_spans += len(spans)
    return np.concatenate([*marks, np.zeros(1, dtype=np.int64)])
