"""Tag schemes: recognised, validated, parsed and converted.

A tag is ``O``, outside of every entity, or a prefix and an entity type, ``B-PER``; the type may be missing (``B``).

| scheme | single-word entity | longer entity | note |
|---|---|---|---|
| IOB1 | I | I I I | the first is B only right after an entity of the same type |
| IOB2 | B | B I I | |
| IOE1 | I | I I I | the last is E only right before an entity of the same type |
| IOE2 | E | I I E | |
| BIOES | S | B I E | |
| BILOU | U | B I L | |
| BMES | S | B M E | |
| BMEWO | W | B M E | |
| IO | PER | PER PER PER | types without a prefix; neighbouring words of a type are one entity |

Plain tags, such as parts of speech, have the scheme None.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, pairwise
from typing import Literal, NamedTuple, get_args

from lit_mlm.errors import InputError

Scheme = Literal["IOB1", "IOB2", "IOE1", "IOE2", "BIOES", "BILOU", "BMES", "BMEWO", "IO"]

_ROLES: dict[Scheme, dict[str, str]] = {
    "IOB2": {"B": "B", "I": "I"},
    "IOB1": {"B": "B", "I": "I"},
    "BIOES": {"B": "B", "I": "I", "E": "E", "S": "S"},
    "BILOU": {"B": "B", "I": "I", "L": "E", "U": "S"},
    "IOE2": {"I": "I", "E": "E"},
    "IOE1": {"I": "I", "E": "E"},
    "BMES": {"B": "B", "M": "I", "E": "E", "S": "S"},
    "BMEWO": {"B": "B", "M": "I", "E": "E", "W": "S"},
    "IO": {},
}
"""The role of each prefix of a scheme, as BIOES's letter; schemes that fit a corpus equally are tried in this order."""
_ANY_ROLE = {prefix: role for roles in _ROLES.values() for prefix, role in roles.items()}
_LETTERS = {scheme: {role: prefix for prefix, role in roles.items()} for scheme, roles in _ROLES.items()}
_CLOSED = ("BIOES", "BILOU", "BMES", "BMEWO")  # mark the last word of every entity
_MIRRORED: dict[Scheme, Scheme] = {"IOE1": "IOB1", "IOE2": "IOB2"}  # IOB read from the right
_TAG = re.compile(r"O|[BIESLUMW](-.+)?")
_PARTS_OF_SPEECH = {"N", "V", "NN", "VB", "NOUN", "VERB"}
"""Tags that only sets of parts of speech have, where ``O`` is a tag like any other, such as pronouns in tweets."""
MAX_PLAIN_TYPES = 100
"""Most entity types without prefixes, unless most tags are ``O``: a column of words has more."""


class Span(NamedTuple):
    """An entity: words `start` up to but not including `end`."""

    type: str
    start: int
    end: int


def split_tag(tag: str, scheme: Scheme | None = None) -> tuple[str, str]:
    """Splits a tag into prefix and type; the type may contain hyphens or be empty. In IO the prefix is I.

    Examples:
        >>> split_tag("B-PER"), split_tag("O"), split_tag("art-film", "IO")
        (('B', 'PER'), ('O', ''), ('I', 'art-film'))
    """
    if scheme == "IO":
        return ("O", "") if tag == "O" else ("I", tag)
    prefix, _, kind = tag.partition("-")
    return prefix, kind


def list_tags(kind: str, scheme: Scheme) -> list[str]:
    """Lists the tags of an entity type.

    Examples:
        >>> list_tags("PER", "BILOU"), list_tags("PER", "IO")
        (['B-PER', 'I-PER', 'L-PER', 'U-PER'], ['PER'])
    """
    return [kind] if scheme == "IO" else [_join_tag(prefix, kind) for prefix in _ROLES[scheme]]


def find_scheme(sentences: Iterable[Sequence[str]]) -> Scheme | None:
    """Recognises the scheme of a corpus from the tags of its sentences; None for plain tags and for no tags at all.

    The scheme with the fewest misplaced tags wins, so a few annotation errors do not matter; ties go to the first of
    IOB2, IOB1, BIOES, BILOU, IOE2, IOE1, BMES, BMEWO. If at least half of the tags except ``O`` have no prefix, the
    scheme is IO, or the tags are plain if there is no ``O`` or there are parts of speech.

    Examples:
        >>> find_scheme([["O", "B-PER", "I-PER"]]), find_scheme([["S-LOC", "O"]]), find_scheme([["NOUN", "VERB"]])
        ('IOB2', 'BIOES', None)
        >>> find_scheme([["I-PER", "E-PER", "O"]]), find_scheme([["O", "PER", "LOC"]])
        ('IOE2', 'IO')
    """
    pairs = Counter(pair for tags in sentences for pair in pairwise(("O", *tags, "")))  # "" is the end
    tags: Counter[str] = Counter()
    for (_, tag), count in pairs.items():
        tags[tag] += count
    del tags[""]
    if not _has_prefixes(tags):
        is_entities = len(tags) <= MAX_PLAIN_TYPES or 2 * tags["O"] > tags.total()
        return "IO" if is_entities and _may_be_types(tags) else None
    misfits = {
        scheme: sum(count for (before, tag), count in pairs.items() if not may_follow(before, tag or "O", scheme))
        for scheme in _ROLES
        if scheme != "IO"
    }
    return min(misfits, key=lambda scheme: misfits[scheme])


