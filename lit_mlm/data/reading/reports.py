"""Warnings about records, each a single line."""

import logging
from collections.abc import Sequence

from lightning.pytorch.utilities import rank_zero_only

from lit_mlm.data.reading.files import BadRecordError

log = logging.getLogger(__name__)


def warn_of_skipped(split: str, records: Sequence[BadRecordError]) -> None:
    """Warns of bad records of a split that were left out."""
    if records:
        warn("%s: bad records skipped: %d, the first: %s", split, len(records), records[0])


@rank_zero_only
def warn(message: str, *values: object) -> None:
    """Warns once, on the first rank."""
    log.warning(message, *values)
