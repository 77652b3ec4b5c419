"""Where a text classifier errs: labels, length, confidence and training data.

Shapes: L labels.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from lit_mlm.metrics.error_report import count_confidence, count_rates
from lit_mlm.metrics.groups import choose_bin, name_bins

LENGTHS = (0, 32, 64, 128, 256, 512, 1024)
"""The lowest numbers of the groups by length, in tokens."""


@dataclass(frozen=True)
class ScoredText:
    """A text with its labels, those that were found, and the probabilities of all.

    Attributes:
        text: of all columns, joined by line feeds.
        gold: labels; exactly one unless texts have several.
        found: the same, as predicted.
        scores: probability of each label, by name.
        num_tokens: of the whole text, without special tokens.
        index: of the text in its split or set.
        place: file and line or row.
        set_name: of a named evaluation set; empty without.
    """

    text: str
    gold: tuple[str, ...]
    found: tuple[str, ...]
    scores: Mapping[str, float]
    num_tokens: int = 0
    index: int = 0
    place: str = ""
    set_name: str = ""

    @property
    def is_right(self) -> bool:
        """Whether all labels are right, and none is missing."""
        return set(self.gold) == set(self.found)

    @property
    def distance(self) -> float:
        """How far the probability of a label is from what it should be, at most, in [0, 1]."""
        return max(abs(score - (name in self.gold)) for name, score in self.scores.items())


class TrainingTexts:
    """The labels of training texts, by text; texts that differ in white space only are the same.

    Args:
        texts: text, labels and place of each.

    Examples:
        >>> train = TrainingTexts([("A fine film.", ("pos",), "a.csv, line 2"), ("A fine  film.", ("neg",), "line 3")])
        >>> [row["labels"] for row in train.find("A fine film.")]
        ['pos', 'neg']
    """

    def __init__(self, texts: Iterable[tuple[str, Sequence[str], str]]) -> None:
        self._rows: dict[str, dict[str, dict[str, Any]]] = {}
        for text, labels, place in texts:
            name = name_labels(labels)
            row = self._rows.setdefault(_fold(text), {}).setdefault(name, {"labels": name, "number": 0, "place": place})
            row["number"] += 1

    def find(self, text: str) -> list[dict[str, Any]]:
        """The labels that a text has in training, each with its ``number`` of texts and the ``place`` of the first."""
        return list(self._rows.get(_fold(text), {}).values())

    def judge(self, text: ScoredText) -> str:
        """Whether a text is ``seen`` in training with its labels, ``seen_as_other_label``, or ``unseen``."""
        names = [row["labels"] for row in self.find(text.text)]
        return "seen" if name_labels(text.gold) in names else "seen_as_other_label" if names else "unseen"


def report_text_errors(
    texts: Sequence[ScoredText], labels: Sequence[str], multi_label: bool, train: TrainingTexts | None = None
) -> dict[str, Any]:
    """Describes the errors of a text classifier, as plain data for JSON.

    Args:
        texts: of a split.
        labels: by id.
        multi_label: whether a text has any number of labels.
        train: the training texts; None if unknown.

    Returns:
        ``num_texts``, ``num_right`` and ``accuracy``, the share of texts with exactly the right labels; ``types``, the
        counts of each label; ``confusions``, unless texts have several labels; ``lengths``, ``confidence``, and as far
        as known ``sets``, ``training`` and ``contradictions``; and under ``texts`` the wrong ones, the surest first.
    """
    wrong = sorted((text for text in texts if not text.is_right), key=lambda text: -text.distance)
    num_right = len(texts) - len(wrong)
    found = [(text.scores[name], name in text.gold) for text in texts for name in text.found]
    report: dict[str, Any] = {
        "labels": list(labels),
        "multi_label": multi_label,
        "num_texts": len(texts),
        "num_right": num_right,
        "accuracy": num_right / max(len(texts), 1),
        "types": _count_labels(texts, labels),
        "lengths": _group(texts, lambda text: choose_bin(text.num_tokens, LENGTHS), name_bins(LENGTHS)),
        "confidence": count_confidence(found),
    }
    if not multi_label:
        pairs = Counter((text.gold[0], text.found[0]) for text in wrong)
        rows = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
        report["confusions"] = [{"gold": gold, "found": other, "number": num} for (gold, other), num in rows]
    if any(text.set_name for text in texts):
        report["sets"] = _group(texts, lambda text: text.set_name, dict.fromkeys(text.set_name for text in texts))
    if train is not None:
        report["training"] = _group(texts, train.judge, ("seen", "seen_as_other_label", "unseen"))
        report["contradictions"] = _find_contradictions(texts, train, len(wrong))
    report["texts"] = [_describe(text) for text in wrong]
    return report


def name_labels(labels: Sequence[str]) -> str:
    """The labels of a text for people.

    >>> name_labels(["fine", "dull"]), name_labels([])
    ('dull, fine', 'none')
    """
    return ", ".join(sorted(labels)) or "none"


def _fold(text: str) -> str:
    return " ".join(text.split())


def _count_labels(texts: Sequence[ScoredText], labels: Sequence[str]) -> dict[str, dict[str, float | int]]:
    gold, found = (Counter(chain.from_iterable(getattr(text, side) for text in texts)) for side in ("gold", "found"))
    correct = Counter(name for text in texts for name in text.found if name in text.gold)
    return {name: count_rates(correct[name], found[name], gold[name]) for name in labels}


def _group(
    texts: Sequence[ScoredText], name: Callable[[ScoredText], str], order: Iterable[str]
) -> dict[str, dict[str, float | int]]:
    groups = {each: list[bool]() for each in order}
    for text in texts:
        groups[name(text)].append(text.is_right)
    return {
        each: {"num_texts": len(members), "num_right": sum(members), "accuracy": sum(members) / len(members)}
        for each, members in groups.items()
        if members
    }


def _find_contradictions(texts: Sequence[ScoredText], train: TrainingTexts, num_errors: int) -> dict[str, Any]:
    """Texts that training has with other labels, wrong ones first."""
    rows = []
    for text in sorted(texts, key=lambda text: (text.is_right, -text.distance)):
        others = [row for row in train.find(text.text) if row["labels"] != name_labels(text.gold)]
        if others:
            rows.append(
                {
                    "index": text.index,
                    "place": text.place,
                    "text": text.text,
                    "gold": name_labels(text.gold),
                    "found": name_labels(text.found),
                    "training": train.find(text.text),
                    "is_right": text.is_right,
                }
            )
    num_wrong = sum(not row["is_right"] for row in rows)
    return {"number": len(rows), "num_wrong": num_wrong, "num_errors": num_errors, "texts": rows}


def _describe(text: ScoredText) -> dict[str, Any]:
    """A wrong text as plain data; the probabilities are those of its labels, gold and found."""
    own = {"set": text.set_name} if text.set_name else {}
    sides = {"gold": text.gold, "found": text.found}
    scores = {side: {name: round(text.scores[name], 4) for name in names} for side, names in sides.items()}
    place = {"index": text.index, **own, "place": text.place}
    return {**place, "num_tokens": text.num_tokens, **scores, "text": text.text}
