"""Where the text of a model comes from, for its model card."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Provenance:
    """A corpus that a model is trained on. What is unknown is None, and no path of a machine is told.

    Attributes:
        name: of the corpus.
        hub_id: id on the Hub, if it was read from there.
        revision: of `hub_id`.
        subset: configuration of `hub_id`.
        licence: of the text.
        languages: of the text, as ISO 639 codes.
        citation: author, year, title and venue.
        num_files: number of files, if it was read from files.
        probes: sentences whose masks (``[MASK]``), tags or labels show what the model has learned.
    """

    name: str
    hub_id: str | None = None
    revision: str | None = None
    subset: str | None = None
    licence: str | None = None
    languages: tuple[str, ...] = ()
    citation: str | None = None
    num_files: int | None = None
    probes: tuple[str, ...] = ()


def describe_dataset(
    dataset: str, revision: str | None = None, subset: str | None = None, known: Iterable[Provenance] = ()
) -> Provenance:
    """Describes a data set on the Hub, or a folder with a copy, of which only the name of the folder is told.

    >>> describe_dataset("lhoestq/conll2003").hub_id
    'lhoestq/conll2003'

    Args:
        dataset: id on the Hub, or folder.
        revision: of the data set; by default that of a known one.
        subset: its configuration.
        known: data sets of which more is known.
    """
    if Path(dataset).expanduser().exists():
        return Provenance(f"a local copy of the data set {Path(dataset).resolve().name}", subset=subset)
    found = next((one for one in known if one.hub_id == dataset), Provenance(dataset, dataset))
    return replace(found, revision=revision or found.revision, subset=subset)


def describe_layout(known: Provenance) -> Provenance:
    """Describes the user's own files in the layout of a known data set, which may hold other text."""
    return Provenance(f"local files in the layout of {known.name}")
