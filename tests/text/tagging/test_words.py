"""Raw text cut into words."""

import random
import unicodedata

import pytest

from lit_mlm.text.tagging.words import join_words, split_at_spaces, split_text

ALPHABET = (
    "aZé9٣ß_.,-/'\u00ad\u0301\u093f\u20e3\ufe0f\u200d\u200c\u200b \t\n\u00a0\u3000漢字かナक한😀👩²½ſ\x00\x1c\ud800"
    "\ufeff\u200e\u2060\x9f"
)


def is_invisible(c: str) -> bool:
    return unicodedata.category(c) in ("Cf", "Cc")


def split_slowly(text: str) -> list[tuple[str, int, int]]:
    """Character by character: what is this one, and does it go on with the word before?"""
    words: list[tuple[str, int, int]] = []
    kind = "space"
    for i, c in enumerate(text):
        name = unicodedata.name(c, "")
        if c.isspace():
            kind = "space"
            continue
        is_mark = unicodedata.category(c) in ("Mn", "Mc", "Me") or is_invisible(c)
        is_unspaced = name.startswith(("CJK UNIFIED", "HIRAGANA", "KATAKANA"))
        is_letter = c.isalnum() and not is_unspaced
        if kind != "space" and (is_mark or kind == "invisible" or (kind == "run" and is_letter)):
            words[-1] = (words[-1][0] + c, words[-1][1], i + 1)
            if kind != "invisible":
                continue
        else:
            words.append((c, i, i + 1))
        kind = "invisible" if is_invisible(c) else "run" if is_letter else "single"
    return [word for word in words if not all(map(is_invisible, word[0]))]


@pytest.mark.parametrize("seed", range(30))
def test_words_equal_a_reference_and_lose_nothing(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(20):
        text = "".join(rng.choices(ALPHABET, k=rng.randrange(60)))
        words = split_text(text)
        assert words == split_slowly(text)
        assert all(text[start:end] == word for word, start, end in words)
        lost = "".join(text.split())
        for word, _, _ in words:
            left, _, lost = lost.partition(word)
            assert all(map(is_invisible, left))
        assert all(map(is_invisible, lost))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Angela visited Paris/London, met Siemens.", "Angela visited Paris / London , met Siemens ."),
        ("state-of-the-art U.S. don't", "state - of - the - art U . S . don ' t"),
        ("nai\u0308ve co\u00f6p", "nai\u0308ve co\u00f6p"),
        ("3.5 % of 2nd_place", "3 . 5 % of 2nd _ place"),
        ("हिन्दी क\u200dष", "हिन्दी क\u200dष"),
        ("张三在Google工作", "张 三 在 Google 工 作"),
        ("ok❤️!", "ok ❤️ !"),
        ("\u0301 a", "\u0301 a"),
        (
            "co\u00adop Ka\u200btze I\u2060BM x\u200ey a\x9fb x\x00y",
            "co\u00adop Ka\u200btze I\u2060BM x\u200ey a\x9fb x\x00y",
        ),
        ("\ufeffTom \u200eReed\u200f, (\u200bAnn", "\ufeffTom \u200eReed\u200f , (\u200b Ann"),
        ("a \u200b\u00ad b", "a b"),
        ("\u200b漢\u200b字", "\u200b漢\u200b 字"),
        (" \t\n", ""),
        ("", ""),
    ],
)
def test_words_of_a_text(text: str, words: str) -> None:
    assert [word for word, _, _ in split_text(text)] == words.split()


@pytest.mark.parametrize("seed", range(20))
def test_words_that_are_given_keep_their_places(seed: int) -> None:
    text = "".join(random.Random(seed).choices(ALPHABET, k=60))
    placed = split_at_spaces(text)
    assert [word for word, _, _ in placed] == text.split()
    assert all(text[start:end] == word for word, start, end in placed)
    joined, places = join_words(text.split())
    assert joined == " ".join(text.split())
    assert places == split_at_spaces(joined)


def test_joined_words_may_hold_spaces() -> None:
    assert join_words(["a b", "c"]) == ("a b c", [("a b", 0, 3), ("c", 4, 5)])
    assert join_words([]) == ("", [])