def guess_scheme(labels: Iterable[str]) -> Scheme | None:
    """Guesses the scheme from a label set; None for plain tags.

    IOB1 and IOB2 have the same labels, as have IOE1 and IOE2: the second one is returned.

    Examples:
        >>> guess_scheme(["O", "B-PER", "I-PER"]), guess_scheme(["O", "PER", "LOC"]), guess_scheme(["NOUN", "VERB"])
        ('IOB2', 'IO', None)
    """
    found = Counter(labels)
    if not _has_prefixes(found):
        return "IO" if _may_be_types(found) else None
    prefixes = {split_tag(label)[0] for label in found if has_prefix(label)}
    order: tuple[Scheme, ...] = ("IOB2", "IOE2", "BIOES", "BILOU", "BMES", "BMEWO")
    return next((scheme for scheme in order if prefixes <= set(_ROLES[scheme])), "BIOES")


def has_prefix(tag: str) -> bool:
    """Whether a tag has a prefix of some scheme."""
    return tag != "O" and _TAG.fullmatch(tag) is not None


def _has_prefixes(tags: Counter[str]) -> bool:
    """Whether tags have prefixes: more than half of them except ``O``, or there is nothing but ``O``."""
    num_prefixed = sum(count for tag, count in tags.items() if has_prefix(tag))
    rest = tags.total() - tags["O"]
    return 2 * num_prefixed > rest or (rest == 0 and tags["O"] > 0)


def _may_be_types(tags: Collection[str]) -> bool:
    """Whether tags without prefixes are entity types and ``O``."""
    return "O" in tags and not _PARTS_OF_SPEECH & set(tags)


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
    written = write_tags(find_spans(tags), len(tags), scheme) if scheme in _MIRRORED else tags
    for i, (before, tag) in enumerate(pairwise(("O", *tags))):
        if not is_tag(tag, scheme):
            prefixes = ", ".join(f"{prefix}-" for prefix in _ROLES[scheme])
            yield i, f"O, or one of {prefixes} and a type ({scheme})" if prefixes else "O or a type without prefix (IO)"
        elif tag != written[i]:
            yield i, f"{written[i]} before what follows ({scheme})"
        elif scheme in _MIRRORED:
            continue
        elif not may_follow(before, tag, scheme):
            yield i, _say_expected(before, tag, scheme)
        elif i == len(tags) - 1 and not may_follow(tag, "O", scheme):
            role, kind = _find_role(tag)
            closing = _LETTERS[scheme]["S" if role == "B" else "E"]
            yield i, f"{_join_tag(closing, kind)} at the end of a sentence ({scheme})"


def _say_expected(before: str, tag: str, scheme: Scheme) -> str:
    (before_role, before_kind), (role, kind), letters = _find_role(before), _find_role(tag), _LETTERS[scheme]
    if scheme in _CLOSED and before_role in "BI":
        inside, last = (_join_tag(letters[part], before_kind) for part in "IE")
        return f"{inside} or {last} after {before} ({scheme})"
    opening = {"B": "I", "I": "B", "E": "S"}[role]
    return f"{_join_tag(letters[opening], kind)}, as no entity of this type comes right before ({scheme})"


@lru_cache(maxsize=4096)
def is_tag(tag: str, scheme: Scheme | None) -> bool:
    """Whether a tag belongs to the scheme, wherever it is; any non-empty tag is a plain tag."""
    if scheme is None:
        return bool(tag.strip())
    if scheme == "IO":
        return bool(tag.strip()) and ("-" not in tag or _TAG.fullmatch(tag) is None)
    return _TAG.fullmatch(tag) is not None and (tag == "O" or tag[0] in _ROLES[scheme])


