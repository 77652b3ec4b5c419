"""Splits raw text into words, by one rule for every tokenizer, and joins given words."""

import re
import unicodedata
from collections.abc import Iterator, Sequence

UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Kana and Han, written without spaces: a run of letters there is a clause, not a word."""
_RUN_OR_CHARACTER = re.compile(rf"(?P<run>[^\W_{UNSPACED}]+)|\S")


def split_text(text: str) -> list[tuple[str, int, int]]:
    """Splits text into words and returns each with its start and end: ``text[start:end]`` is the word.

    A word is a run of letters and digits (`str.isalnum`) or any other character except white space, with the combining
    marks (Unicode category M) and invisible characters (`is_invisible`) that follow; a run continues after them.
    Invisible characters before a word belong to it, and are no word by themselves. Each Kana or Han character is a
    word.

    Examples:
        >>> split_text("Paris/London, $50")
        [('Paris', 0, 5), ('/', 5, 6), ('London', 6, 12), (',', 12, 13), ('$', 14, 15), ('50', 15, 17)]
        >>> len(split_text("co\u00adop \u200e"))
        1
    """
    return [(text[start:end], start, end) for start, end in find_words(text)]


def find_words(text: str) -> Iterator[tuple[int, int]]:
    """Yields the start and end of each word of `split_text`."""
    start = end = -1
    is_run, is_bare = False, True  # of the current word: whether it is letters; whether it is invisible so far
    for match in _RUN_OR_CHARACTER.finditer(text):
        is_letters, first = match.lastgroup == "run", text[match.start()]
        extends = is_invisible(first) or unicodedata.category(first).startswith("M")
        # Runs touch only across a mark.
        if match.start() != end or not (extends or is_bare or (is_run and is_letters)):
            if not is_bare:
                yield start, end
            start, is_run, is_bare = match.start(), is_letters, True
        end = match.end()
        if is_bare:
            is_run, is_bare = is_letters, is_invisible(first)
    if not is_bare:
        yield start, end


def is_invisible(character: str) -> bool:
    """Whether a character is one of Unicode's format or control characters.

    Soft hyphen, byte order mark, U+200B, U+2060, direction marks, joiners and C1 controls are.
    """
    return unicodedata.category(character) in ("Cf", "Cc")


def split_at_spaces(text: str) -> list[tuple[str, int, int]]:
    """Splits text at white space alone; returns the same as `split_text`.

    Examples:
        >>> split_at_spaces("New York-based")
        [('New', 0, 3), ('York-based', 4, 14)]
    """
    return [(text[start:end], start, end) for start, end in find_spaced_words(text)]


def find_spaced_words(text: str) -> Iterator[tuple[int, int]]:
    """Yields the start and end of each word of `split_at_spaces`."""
    return (match.span() for match in re.finditer(r"\S+", text))


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
