"""Errors of a tagger: entities paired with those that were found, and their kinds.

The kinds and the four ways of matching are those of MUC-5 and SemEval 2013, task 9 (Chinchor and Sundheim 1993, "MUC-5
evaluation metrics"; Segura-Bedmar et al. 2013). Plain tags are read as entities of one word. Shapes: W words of a
sentence.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from lit_mlm.text.tagging.schemes import Scheme, Span, find_spans

Kind = Literal["correct", "wrong_type", "wrong_boundary", "wrong_both", "missed", "spurious"]

WRONG: tuple[Kind, ...] = ("wrong_type", "wrong_boundary", "wrong_both")
"""Kinds of a found entity that overlaps a gold one."""

KINDS: tuple[Kind, ...] = ("correct", *WRONG, "missed", "spurious")

MATCHINGS = {"strict": "type and boundary", "exact": "boundary", "partial": "overlap, half", "type": "type and overlap"}
"""What an entity needs to be correct, by the name of the matching; an overlap counts a half in ``partial``."""


class Pair(NamedTuple):
    """A gold entity and the one that was found for it; one of them is None if it is missed or spurious."""

    gold: Span | None
    found: Span | None

    @property
    def kind(self) -> Kind:
        """The kind of error, or ``correct``."""
        if self.gold is None or self.found is None:
            return "missed" if self.found is None else "spurious"
        same_type, same_boundary = self.gold.type == self.found.type, self.gold[1:] == self.found[1:]
        if same_boundary:
            return "correct" if same_type else "wrong_type"
        return "wrong_boundary" if same_type else "wrong_both"


@dataclass(frozen=True)
class ScoredSentence:
    """A sentence with its gold tags and the tags that were found.

    Attributes:
        words: W of them.
        gold: their tags.
        found: the tags that were found.
        scores: probabilities of the found tags, in [0, 1], shape (W,).
        scheme: of the tags; None for plain tags.
        index: of the sentence in its split.
        place: file and line or row; empty if unknown.
        document: number of its document; None if unknown.
        set_name: of a named evaluation set; empty without.
    """

    words: Sequence[str]
    gold: Sequence[str]
    found: Sequence[str]
    scores: Sequence[float]
    scheme: Scheme | None
    index: int = 0
    place: str = ""
    document: int | None = None
    set_name: str = ""

    @cached_property
    def pairs(self) -> list[Pair]:
        """Its entities, by `pair_spans`."""
        return pair_spans(list_entities(self.gold, self.scheme), list_entities(self.found, self.scheme))

    @property
    def errors(self) -> list[Pair]:
        """Its pairs that are not correct."""
        return [pair for pair in self.pairs if pair.kind != "correct"]

    def get_surface(self, span: Span) -> tuple[str, ...]:
        """The words of an entity."""
        return tuple(self.words[span.start : span.end])

    def get_score(self, span: Span) -> float:
        """The mean probability of the tags of an entity, as in `lit_mlm.inference.tag.Entity`."""
        return sum(self.scores[span.start : span.end]) / (span.end - span.start)


def list_entities(tags: Sequence[str], scheme: Scheme | None) -> list[Span]:
    """The entities of a sentence, as `find_spans` finds them; each word if tags are plain.

    >>> list_entities(["DET", "NOUN"], None)
    [Span(type='DET', start=0, end=1), Span(type='NOUN', start=1, end=2)]
    """
    return find_spans(tags, scheme) if scheme else [Span(tag, i, i + 1) for i, tag in enumerate(tags)]


def pair_spans(gold: Sequence[Span], found: Sequence[Span], by_type: bool = False) -> list[Pair]:
    """Pairs found entities with gold ones that they overlap, each with at most one.

    From left to right, a found entity takes the first gold one that is free. This and `by_type` are nervaluate's rule.

    Args:
        gold: disjoint, from left to right.
        found: the same.
        by_type: takes one of the same type instead, if there is any, the one with the closest boundaries.

    Returns:
        The pairs from left to right, gold entities without a found one included.

    Examples:
        >>> [pair.kind for pair in pair_spans([Span("PER", 0, 2), Span("LOC", 4, 5)], [Span("PER", 1, 2)])]
        ['wrong_boundary', 'missed']
    """
    ends, taken, pairs = [span.end for span in gold], set[int](), list[Pair]()
    for span in found:
        free = []
        for i in range(bisect_right(ends, span.start), len(gold)):
            if gold[i].start >= span.end:
                break
            free += [] if i in taken else [i]
        same = [i for i in free if by_type and gold[i].type == span.type]
        if same:
            free = [min(same, key=lambda i: abs(gold[i].start - span.start) + abs(gold[i].end - span.end))]
        taken |= set(free[:1])
        pairs.append(Pair(gold[free[0]] if free else None, span))
    pairs += [Pair(span, None) for i, span in enumerate(gold) if i not in taken]
    return sorted(pairs, key=lambda pair: min(span.start for span in pair if span is not None))


def count_kinds(sentences: Iterable[ScoredSentence]) -> dict[Kind, int]:
    """Counts the pairs of sentences by kind; all but ``spurious`` add up to gold, all but ``missed`` to found."""
    kinds = Counter(pair.kind for sentence in sentences for pair in sentence.pairs)
    return {kind: kinds[kind] for kind in KINDS}


def compute_matchings(sentences: Sequence[ScoredSentence]) -> dict[str, dict[str, float | int]]:
    """Computes the figures of SemEval 2013 for each of `MATCHINGS`.

    Each has ``correct``, ``incorrect``, ``partial``, ``missed`` and ``spurious``, and ``precision``, ``recall`` and
    ``f1`` in [0, 1], where 0 / 0 is 0.
    """
    kinds = count_kinds(sentences)
    types = Counter[str]()
    for sentence in sentences:
        gold, found = (list_entities(tags, sentence.scheme) for tags in (sentence.gold, sentence.found))
        for pair in pair_spans(gold, found, by_type=True):
            same = pair.gold is not None and pair.found is not None and pair.gold.type == pair.found.type
            types["correct" if same else pair.kind] += 1
    wrong = {name: kinds[name] for name in WRONG}
    shared = kinds["missed"], kinds["spurious"]
    exact = kinds["correct"] + wrong["wrong_type"]
    inexact = wrong["wrong_boundary"] + wrong["wrong_both"]
    return {
        "strict": _rate(kinds["correct"], sum(wrong.values()), 0, *shared),
        "exact": _rate(exact, inexact, 0, *shared),
        "partial": _rate(exact, 0, inexact, *shared),
        "type": _rate(types["correct"], sum(types[kind] for kind in WRONG), 0, types["missed"], types["spurious"]),
    }


def _rate(correct: int, incorrect: int, partial: int, missed: int, spurious: int) -> dict[str, float | int]:
    right, both = correct + partial / 2, correct + incorrect + partial
    return {
        "correct": correct,
        "incorrect": incorrect,
        "partial": partial,
        "missed": missed,
        "spurious": spurious,
        "precision": right / max(both + spurious, 1),
        "recall": right / max(both + missed, 1),
        "f1": 2 * right / max(2 * both + missed + spurious, 1),
    }
