"""Tags that mark spans of words: recognised, checked, read, converted and decoded.

A tag is ``O``, outside of every entity, or a prefix and the type of the entity, ``B-PER``; a corpus whose entities are
all of one kind may leave the type out (``B``). What the prefixes say depends on the scheme:

| scheme | a word by itself | words of an entity | where it differs |
|---|---|---|---|
| IOB1 | I | I I I | the first is B if an entity of the same type ends right before |
| IOB2 | B | B I I | |
| BIOES | S | B I E | |
| BILOU | U | B I L | |

Plain tags, such as parts of speech, have no scheme: None stands for it. Shapes: W words, L labels.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from lit_mlm.errors import InputError
from lit_mlm.text.blocks import IntArray

Scheme = Literal["IOB1", "IOB2", "BIOES", "BILOU"]

_ROLES: dict[Scheme, dict[str, str]] = {
    "IOB2": {"B": "B", "I": "I"},
    "IOB1": {"B": "B", "I": "I"},
    "BIOES": {"B": "B", "I": "I", "E": "E", "S": "S"},
    "BILOU": {"B": "B", "I": "I", "L": "E", "U": "S"},
}
"""What each prefix of a scheme does, by BIOES's letter for it; the order decides between schemes that fit equally."""
_ANY_ROLE = _ROLES["BIOES"] | _ROLES["BILOU"]
_TAG = re.compile(r"O|[BIESLU](-.+)?")
_LOWEST_SCORE = -1e9
"""Instead of minus infinity, so that a tag that can't be is worse than any score; float64 keeps 7 digits beside it."""


class Span(NamedTuple):
    """An entity: the words from `start` up to but not including `end`."""

    type: str
    start: int
    end: int


def split_tag(tag: str) -> tuple[str, str]:
    """Prefix and type, which may hold hyphens; the type is empty where there is none, as in ``O``."""
    prefix, _, kind = tag.partition("-")
    return prefix, kind


def find_scheme(sentences: Iterable[Sequence[str]]) -> Scheme | None:
    """Recognises the scheme of a corpus.

    The tags are plain if half of them or more are neither ``O`` nor a prefix with or without a type. Otherwise it is
    the scheme in which the fewest tags stand where they can't, so that a few mistakes don't hide it; of several that
    fit equally it is the first of IOB2, IOB1, BIOES, BILOU. Every sentence with an entity tells IOB1 from IOB2, by how
    the first one opens.

    Args:
        sentences: the tags of each sentence.

    Returns:
        The scheme; None for plain tags and for no tags at all.
    """
    pairs = Counter(pair for tags in sentences for pair in pairwise(("O", *tags, "")))  # "" for the end
    tags: Counter[str] = Counter()
    for (_, tag), count in pairs.items():
        tags[tag] += count
    del tags[""]
    if 2 * sum(count for tag, count in tags.items() if _TAG.fullmatch(tag)) <= tags.total():
        return None
    misfits = {
        scheme: sum(count for (before, tag), count in pairs.items() if not may_follow(before, tag or "O", scheme))
        for scheme in _ROLES
    }
    return min(misfits, key=lambda scheme: misfits[scheme])


def guess_scheme(labels: Iterable[str]) -> Scheme:
    """The scheme that a label set is of; IOB1 and IOB2 have the same ones, and IOB2 stands for both."""
    prefixes = {split_tag(label)[0] for label in labels}
    return "BIOES" if prefixes & {"E", "S"} else "BILOU" if prefixes & {"L", "U"} else "IOB2"


def find_problem(tags: Sequence[str], scheme: Scheme | None) -> tuple[int, str] | None:
    """The first problem of a sentence that `find_problems` finds; None if there is none."""
    return next(find_problems(tags, scheme), None)


