"""Raw text cut into words by one rule, the same for every tokenizer, and words that are given put in a text."""

import re
import unicodedata
from collections.abc import Sequence

UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Kana and Han: scripts written without spaces, in which a run of letters is a clause, not a word."""
_RUN_OR_CHARACTER = re.compile(rf"(?P<run>[^\W_{UNSPACED}]+)|\S")
_JOINERS = "\u200c\u200d"


def split_text(text: str) -> list[tuple[str, int, int]]:
    """Cuts text into words.

    White space separates. A word is a run of letters and digits (`str.isalnum`), or any other character by itself;
    either takes the combining marks (Unicode's category M) and zero-width joiners that follow it, and a run of letters
    goes on after them. Kana and Han characters are words by themselves. A mark that follows nothing is a word too.

    Args:
        text: any string.

    Returns:
        The words in order, each with its place in the text: ``text[start:end]`` is the word. Between two words there
        is nothing but white space.

    Example:
        >>> split_text("Paris/London, $50")
        [('Paris', 0, 5), ('/', 5, 6), ('London', 6, 12), (',', 12, 13), ('$', 14, 15), ('50', 15, 17)]
    """
    spans: list[list[int]] = []
    is_run = False
    for match in _RUN_OR_CHARACTER.finditer(text):
        start, end = match.span()
        touches = bool(spans) and spans[-1][1] == start
        extends = unicodedata.category(text[start]).startswith("M") or text[start] in _JOINERS
        is_letters = match.lastgroup == "run"
        # Two runs touch only where a mark has parted them.
        if touches and (extends or (is_run and is_letters)):
            spans[-1][1] = end
        else:
            spans.append([start, end])
            is_run = is_letters
    return [(text[start:end], start, end) for start, end in spans]


def split_at_spaces(text: str) -> list[tuple[str, int, int]]:
    """Cuts text that is in words already: at white space alone; places are those of `split_text`."""
    return [(match[0], *match.span()) for match in re.finditer(r"\S+", text)]


def join_words(words: Sequence[str]) -> tuple[str, list[tuple[str, int, int]]]:
    """The text of words that are given: each behind one space, but the first; and their places, as of `split_text`."""
    places, start = [], 0
    for word in words:
        places.append((word, start, start + len(word)))
        start += len(word) + 1
    return " ".join(words), places
