"""Groups of words and entities by frequency in training, by novelty, and by place."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def name_bins(starts: Sequence[int]) -> list[str]:
    """Names the groups that begin with each number.

    >>> name_bins([0, 1, 2, 5])
    ['0', '1', '2 to 4', '5 or more']
    """
    ends = [start - 1 for start in starts[1:]]
    names = [str(start) if start == end else f"{start} to {end}" for start, end in zip(starts, ends, strict=False)]
    return [*names, f"{starts[-1]} or more"]


def choose_bin(number: int, starts: Sequence[int]) -> str:
    """Returns the name of the group of a number, as in `name_bins`."""
    return name_bins(starts)[sum(number >= start for start in starts) - 1]


def group_words(
    sentences: Iterable[tuple[Sequence[str], Sequence[str], Sequence[str]]],
    train: Iterable[tuple[Sequence[str], Sequence[str]]],
    frequencies: Sequence[int],
) -> dict[str, dict[str, dict[str, float | int]]]:
    """Counts words with the right tag by ``frequency`` in training, and by whether it has them (``training``).

    >>> found = group_words([(["a", "b"], ["O", "B-X"], ["O", "O"])], [(["a"], ["O"])], [0, 1])
    >>> found["training"]
    {'seen': {'num_words': 1, 'accuracy': 1.0}, 'unseen': {'num_words': 1, 'accuracy': 0.0}}

    Args:
        sentences: words, gold and found tags.
        train: words and tags of the training sentences; the tags do not matter.
        frequencies: the lowest numbers of the groups.
    """
    counts = Counter(word for words, _ in train for word in words)
    right = {name: dict[str, list[bool]]() for name in ("frequency", "training")}
    for words, gold, found in sentences:
        for word, expected, tag in zip(words, gold, found, strict=True):
            right["frequency"].setdefault(choose_bin(counts[word], frequencies), []).append(expected == tag)
            right["training"].setdefault("seen" if counts[word] else "unseen", []).append(expected == tag)
    order = [*name_bins(frequencies), "seen", "unseen"]
    return {
        name: {
            label: {"num_words": len(members), "accuracy": sum(members) / len(members)}
            for label, members in sorted(groups.items(), key=lambda item: order.index(item[0]))
        }
        for name, groups in right.items()
    }


def list_group_metrics(report: Mapping[str, Any]) -> dict[str, float | int]:
    """Lists the metrics of groups by frequency, novelty and place, for ``metrics.json``.

    >>> list_group_metrics({"training": {"seen": {"f1": 0.9, "gold": 12}}})
    {'f1_by_novelty/seen': 0.9, 'num_gold_by_novelty/seen': 12}

    Args:
        report: of `lit_mlm.metrics.error_report.report_errors`, or of `lit_mlm.metrics.word_losses.WordLosses`.
    """
    groups = {"frequency": "frequency", "training": "novelty", "position": "position"}
    names = {name: name for name in ("accuracy", "f1", "num_words")} | {"nats_per_token": "loss", "gold": "num_gold"}
    return {
        f"{names[key]}_by_{group}/{label}": value
        for part in (report, report.get("words", {}))
        for table, group in groups.items()
        for label, row in part.get(table, {}).items()
        for key, value in row.items()
        if key in names
    }