def may_follow(before: str, tag: str, scheme: Scheme) -> bool:
    """Whether a tag may follow another; ``O`` also denotes both ends of a sentence.

    A tag outside the scheme may follow nothing, and anything may follow it.
    """
    if not is_tag(tag, scheme):
        return False
    if scheme == "IO" or not is_tag(before, scheme):
        return True
    (role, kind), (before_role, before_kind) = _find_role(tag), _find_role(before)
    if scheme in _CLOSED:
        is_open = before_role in "BI"
        return (role in "IE" and kind == before_kind) if is_open else role in "OBS"
    if scheme in _MIRRORED:
        role, before_role, scheme = before_role.replace("E", "B"), role.replace("E", "B"), _MIRRORED[scheme]
    must_continue = "I" if scheme == "IOB2" else "B"
    return role != must_continue or (before_role in "BI" and kind == before_kind)


def find_spans(tags: Sequence[str], scheme: Scheme | None = None) -> list[Span]:
    """Parses entities in any mixture of prefixes, as conlleval does (Tjong Kim Sang and Buchholz 2000).

    A tag that should continue an entity but has none of its type before it opens one. This is `seqeval`'s default mode,
    except that L is read as E, U and W as S, and M as I, which `seqeval` supports in its strict mode only or not at
    all. Other prefixes are outside.

    Args:
        tags: of a sentence.
        scheme: matters only if it is IO, whose tags have no prefixes.

    Examples:
        >>> find_spans(["B-PER", "I-PER", "O", "I-LOC"])
        [Span(type='PER', start=0, end=2), Span(type='LOC', start=3, end=4)]
    """
    return list(iterate_spans(tags, scheme))


def iterate_spans(tags: Sequence[str], scheme: Scheme | None = None) -> Iterator[Span]:
    """Yields what `find_spans` returns."""
    start = 0
    before, before_kind = "O", ""
    for end, tag in enumerate(chain(tags, ("O",))):
        role, kind = _find_role(tag, scheme)
        is_new = kind != before_kind or role in "OBS" or before in "OES"
        if is_new and before != "O":
            yield Span(before_kind, start, end)
        if is_new:
            start = end
        before, before_kind = role, kind


def find_spans_strict(tags: Sequence[str], scheme: Scheme) -> list[Span]:
    """Parses only the entities that follow the scheme exactly, as `seqeval` does with ``mode="strict"``.

    As in `seqeval`, in IOB1 an I after a misplaced B opens an entity, and a B followed by a B of another type is none.

    Examples:
        >>> find_spans_strict(["B-PER", "I-PER", "O", "I-LOC"], "IOB2")
        [Span(type='PER', start=0, end=2)]
    """
    for tag in tags:
        check_tag(tag, scheme)
    if scheme == "IO":
        return find_spans(tags, scheme)
    if scheme in _MIRRORED:
        mirrored = find_spans_strict([_mirror(tag) for tag in reversed(tags)], _MIRRORED[scheme])
        return [Span(span.type, len(tags) - span.end, len(tags) - span.start) for span in reversed(mirrored)]
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
    if scheme in _MIRRORED:
        mirrored = [Span(span.type, num_words - span.end, num_words - span.start) for span in reversed(spans)]
        return [_mirror(tag) for tag in reversed(write_tags(mirrored, num_words, _MIRRORED[scheme]))]
    before = Span("", -1, -1)
    for span in spans:
        roles = ["I"] * (span.end - span.start)
        if scheme != "IOB1" or (before.type, before.end) == (span.type, span.start):
            roles[0] = "B"
        if scheme in _CLOSED:
            roles[-1] = {"B": "S", "I": "E"}[roles[-1]]
        is_bare, letters = scheme == "IO", _LETTERS[scheme]
        tags[span.start : span.end] = [span.type if is_bare else _join_tag(letters[role], span.type) for role in roles]
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
    return write_tags(find_spans(tags, source), len(tags), target)


@lru_cache(maxsize=4096)
def _find_role(tag: str, scheme: Scheme | None = None) -> tuple[str, str]:
    prefix, kind = split_tag(tag, scheme)
    return (_ANY_ROLE[prefix], kind) if prefix in _ANY_ROLE else ("O", "")


def check_tag(tag: str, scheme: Scheme) -> None:
    """Rejects a tag that does not belong to a scheme, and an unknown scheme."""
    if scheme not in get_args(Scheme):
        raise InputError(f"the scheme must be one of {', '.join(get_args(Scheme))}, got {scheme!r}")
    if not is_tag(tag, scheme):
        raise InputError(f"{tag!r} is no tag of {scheme}: expected O, or one of {', '.join(_ROLES[scheme])} and a type")


def _mirror(tag: str) -> str:
    """A tag of IOB as IOE's, and the reverse."""
    prefix, kind = split_tag(tag)
    return _join_tag({"B": "E", "E": "B"}.get(prefix, prefix), kind)


def _join_tag(prefix: str, kind: str) -> str:
    return f"{prefix}-{kind}" if kind else prefix
