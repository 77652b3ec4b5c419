"""Shards of local files and of data sets on the Hub."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, groupby
from pathlib import Path

from datasets import IterableDataset
from datasets.exceptions import DatasetsError

from lit_mlm.data.reading.files import BadRecordError, OnBad, get_kind
from lit_mlm.data.reading.hub import iterate_rows, load_split
from lit_mlm.data.reading.readers import Row, get_text, read_texts, require_column
from lit_mlm.data.streams.shards import Shard
from lit_mlm.errors import InputError, shorten


def make_file_shards(
    files: Sequence[Path], column: str, encoding: str, by_line: bool, chunk_documents: int
) -> list[Shard]:
    """One shard per file; files of a single document are grouped into shards of `chunk_documents` files.

    The other arguments are those of `read_texts`.
    """
    shards = []
    for is_document, group in groupby(files, lambda file: not by_line and get_kind(file) == ".txt"):
        found, size = list(group), chunk_documents if is_document else 1
        for start in range(0, len(found), size):
            part = found[start : start + size]
            name = f"{part[0]}{f' and {len(part) - 1:,} more' if len(part) > 1 else ''}"
            key = repr(([(file.name, file.stat().st_size) for file in part], column, encoding, by_line))
            shards.append(Shard(name, key, partial(_read_files, part, column, encoding, by_line)))
    return shards


def make_hub_shards(dataset: str, split: str, revision: str | None, subset: str | None, column: str) -> list[Shard]:
    """The shards of a data set on the Hub or in a folder; arguments as in `load_split`, with the text column."""
    rows, name = load_split(dataset, split, revision, subset, streaming=True), f"{dataset}, {split}"
    if rows.column_names is not None:  # some formats have them only when read
        require_column(name, rows.column_names, column)
        rows = rows.select_columns([column])
    shards, num = [], rows.num_shards
    for number in range(num):
        place = f"{name}, shard {number + 1} of {num}"
        key = repr((dataset, split, revision, subset, column, number, num))
        shards.append(Shard(place, key, partial(_read_rows, place, rows.shard(num, number), column)))
    return shards


def _read_files(files: Sequence[Path], column: str, encoding: str, by_line: bool, on_bad: OnBad) -> Iterator[str]:
    return chain.from_iterable(read_texts(file, column, encoding, by_line, on_bad) for file in files)


def _read_rows(place: str, rows: IterableDataset, column: str, on_bad: OnBad) -> Iterator[str]:
    """Yields the texts of a shard; damage or a lost connection is raised, not skipped like a bad row."""
    number = 0
    try:
        for number, fields in enumerate(iterate_rows(rows), start=1):
            try:
                text = get_text(Row(f"{place}, row {number}", fields), column)
            except BadRecordError as error:
                on_bad(error)
                continue
            yield text
    except (OSError, ValueError, DatasetsError) as error:
        raise InputError(f"{place}, after row {number}: can't be read: {shorten(error)}") from error
