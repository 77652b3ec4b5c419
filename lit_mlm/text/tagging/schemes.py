"""Tag schemes: recognised, validated, parsed, converted and decoded.

A tag is ``O``, outside of every entity, or a prefix and an entity type, ``B-PER``; the type may be missing (``B``).

| scheme | single-word entity | longer entity | note |
|---|---|---|---|
| IOB1 | I | I I I | the first is B only right after an entity of the same type |
| IOB2 | B | B I I | |
| BIOES | S | B I E | |
| BILOU | U | B I L | |

Plain tags, such as parts of speech, have the scheme None. Shapes: W words, L labels.
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
from lit_mlm.text.arrays import IntArray

Scheme = Literal["IOB1", "IOB2", "BIOES", "BILOU"]

_ROLES: dict[Scheme, dict[str, str]] = {
    "IOB2": {"B": "B", "I": "I"},
    "IOB1": {"B": "B", "I": "I"},
    "BIOES": {"B": "B", "I": "I", "E": "E", "S": "S"},
    "BILOU": {"B": "B", "I": "I", "L": "E", "U": "S"},
}
"""The role of each prefix of a scheme, as BIOES's letter; schemes that fit a corpus equally are tried in this order."""
_ANY_ROLE = _ROLES["BIOES"] | _ROLES["BILOU"]
_CLOSING: dict[Scheme, dict[str, str]] = {"BIOES": {"B": "S", "I": "E"}, "BILOU": {"B": "U", "I": "L"}}
"""The prefix of a last word in place of B or I."""
_TAG = re.compile(r"O|[BIESLU](-.+)?")
_LOWEST_SCORE = -1e9
"""Replaces minus infinity, so that a forbidden tag is worse than any score; float64 keeps 7 digits beside it."""


class Span(NamedTuple):
    """An entity: words `start` up to but not including `end`."""

    type: str
    start: int
    end: int


def split_tag(tag: str) -> tuple[str, str]:
    """Splits a tag into prefix and type; the type may contain hyphens or be empty.

    Examples:
        >>> split_tag("B-PER"), split_tag("O")
        (('B', 'PER'), ('O', ''))
    """
    prefix, _, kind = tag.partition("-")
    return prefix, kind


def find_scheme(sentences: Iterable[Sequence[str]]) -> Scheme | None:
    """Recognises the scheme of a corpus from the tags of its sentences; None for plain tags and for no tags at all.

    Tags are plain if at least half of them are not ``O`` and have no prefix. Otherwise the scheme with the fewest
    misplaced tags wins, so a few annotation errors do not matter; ties go to the first of IOB2, IOB1, BIOES, BILOU.

    Examples:
        >>> find_scheme([["O", "B-PER", "I-PER"]]), find_scheme([["S-LOC", "O"]]), find_scheme([["NOUN", "VERB"]])
        ('IOB2', 'BIOES', None)
    """
    pairs = Counter(pair for tags in sentences for pair in pairwise(("O", *tags, "")))  # "" is the end
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
    """Guesses the scheme from a label set; IOB1 and IOB2 have the same labels, and IOB2 is returned for both."""
    prefixes = {split_tag(label)[0] for label in labels}
    return "BIOES" if prefixes & {"E", "S"} else "BILOU" if prefixes & {"L", "U"} else "IOB2"


def find_problem(tags: Sequence[str], scheme: Scheme | None) -> tuple[int, str] | None:
    """Returns the first invalid tag of a sentence, as `find_problems` yields it, or None.

    Examples:
        >>> find_problem(["O", "I-PER"], "IOB2")
        (1, 'B-PER, as no entity of this type comes right before (IOB2)')
    """
    return next(find_problems(tags, scheme), None)