def find_problems(tags: Sequence[str], scheme: Scheme | None) -> Iterator[tuple[int, str]]:
    """The tags of a sentence that are misspelt (see `is_tag`), or that can't stand where they stand.

    Where this finds nothing, `find_spans` and `find_spans_strict` agree.

    Yields:
        The index of each, and what was expected there. Plain tags only must not be empty.
    """
    if scheme is None:
        yield from ((i, "a tag") for i, tag in enumerate(tags) if not tag.strip())
        return
    for i, (before, tag) in enumerate(pairwise(("O", *tags))):
        if not is_tag(tag, scheme):
            prefixes = ", ".join(f"{prefix}-" for prefix in _ROLES[scheme])
            yield i, f"O, or one of {prefixes} and a type ({scheme})"
        elif not may_follow(before, tag, scheme):
            yield i, _say_expected(before, tag, scheme)
        elif i == len(tags) - 1 and not may_follow(tag, "O", scheme):
            prefix, kind = split_tag(tag)
            closing = {"B": "S", "I": "E"} if scheme == "BIOES" else {"B": "U", "I": "L"}
            yield i, f"{_join_tag(closing[prefix], kind)} at the end of a sentence ({scheme})"


def _say_expected(before: str, tag: str, scheme: Scheme) -> str:
    (before_prefix, before_kind), (prefix, kind) = split_tag(before), split_tag(tag)
    if scheme in ("BIOES", "BILOU") and before_prefix in ("B", "I"):
        last = "E" if scheme == "BIOES" else "L"
        return f"{_join_tag('I', before_kind)} or {_join_tag(last, before_kind)} after {before} ({scheme})"
    opening = {"IOB1": {"B": "I"}, "IOB2": {"I": "B"}, "BIOES": {"I": "B", "E": "S"}, "BILOU": {"I": "B", "L": "U"}}
    return f"{_join_tag(opening[scheme][prefix], kind)}, as no entity of this type stands right before ({scheme})"


@lru_cache(maxsize=4096)
def is_tag(tag: str, scheme: Scheme | None) -> bool:
    """Whether a tag is one of the scheme's, wherever it stands; of plain tags all are that are not empty."""
    if scheme is None:
        return bool(tag.strip())
    return _TAG.fullmatch(tag) is not None and (tag == "O" or tag[0] in _ROLES[scheme])


def may_follow(before: str, tag: str, scheme: Scheme) -> bool:
    """Whether a tag may stand right after another; ``O`` stands for either end of a sentence.

    A tag that is none of the scheme's may not stand anywhere; nothing is held against what stands after it.
    """
    if not is_tag(tag, scheme):
        return False
    if not is_tag(before, scheme):
        return True
    (role, kind), (before_role, before_kind) = _find_role(tag), _find_role(before)
    is_open = before_role in "BI"
    if scheme in ("IOB1", "IOB2"):
        must_continue = "I" if scheme == "IOB2" else "B"
        return role != must_continue or (is_open and kind == before_kind)
    return (role in "IE" and kind == before_kind) if is_open else role in "OBS"


def find_spans(tags: Sequence[str]) -> list[Span]:
    """The entities as conlleval defines them (Tjong Kim Sang and Buchholz 2000), in any mixture of prefixes.

    A tag that should continue an entity and finds none of its type opens one. It is what `seqeval` does by default,
    with L read as E and U as S: `seqeval` itself doesn't know these two by default, and merges or loses entities of
    BILOU. What has another prefix is outside.
    """
    spans, start = [], 0
    before, before_kind = "O", ""
    for end, tag in enumerate((*tags, "O")):
        role, kind = _find_role(tag)
        is_new = kind != before_kind or role in "OBS" or before in "OES"
        if is_new and before != "O":
            spans.append(Span(before_kind, start, end))
        if is_new:
            start = end
        before, before_kind = role, kind
    return spans


def find_spans_strict(tags: Sequence[str], scheme: Scheme) -> list[Span]:
    """The entities that are written exactly as the scheme says; of others none of the words is in one.

    It is `seqeval` with ``mode="strict"`` and that scheme, whose IOB1 needs care: an I after a misplaced B opens an
    entity, and a B with another type's B right after it is none.

    Raises:
        InputError: if a tag is none of the scheme's.
    """
    for tag in tags:
        _check_tag(tag, scheme)
    spans: list[Span] = []
    start: int | None = None
    for end, (before, tag) in enumerate(pairwise(("O", *tags, "O"))):
        (before_role, before_kind), (role, kind) = _find_role(before), _find_role(tag)
        is_same, was_open = kind == before_kind, before_role in "BI"
        if start is not None and was_open and role in "IE" and is_same:
            continue
        if scheme == "IOB1":
            is_whole = is_same or not before_role == role == "B"
            opens = role == "I" or (role == "B" and was_open and is_same)
        else:
            is_whole = scheme == "IOB2" or before_role in "ES"
            opens = role in "BS"
        if start is not None and is_whole:
            spans.append(Span(before_kind, start, end))
        start = end if opens else None
    return spans


