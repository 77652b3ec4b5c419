"""What the errors of a tagger have in common: type, training data, length and confidence.

Every entity of gold and every found one is in one group of each table, and correct ones are in the same group on both
sides, so each table adds up to the counts of F1: correct, predicted and gold.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lit_mlm.metrics.entity_errors import (
    KINDS,
    WRONG,
    Pair,
    ScoredSentence,
    compute_matchings,
    count_kinds,
    list_entities,
)
from lit_mlm.metrics.groups import choose_bin, group_words, name_bins
from lit_mlm.text.tagging.schemes import Scheme, Span

Surface = tuple[str, ...]
"""The words of an entity."""

FREQUENCIES = (0, 1, 2, 5, 10, 100)
"""The lowest numbers of the groups by frequency."""

LENGTHS = (1, 2, 3, 4)
"""The lowest numbers of the groups by length, in words."""

SCORES = (0.0, 0.5, 0.7, 0.9, 0.99)
"""The lowest probabilities of the groups by confidence."""


@dataclass(frozen=True)
class TrainingLabels:
    """How the training data labels the words of entities.

    Attributes:
        counts: for each surface the entities of each type, and as None the places where no word of it is in an entity.
    """

    counts: Mapping[Surface, Counter[str | None]]

    @classmethod
    def build(
        cls,
        sentences: Iterable[tuple[Sequence[str], Sequence[str]]],
        scheme: Scheme | None,
        surfaces: Iterable[Surface],
    ) -> "TrainingLabels":
        """Counts the labels of surfaces.

        Args:
            sentences: words and tags of the training sentences.
            scheme: of the tags; None for plain tags.
            surfaces: to count.

        Examples:
            >>> train = [(["in", "Paris"], ["O", "B-LOC"]), (["Paris", "Hilton"], ["B-PER", "I-PER"])]
            >>> TrainingLabels.build(train, "IOB2", [("Paris",), ("in",)]).counts[("Paris",)]
            Counter({'LOC': 1})
        """
        counts: dict[Surface, Counter[str | None]] = {surface: Counter() for surface in surfaces}
        lengths = defaultdict[str, set[int]](set)  # by first word
        for surface in counts:
            lengths[surface[0]].add(len(surface))
        for words, tags in sentences:
            spans = list_entities(tags, scheme)
            labels = {span[1:]: span.type for span in spans}
            is_inside = {i for span in spans for i in range(span.start, span.end)}
            places = ((i, i + length) for i, word in enumerate(words) for length in lengths.get(word, ()))
            for start, end in places:
                surface, is_entity = tuple(words[start:end]), (start, end) in labels
                if end <= len(words) and surface in counts and (is_entity or is_inside.isdisjoint(range(start, end))):
                    counts[surface][labels.get((start, end))] += 1
        return cls(counts)

    def count_entities(self, surface: Surface) -> int:
        """The number of training entities with these words, of any type."""
        counts = self.counts[surface]
        return counts.total() - counts[None]

    def judge(self, surface: Surface, kind: str) -> str:
        """Whether an entity is ``seen`` in training with its type, ``seen_as_other_type``, or ``unseen``."""
        if self.counts[surface][kind]:
            return "seen"
        return "seen_as_other_type" if self.count_entities(surface) else "unseen"

    def supports(self, sentence: ScoredSentence, pair: Pair) -> bool:
        """Whether an error follows the training data: there the words mostly have the label that was found.

        What is missed was found to be no entity.
        """
        counts, label = self.counts[sentence.get_surface(get_span(pair))], pair.found and pair.found.type
        return counts[label] > max((number for other, number in counts.items() if other != label), default=0)


def report_errors(
    sentences: Sequence[ScoredSentence],
    train: Iterable[tuple[Sequence[str], Sequence[str]]] | None = None,
) -> dict[str, Any]:
    """Describes the errors of a tagger, as plain data for JSON.

    Args:
        sentences: of a split, all in one scheme.
        train: words and tags of the training sentences, in the same scheme; None if unknown.

    Returns:
        ``counts`` and ``f1`` as in `lit_mlm.metrics.entities.EntityMetrics`, ``kinds``, ``matchings``, ``types``,
        ``confusions``, ``lengths`` and ``confidence``; of named sets ``sets``; with training data ``training`` and
        ``frequency``, both of single ``words`` too, and ``contradictions``; and under ``sentences`` those with errors,
        the worst first.
    """
    entities = [(sentence, span, pair) for sentence in sentences for pair in sentence.pairs for span in pair if span]
    matchings = compute_matchings(sentences)
    scheme = sentences[0].scheme if sentences else None
    report: dict[str, Any] = {
        "scheme": scheme,
        "num_sentences": len(sentences),
        "num_words": sum(len(sentence.words) for sentence in sentences),
        "counts": _count([(span, pair) for _, span, pair in entities]),
        "f1": matchings["strict"]["f1"],
        "kinds": count_kinds(sentences),
        "matchings": matchings,
        "types": _count_types(sentences),
        "confusions": _count_confusions(sentences),
    }

    def group(name: Callable[[ScoredSentence, Span], Any], order: Iterable[Any]) -> dict[str, dict[str, float | int]]:
        groups = {each: list[tuple[Span, Pair]]() for each in order}
        for sentence, span, pair in entities:
            groups[name(sentence, span)].append((span, pair))
        return {str(each): _count(members) for each, members in groups.items() if members}

    if scheme is not None:
        report["lengths"] = group(lambda _, span: choose_bin(span.end - span.start, LENGTHS), name_bins(LENGTHS))
    if any(sentence.set_name for sentence in sentences):
        report["sets"] = group(lambda s, _: s.set_name, dict.fromkeys(sentence.set_name for sentence in sentences))
    report["confidence"] = count_confidence(
        (sentence.get_score(pair.found), pair.kind == "correct")
        for sentence in sentences
        for pair in sentence.pairs
        if pair.found
    )
    if train is not None:
        train = list(train)
        report["words"] = group_words(((s.words, s.gold, s.found) for s in sentences), train, FREQUENCIES)
        surfaces = {sentence.get_surface(span) for sentence, span, _ in entities}
        labels = TrainingLabels.build(train, scheme, surfaces)
        novelty = ("seen", "seen_as_other_type", "unseen")
        report["training"] = group(lambda s, span: labels.judge(s.get_surface(span), span.type), novelty)
        report["frequency"] = group(
            lambda s, span: choose_bin(labels.count_entities(s.get_surface(span)), FREQUENCIES), name_bins(FREQUENCIES)
        )
        report["contradictions"] = _find_contradictions(sentences, labels)
    bad = sorted((sentence for sentence in sentences if sentence.errors), key=rank)
    report["num_sentences_with_errors"] = len(bad)
    report["sentences"] = [describe_sentence(sentence) for sentence in bad]
    return report


def rank(sentence: ScoredSentence) -> tuple[float, ...]:
    """The key that sorts the worst sentences first: by number of errors, then by the score of the surest wrong one."""
    scores = [sentence.get_score(pair.found) for pair in sentence.errors if pair.found]
    return -len(sentence.errors), -max(scores, default=0.0), sentence.index


def describe_sentence(sentence: ScoredSentence) -> dict[str, Any]:
    """Describes a sentence as plain data: its words, and gold and found entities with their kinds, from left to right.

    ``start`` and ``end`` of an entity count words. Of plain tags only wrong ones are listed.
    """
    gold, found = [], []
    for pair in sentence.pairs if sentence.scheme else sentence.errors:
        if pair.gold:
            gold.append({**_describe(sentence, pair.gold), "kind": pair.kind})
        if pair.found:
            score = round(sentence.get_score(pair.found), 4)
            found.append({**_describe(sentence, pair.found), "kind": pair.kind, "score": score})
    return {
        "index": sentence.index,
        **({"set": sentence.set_name} if sentence.set_name else {}),
        "place": sentence.place,
        "document": sentence.document,
        "num_errors": len(sentence.errors),
        "words": list(sentence.words),
        "gold": gold,
        "found": sorted(found, key=lambda entity: entity["start"]),
    }


def get_span(pair: Pair) -> Span:
    """The entity that was found, or else the gold one."""
    span = pair.found or pair.gold
    if span is None:
        raise ValueError("a pair has at least one entity")
    return span


def name_type(label: str | None) -> str:
    """The name of a type for people: ``_`` if entities have none, as in the metrics; ``outside`` for no entity."""
    return "outside" if label is None else label or "_"


def _describe(sentence: ScoredSentence, span: Span) -> dict[str, Any]:
    text = " ".join(sentence.get_surface(span))
    return {"type": name_type(span.type), "text": text, "start": span.start, "end": span.end}


def _count(members: Sequence[tuple[Span, Pair]]) -> dict[str, float | int]:
    """Correct, predicted and gold entities among spans, by `count_rates`."""
    gold = [pair for span, pair in members if span is pair.gold]
    found = [pair for span, pair in members if span is pair.found]
    correct = sum(pair.kind == "correct" for pair in found)
    return count_rates(correct, len(found), len(gold))


def count_rates(correct: int, predicted: int, gold: int) -> dict[str, float | int]:
    """The counts, with precision, recall and F1, where 0 / 0 is 0."""
    return {
        "correct": correct,
        "predicted": predicted,
        "gold": gold,
        "precision": correct / max(predicted, 1),
        "recall": correct / max(gold, 1),
        "f1": 2 * correct / max(predicted + gold, 1),
    }


def _count_types(sentences: Sequence[ScoredSentence]) -> dict[str, dict[str, float | int]]:
    """By type: the counts, then the kinds: of gold entities, and of found ones that are spurious."""
    members = defaultdict[str, list[tuple[Span, Pair]]](list)
    kinds = defaultdict[str, Counter[str]](Counter)
    for pair in (pair for sentence in sentences for pair in sentence.pairs):
        for span in pair:
            if span is not None:
                members[name_type(span.type)].append((span, pair))
        kinds[name_type((pair.gold or get_span(pair)).type)][pair.kind] += 1
    order = sorted(members, key=lambda name: (-len(members[name]), name))
    return {name: _count(members[name]) | {kind: kinds[name][kind] for kind in KINDS[1:]} for name in order}


def _count_confusions(sentences: Sequence[ScoredSentence]) -> list[dict[str, Any]]:
    """Gold and found types that were taken for each other, the most frequent first."""
    found = Counter(
        (name_type(pair.gold.type), name_type(pair.found.type))
        for sentence in sentences
        for pair in sentence.errors
        if pair.gold and pair.found and pair.kind in WRONG and pair.gold.type != pair.found.type
    )
    rows = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return [{"gold": gold, "found": other, "number": number} for (gold, other), number in rows]


def count_confidence(found: Iterable[tuple[float, bool]]) -> dict[str, dict[str, float | int]]:
    """How often what was found is right, by its probability.

    >>> count_confidence([(0.95, True), (0.97, False)])["0.9 to 0.99"]["precision"]
    0.5
    """
    groups = defaultdict[float, list[tuple[float, bool]]](list)
    for score, is_right in found:
        groups[max((low for low in SCORES if score >= low), default=SCORES[0])].append((score, is_right))
    ends = dict(zip(SCORES, (*SCORES[1:], 1.0), strict=True))
    return {
        f"{start:g} to {ends[start]:g}": {
            "correct": sum(is_right for _, is_right in members),
            "predicted": len(members),
            "precision": sum(is_right for _, is_right in members) / len(members),
            "mean_score": sum(score for score, _ in members) / len(members),
        }
        for start, members in sorted(groups.items())
    }


def _find_contradictions(sentences: Sequence[ScoredSentence], labels: TrainingLabels) -> dict[str, Any]:
    """Errors that follow the training data, whose labels the gold ones contradict; the most frequent first."""
    found = Counter[tuple[Surface, str, str]]()
    places = dict[tuple[Surface, str, str], str]()
    for sentence in sentences:
        for pair in sentence.errors:
            if labels.supports(sentence, pair):
                span = get_span(pair)
                key = sentence.get_surface(span), _name_gold(sentence, span), name_type(pair.found and pair.found.type)
                found[key] += 1
                places.setdefault(key, sentence.place)
    rows = [
        {
            "text": " ".join(surface),
            "training": {name_type(kind): number for kind, number in labels.counts[surface].most_common()},
            "gold": gold,
            "found": predicted,
            "number": number,
            "place": places[surface, gold, predicted],
        }
        for (surface, gold, predicted), number in found.most_common()
    ]
    num_errors = sum(len(sentence.errors) for sentence in sentences)
    return {"number": found.total(), "num_errors": num_errors, "surfaces": rows}


def _name_gold(sentence: ScoredSentence, span: Span) -> str:
    """The gold type of a span, or that of the first gold entity that shares words with it, and its words."""
    for gold in list_entities(sentence.gold, sentence.scheme):
        if gold.start < span.end and gold.end > span.start:
            is_same = gold[1:] == span[1:]
            return name_type(gold.type) + ("" if is_same else f" ({' '.join(sentence.get_surface(gold))})")
    return name_type(None)
