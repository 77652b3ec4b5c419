"""Spellings of tags in corpora: ``b-PER``, ``B_PER``, ``PER-B`` or ``(PER*`` for ``B-PER``, and ``_`` for ``O``."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache, partial

from lit_mlm.text.tagging.schemes import Span, has_prefix, write_tags

Respelling = Callable[[Sequence[str]], list[str]]
"""Maps the tags of a sentence to those that `lit_mlm.text.tagging.schemes` reads."""

_OUTSIDE = {"_", "-", "*", "0", "OUT", "out"}
_FIRST = re.compile(r"(?P<prefix>[BIESLUMW])(?:[-_:|/](?P<kind>.+))?", re.IGNORECASE)
_LAST = re.compile(r"(?P<kind>.+)[-_:|/](?P<prefix>[BIESLUMW])", re.IGNORECASE)
_BRACKETS = re.compile(r"((?:\([^()*]+)*)(?:\*(\)*)|(\)+))")


@lru_cache(maxsize=65536)
def respell_tag(tag: str, is_last: bool = False, outside: str = "o") -> str:
    """Respells a tag; one that is nothing like a tag with a prefix stays as it is.

    Examples:
        >>> [respell_tag(tag) for tag in ("b-per", "B_PER", "i", "o", "NN")], respell_tag("PER-B", is_last=True)
        (['B-per', 'B-PER', 'I', 'O', 'NN'], 'B-PER')

    Args:
        tag: any.
        is_last: whether the prefix is at the end.
        outside: the spelling of ``O``, beside itself.
    """
    if tag in ("O", outside):
        return "O"
    match = (_LAST if is_last else _FIRST).fullmatch(tag)
    if match is None:
        return tag
    prefix = match["prefix"].upper()
    return f"{prefix}-{match['kind']}" if match["kind"] else prefix


def read_brackets(tags: Sequence[str]) -> list[str]:
    """Reads the brackets of CoNLL-2005 to CoNLL-2012 as IOB2; of nested entities the outermost remains.

    Tags that are no brackets, or not balanced, stay as they are.

    Examples:
        >>> read_brackets(["(PER*", "*)", "*", "(LOC)"])
        ['B-PER', 'I-PER', 'O', 'B-LOC']
    """
    spans: list[Span] = []
    stack: list[tuple[str, int]] = []
    for i, tag in enumerate(tags):
        match = _BRACKETS.fullmatch(tag)
        if match is None:
            return list(tags)
        stack += [(kind, i) for kind in match[1].split("(")[1:]]
        for _ in match[2] or match[3] or "":
            if not stack:
                return list(tags)
            kind, start = stack.pop()
            if not stack:
                spans.append(Span(kind, start, i + 1))
    return list(tags) if stack else write_tags(spans, len(tags), "IOB2")


def find_respelling(sentences: Collection[Sequence[str]]) -> Respelling | None:
    """Recognises how a corpus spells its tags; None if at least half of them, except ``O``, have no prefix in any way.

    A spelling is chosen for a corpus, since ``I_x`` may be a part of speech, and ``HEPATITIS-B`` an entity type.
    """
    tags = Counter(tag for sentence in sentences for tag in sentence)
    common = {tag for tag, count in tags.items() if count == max(tags.values())} & _OUTSIDE
    outside = min(common) if common and not {"O", "o"} & set(tags) else "o"
    if "(" in "".join(tags) and all(map(_BRACKETS.fullmatch, tags)):
        return read_brackets
    best, most = None, 0
    for is_last in (False, True):
        respelled = [(respell_tag(tag, is_last, outside), count) for tag, count in tags.items()]
        num_prefixed = sum(count for tag, count in respelled if has_prefix(tag))
        if 2 * num_prefixed > sum(count for tag, count in respelled if tag != "O") and num_prefixed > most:
            best, most = partial(_respell, is_last=is_last, outside=outside), num_prefixed
    return best


def respell_labels(labels: Sequence[str]) -> list[str]:
    """Respells a label set, in its order."""
    respell = find_respelling([labels])
    return list(labels) if respell is None or respell is read_brackets else respell(labels)


def _respell(tags: Sequence[str], is_last: bool, outside: str) -> list[str]:
    return [respell_tag(tag, is_last, outside) for tag in tags]
