"""Warnings about tagged sentences, each a single line."""

from collections.abc import Sequence

from lit_mlm.data.reading.reports import warn


def warn_of_labels(doubts: str | None) -> None:
    """Warns of labels that are probably those of a wrong column."""
    if doubts is not None:
        warn("train: %s; data.tag_column or data.tags_column names the column of the tags", doubts)


def warn_of_misplaced(split: str, places: Sequence[str]) -> None:
    """Warns of tags of a split that break their scheme, and names the first of their places."""
    if places:
        text = "%s: tags out of place, read as in conlleval: %d, the first: %s; data.strict_tags true rejects them"
        warn(text, split, len(places), places[0])
