"""Documents stored on disk as they are read, and memory-mapped."""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import chain, count, islice
from pathlib import Path

import pyarrow as pa
from datasets import Dataset

from lit_mlm.data.reading.cache_lock import explain_disk_errors, take_up_file
from lit_mlm.data.reading.documents import PLACE, TEXT, make_documents, split_lines

TEXTS = "texts"
"""The folder of documents in `data.cache_dir`."""

BATCH_CHARACTERS, BATCH_TEXTS = 2**20, 1000
"""A batch is complete once it reaches either limit; one batch is in memory at a time."""


def store_texts(texts: Iterable[str], folder: Path, with_places: bool = False) -> Dataset:
    """Stores documents on disk and returns them as a memory-mapped data set, one row each.

    The file is named by the hashes of its first batch and of its content. Files with the same first batch are compared
    with the texts batch by batch, and a file is written only if none matches. Processes that read the same text later
    write nothing, a complete cache may be read-only, and a damaged file is replaced.

    Args:
        texts: documents; `PlacedText` with `with_places`.
        folder: of the file.
        with_places: adds the column `PLACE`.
    """
    batches = _make_batches(texts, with_places)
    first = batch = next(batches, None)
    if first is None:
        return make_documents([], [] if with_places else None)
    prefix = hashlib.sha256(first.serialize()).hexdigest()[:16]
    known = {path: _read_batches(path) for path in sorted(folder.glob(f"{prefix}-*.arrow"))}
    begins_alike: Iterable[pa.RecordBatch] = ()
    for number in count():
        alike = [path for path, found in known.items() if next(found, None) == batch]  # None after the last batch
        if not alike:
            break
        if batch is None:
            return Dataset.from_file(str(alike[0]))
        known, begins_alike = {path: known[path] for path in alike}, islice(_read_batches(alike[0]), number + 1)
        batch = next(batches, None)
    rest = () if batch is None else chain([batch], batches)
    return Dataset.from_file(str(_write(chain(begins_alike, rest), first.schema, folder, prefix)))


def store_lines(documents: Dataset, folder: Path) -> Dataset:
    """Stores each line of each document as a document, as `store_texts` does."""
    return store_texts(split_lines(documents), folder, PLACE in documents.column_names)


def _make_batches(texts: Iterable[str], with_places: bool) -> Iterator[pa.RecordBatch]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= BATCH_CHARACTERS or len(batch) == BATCH_TEXTS:
            yield _make_batch(batch, with_places)
            batch, size = [], 0
    if batch:
        yield _make_batch(batch, with_places)


def _make_batch(texts: list[str], with_places: bool) -> pa.RecordBatch:
    columns = {TEXT: texts} | ({PLACE: [text.place for text in texts]} if with_places else {})  # type: ignore[attr-defined]
    return pa.RecordBatch.from_arrays([pa.array(column, pa.string()) for column in columns.values()], [*columns])


def _read_batches(path: Path) -> Iterator[pa.RecordBatch | bool]:
    """The batches of a file; False where it is damaged, which equals neither a batch nor the end."""
    try:
        with pa.memory_map(str(path)) as file:
            yield from pa.ipc.open_stream(file)
    except (pa.ArrowInvalid, OSError):
        yield False


def _write(batches: Iterable[pa.RecordBatch], schema: pa.Schema, folder: Path, prefix: str) -> Path:
    digest = hashlib.sha256()
    with explain_disk_errors(folder), take_up_file(folder) as unfinished, pa.OSFile(str(unfinished), "wb") as file:
        writer = pa.ipc.new_stream(file, schema)
        for batch in batches:
            digest.update(batch.serialize())
            writer.write_batch(batch)
        writer.close()
        path = folder / f"{prefix}-{digest.hexdigest()[:32]}.arrow"
        unfinished.replace(path)
    return path