def find_problems(tags: Sequence[str], scheme: Scheme | None) -> Iterator[tuple[int, str]]:
    """Yields the index of each malformed or misplaced tag of a sentence, and what was expected there.

    Without such tags `find_spans` and `find_spans_strict` agree. Plain tags are only checked not to be empty.
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
            yield i, f"{_join_tag(_CLOSING[scheme][prefix], kind)} at the end of a sentence ({scheme})"


def _say_expected(before: str, tag: str, scheme: Scheme) -> str:
    (before_prefix, before_kind), (prefix, kind) = split_tag(before), split_tag(tag)
    if scheme in _CLOSING and before_prefix in ("B", "I"):
        last = _join_tag(_CLOSING[scheme]["I"], before_kind)
        return f"{_join_tag('I', before_kind)} or {last} after {before} ({scheme})"
    opening = {"IOB1": {"B": "I"}, "IOB2": {"I": "B"}, "BIOES": {"I": "B", "E": "S"}, "BILOU": {"I": "B", "L": "U"}}
    return f"{_join_tag(opening[scheme][prefix], kind)}, as no entity of this type comes right before ({scheme})"


@lru_cache(maxsize=4096)
def is_tag(tag: str, scheme: Scheme | None) -> bool:
    """Whether a tag belongs to the scheme, wherever it is; any non-empty tag is a plain tag."""
    if scheme is None:
        return bool(tag.strip())
    return _TAG.fullmatch(tag) is not None and (tag == "O" or tag[0] in _ROLES[scheme])


def may_follow(before: str, tag: str, scheme: Scheme) -> bool:
    """Whether a tag may follow another; ``O`` also denotes both ends of a sentence.

    A tag outside the scheme may follow nothing, and anything may follow it.
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
    """Parses entities in any mixture of prefixes, as conlleval does (Tjong Kim Sang and Buchholz 2000).

    A tag that should continue an entity but has none of its type before it opens one. This is `seqeval`'s default mode,
    except that L is read as E and U as S, which `seqeval` supports in its strict mode only. Other prefixes are outside.

    Examples:
        >>> find_spans(["B-PER", "I-PER", "O", "I-LOC"])
        [Span(type='PER', start=0, end=2), Span(type='LOC', start=3, end=4)]
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
    """Parses only the entities that follow the scheme exactly, as `seqeval` does with ``mode="strict"``.

    As in `seqeval`, in IOB1 an I after a misplaced B opens an entity, and a B followed by a B of another type is none.

    Examples:
        >>> find_spans_strict(["B-PER", "I-PER", "O", "I-LOC"], "IOB2")
        [Span(type='PER', start=0, end=2)]
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
    """Returns the tags of a sentence, given its disjoint entities from left to right.

    Examples:
        >>> write_tags([Span("PER", 0, 2), Span("LOC", 3, 4)], 4, "BILOU")
        ['B-PER', 'L-PER', 'O', 'U-LOC']
    """
    tags = ["O"] * num_words
    before = Span("", -1, -1)
    for span in spans:
        prefixes = ["I"] * (span.end - span.start)
        if scheme != "IOB1" or (before.type, before.end) == (span.type, span.start):
            prefixes[0] = "B"
        if scheme in _CLOSING:
            prefixes[-1] = _CLOSING[scheme][prefixes[-1]]
        tags[span.start : span.end] = [_join_tag(prefix, span.type) for prefix in prefixes]
        before = span
    return tags


def convert_tags(tags: Sequence[str], source: Scheme, target: Scheme) -> list[str]:
    """Converts valid tags to another scheme; for predictions use ``write_tags(find_spans(tags), len(tags), target)``.

    Examples:
        >>> convert_tags(["B-PER", "I-PER", "O"], "IOB2", "BIOES")
        ['B-PER', 'E-PER', 'O']
    """
    problem = find_problem(tags, source)
    if problem is not None:
        raise InputError(f"tag {tags[problem[0]]!r} of word {problem[0] + 1}: expected {problem[1]}")
    return write_tags(find_spans(tags), len(tags), target)


def decode_tags(scores: npt.NDArray[np.floating], labels: Sequence[str], scheme: Scheme | None) -> IntArray:
    """Returns the label ids of the best tag sequence that the scheme allows (Viterbi 1967), shape (W,).

    Args:
        scores: additive scores of each label (log probabilities or logits), shape (W, L).
        labels: the tag of each column, in any order.
        scheme: of the labels; plain tags are decoded by argmax.

    Examples:
        >>> decode_tags(np.array([[2.0, 1.0, 0.0], [0.0, 0.0, 4.0]]), ["O", "B-PER", "I-PER"], "IOB2")
        array([1, 2])
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
    """Returns 0 where a label may follow another, else -inf; the last row and column are the sentence's ends."""
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