def write_tags(spans: Sequence[Span], num_words: int, scheme: Scheme) -> list[str]:
    """The tags of a sentence, given its entities from left to right, which don't overlap."""
    tags = ["O"] * num_words
    before = Span("", -1, -1)
    for span in spans:
        prefixes = ["I"] * (span.end - span.start)
        if scheme != "IOB1" or (before.type, before.end) == (span.type, span.start):
            prefixes[0] = "B"
        if scheme in ("BIOES", "BILOU"):
            last, single = "ES" if scheme == "BIOES" else "LU"
            prefixes[-1] = last if len(prefixes) > 1 else single
        tags[span.start : span.end] = [_join_tag(prefix, span.type) for prefix in prefixes]
        before = span
    return tags


def convert_tags(tags: Sequence[str], source: Scheme, target: Scheme) -> list[str]:
    """The same entities in another scheme.

    Raises:
        InputError: if the tags are not right in the first one. Those of a prediction that may be impossible convert
            with ``write_tags(find_spans(tags), len(tags), target)``.
    """
    problem = find_problem(tags, source)
    if problem is not None:
        raise InputError(f"tag {tags[problem[0]]!r} of word {problem[0] + 1}: expected {problem[1]}")
    return write_tags(find_spans(tags), len(tags), target)


def decode_tags(scores: npt.NDArray[np.floating], labels: Sequence[str], scheme: Scheme | None) -> IntArray:
    """The best tags of a sentence among those that its scheme allows (Viterbi 1967); of plain tags the best ones.

    Args:
        scores: of each label for each word, which add up: log probabilities, or logits; shape (W, L).
        labels: the tag of each column, in any order.
        scheme: of the labels.

    Returns:
        The index of each word's label, shape (W,).

    Raises:
        InputError: if a label is none of the scheme's, or they allow no sequence of W tags.
    """
    if scheme is None or len(scores) == 0:
        return np.asarray(scores.argmax(axis=-1), dtype=np.int64)
    penalties = _find_penalties(tuple(labels), scheme)
    scores = np.maximum(scores.astype(np.float64), _LOWEST_SCORE)
    origins = np.zeros(scores.shape, dtype=np.int64)
    best = scores[0] + penalties[-1, :-1]
    for i in range(1, len(scores)):
        paths = best[:, None] + penalties[:-1, :-1]
        origins[i] = paths.argmax(axis=0)
        best = paths.max(axis=0) + scores[i]
    best = best + penalties[:-1, -1]
    if best.max() == -np.inf:
        raise InputError(f"the labels {', '.join(labels)} allow no {len(scores)} tags in a row in {scheme}")
    chosen = [int(best.argmax())]
    for origin in origins[:0:-1]:
        chosen.append(int(origin[chosen[-1]]))
    return np.array(chosen[::-1], dtype=np.int64)


@lru_cache(maxsize=16)
def _find_penalties(labels: tuple[str, ...], scheme: Scheme) -> npt.NDArray[np.float64]:
    """0 where a label may follow another, else minus infinity; the last row and column are the sentence's ends."""
    for label in labels:
        _check_tag(label, scheme)
    tags = (*labels, "O")
    is_allowed = [[may_follow(before, tag, scheme) for tag in tags] for before in tags]
    return np.where(is_allowed, 0.0, -np.inf)


@lru_cache(maxsize=4096)
def _find_role(tag: str) -> tuple[str, str]:
    prefix, kind = split_tag(tag)
    return (_ANY_ROLE[prefix], kind) if prefix in _ANY_ROLE else ("O", "")


def _check_tag(tag: str, scheme: Scheme) -> None:
    if scheme not in get_args(Scheme):
        raise InputError(f"the scheme must be one of {', '.join(get_args(Scheme))}, got {scheme!r}")
    if not is_tag(tag, scheme):
        raise InputError(f"{tag!r} is no tag of {scheme}: expected O, or one of {', '.join(_ROLES[scheme])} and a type")


def _join_tag(prefix: str, kind: str) -> str:
    return f"{prefix}-{kind}" if kind else prefix
