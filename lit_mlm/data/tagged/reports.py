"""Warnings about tagged sentences, each a single line."""

import logging
from collections.abc import Sequence

from lightning.pytorch.utilities import rank_zero_only

from lit_mlm.data.reading.files import BadRecordError

log = logging.getLogger(__name__)


def warn_of_labels(doubts: str | None) -> None:
    """Warns of labels that are probably those of a wrong column."""
    if doubts is not None:
        warn("train: %s; data.tag_column or data.tags_column names the column of the tags", doubts)


def warn_of_skipped(split: str, records: Sequence[BadRecordError]) -> None:
    """Warns of bad records of a split that were left out."""
    if records:
        warn("%s: bad records skipped: %d, the first: %s", split, len(records), records[0])


def warn_of_misplaced(split: str, places: Sequence[str]) -> None:
    """Warns of tags of a split that break their scheme, and names the first of their places."""
    if places:
        text = "%s: tags out of place, read as in conlleval: %d, the first: %s; data.strict_tags true rejects them"
        warn(text, split, len(places), places[0])


@rank_zero_only
def warn(message: str, *values: object) -> None:
    """Warns once, on the first rank."""
    log.warning(message, *values)
