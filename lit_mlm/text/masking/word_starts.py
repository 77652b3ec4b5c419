"""Which tokens begin a word, for any tokenizer.

**The definition.** Two neighbouring tokens are of different words if one of these holds:

- the tokenizer gives them different `word_ids`, or one is a special token;
- they share no character, and the first one ends or the second one begins with a punctuation mark, or the second one
  begins with white space. White space belongs to the word behind it, so a piece of white space alone ends none.

So a piece that goes over a boundary (Unigram's ``-of-the-``) makes one word of both sides, and the pieces of one
character are never parted. A segmenter overrules this in the spans that it gives: two tokens are of one word if the
first one ends in the span in which the second one begins, and of two if only one of them or each in another does.
Punctuation is what BERT's pre-tokenizer takes for it: Unicode's categories P and all marks of ASCII.

Shapes: B texts, N tokens in all.
"""

import unicodedata
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from lit_mlm.errors import InputError
from lit_mlm.text.blocks import IntArray
from lit_mlm.text.masking.units import BoolArray

Segmenter = Callable[[str], Sequence[tuple[int, int]]]
"""Gives the words of a text as spans, ``text[start:end]``, in order and without overlap; it may leave text out."""

NO_WORD = -1
"""Stands in place of a word id at special tokens."""


def find_word_starts(
    texts: Sequence[str],
    num_tokens: IntArray,
    word_ids: IntArray,
    offsets: IntArray | None,
    segmenter: Segmenter | None = None,
) -> BoolArray:
    """Which tokens of some texts begin a word, by the definition above.

    Args:
        texts: B of them.
        num_tokens: of each text, shape (B,).
        word_ids: the tokenizer's, or `NO_WORD`, shape (N,).
        offsets: the first character of each token in its text, and one past the last one, shape (N, 2); None where
            the word ids alone decide, as there is no segmenter and each punctuation mark is a word to the tokenizer.
        segmenter: words of scripts that are written without spaces.

    Returns:
        Shape (N,); True at special tokens, behind them, and at the first token of each text.

    Raises:
        InputError: if the segmenter gives something else than spans of the text in order.
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
    """Adds what the characters of neighbouring tokens, and the segmenter, say to what the word ids do."""
    bases = np.cumsum([0, *map(len, texts)])
    # A space at the end, so that there is a character to look up where all texts are empty.
    codes = np.frombuffer("".join([*texts, " "]).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    places = offsets + np.repeat(bases[:-1], num_tokens)[:, None]
    first, last = places[1:, 0], places[:-1, 1] - 1
    # Tokens without characters, such as a prefix that the tokenizer adds, leave word ids to go by.
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
    """Which characters are white space and which punctuation, up to the last one that is either, and one more."""
    characters = [chr(code) for code in range(0x20000)]
    is_punctuation = np.array([unicodedata.category(character)[0] == "P" for character in characters])
    for low, high in ((33, 47), (58, 64), (91, 96), (123, 126)):
        is_punctuation[low : high + 1] = True
    return np.array([character.isspace() for character in characters]), is_punctuation


def _mark_spans(texts: Sequence[str], segmenter: Segmenter) -> npt.NDArray[np.int64]:
    """The number of the span that each character of all texts is in, from 1; 0 outside of all, and at the end."""
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
