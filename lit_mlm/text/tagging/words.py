"""Splits raw text into words, by one rule for every tokenizer, and joins given words."""

import re
import unicodedata
from collections.abc import Sequence

UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Kana and Han, written without spaces: a run of letters there is a clause, not a word."""
_RUN_OR_CHARACTER = re.compile(rf"(?P<run>[^\W_{UNSPACED}]+)|\S")
_JOINERS = "\u200c\u200d"


def split_text(text: str) -> list[tuple[str, int, int]]:
    """Splits text into words and returns each with its start and end: ``text[start:end]`` is the word.

    A word is a run of letters and digits (`str.isalnum`) or any other character except white space, with the combining
    marks (Unicode category M) and zero-width joiners that follow; a run continues after them. Each Kana or Han
    character is a word.

    Examples:
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
        # Runs touch only across a mark.
        if touches and (extends or (is_run and is_letters)):
            spans[-1][1] = end
        else:
            spans.append([start, end])
            is_run = is_letters
    return [(text[start:end], start, end) for start, end in spans]


def split_at_spaces(text: str) -> list[tuple[str, int, int]]:
    """Splits text at white space alone; returns the same as `split_text`.

    Examples:
        >>> split_at_spaces("New York-based")
        [('New', 0, 3), ('York-based', 4, 14)]
    """
    return [(match[0], *match.span()) for match in re.finditer(r"\S+", text)]


def join_words(words: Sequence[str]) -> tuple[str, list[tuple[str, int, int]]]:
    """Joins words by spaces and returns the text, and the words with their positions as in `split_text`.

    Examples:
        >>> join_words(["New", "York"])
        ('New York', [('New', 0, 3), ('York', 4, 8)])
    """
    placed, start = [], 0
    for word in words:
        placed.append((word, start, start + len(word)))
        start += len(word) + 1
    return " ".join(words), placed
