"""The corpora of a training mixture: where the text of each is, and its weight."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lit_mlm.data.reading.files import check_encoding, find_files
from lit_mlm.data.reading.named_sets import EvalFiles, list_patterns
from lit_mlm.errors import InputError


@dataclass(frozen=True)
class Source:
    """A corpus of a training mixture.

    Args:
        files: files, folders or patterns.
        dataset: id on the Hub, or folder with a copy, in place of `files`.
        dataset_revision: revision of `dataset`.
        subset: configuration of `dataset`, if it has several.
        split: split of `dataset`.
        text_column: text column in all but ``.txt`` files; by default the data module's.
        document_per: a document in a ``.txt`` file: the ``file`` or each ``line``; by default the data module's.
        encoding: of the files; by default the data module's.
        weight: above 0; over the sum of all weights, the share of this source in the training examples of an epoch.
    """

    files: list[str] | str | None = None
    dataset: str | None = None
    dataset_revision: str | None = None
    subset: str | None = None
    split: str = "train"
    text_column: str | None = None
    document_per: Literal["file", "line"] | None = None
    encoding: str | None = None
    weight: float = 1.0


def check_sources(sources: Mapping[str, Source]) -> None:
    """Rejects sources, by name, whose options don't fit together."""
    if not sources:
        raise InputError("data.sources is empty: name at least one, such as reviews: {files: reviews/*.txt, weight: 3}")
    for name, source in sources.items():
        option = f"data.sources.{name}"
        if not isinstance(name, str) or not name:  # YAML reads 2020 as a number, and no as a boolean
            raise InputError(f"{option}: the name of a source must be a string, got {name!r}; put it in quotes")
        if name in ("train", "val", "test"):
            raise InputError(f"{option}: a source can't have the name of a split; rename it")
        if (source.files is None) == (source.dataset is None):
            found = "neither" if source.files is None else f"files {source.files} and dataset {source.dataset}"
            raise InputError(f"{option} needs one of files and dataset, got {found}")
        if not 0 < source.weight < math.inf:
            raise InputError(f"{option}.weight must be above 0 and finite, got {source.weight}; or remove the source")
        other = "files" if source.dataset is None else "dataset"
        for part in ("dataset_revision", "subset", "split") if source.dataset is None else ("document_per", "encoding"):
            value = getattr(source, part)
            if value != getattr(Source, part):
                raise InputError(f"{option}.{part} ({value}) has no effect on {option}.{other}")
        if source.encoding is not None:
            check_encoding(source.encoding, f"{option}.encoding")
    _refuse_shared_splits(sources)


@contextmanager
def name_source(name: str) -> Iterator[None]:
    """Prefixes the message of an `InputError` with the source."""
    try:
        yield
    except InputError as error:
        raise InputError(f"data.sources.{name}: {error}") from error


def find_source_files(sources: Mapping[str, Source]) -> dict[str, list[Path]]:
    """The files of each source, in reading order; none for a source on the Hub."""
    return {name: find_patterns(source.files, f"data.sources.{name}.files") for name, source in sources.items()}


def find_patterns(patterns: EvalFiles, option: str) -> list[Path]:
    """`find_files` for an option that is a list, a single pattern, these by name, or None."""
    return find_files(list_patterns(patterns), option)


def refuse_shared_files(files: Mapping[str, Sequence[Path]]) -> None:
    """Rejects a file that two options name; takes files by option."""
    found: dict[Path, str] = {}
    for option, paths in files.items():
        for path in paths:
            other = found.setdefault(path.resolve(), option)
            if other != option:
                raise InputError(f"{path} is in both {other} and {option}")


def _refuse_shared_splits(sources: Mapping[str, Source]) -> None:
    found: dict[tuple[str | None, ...], str] = {}
    for name, source in sources.items():
        if source.dataset is not None:
            key = (source.dataset, source.dataset_revision, source.subset, source.split)
            other = found.setdefault(key, name)
            if other != name:
                raise InputError(
                    f"data.sources.{other} and data.sources.{name} are both the split {source.split} of "
                    f"{source.dataset}: remove one, or change its split"
                )
