"""Tagged sentences, from JSON lines, Parquet and the Hub."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import ClassLabel

from lit_mlm.data.reading.files import BadRecordError, OnBad, map_records, refuse
from lit_mlm.data.reading.hub import load_split
from lit_mlm.data.reading.readers import Row, describe_missing, read_rows
from lit_mlm.data.reading.reports import warn
from lit_mlm.data.tagged.spans import SPAN_FIELDS, SpanReader
from lit_mlm.errors import InputError
from lit_mlm.text.arrays import IntArray


@dataclass(frozen=True)
class TaggedSentence:
    """A tagged sentence and its place.

    Attributes:
        words: as in the file.
        tags: one per word.
        place: file or row, for messages.
        first_line: line of the first word in a column file; None for other files.
        document: number shared by the consecutive sentences of a document; None if documents have no boundaries.
        lines: of the words in a column file, if there are other lines between them.
        gold: valid tags of a sentence to predict, whose `tags` are blank; None if unknown.
    """

    words: Sequence[str]
    tags: Sequence[str]
    place: str
    first_line: int | None = None
    document: int | None = None
    lines: Sequence[int] | None = None
    gold: Sequence[str] | None = None

    def locate(self, word: int) -> str:
        """The place of a word, for messages."""
        if self.first_line is None:
            return f"{self.place}, word {word + 1} ({self.words[word]!r})"
        line = self.first_line + word if self.lines is None else self.lines[word]
        return f"{self.place}, line {line} ({self.words[word]!r})"


def hash_sentences(sentences: Iterable[TaggedSentence]) -> str:
    """SHA-256 (hex) of words, tags and document boundaries."""
    digest, before = hashlib.sha256(), None
    for sentence in sentences:
        content = [list(sentence.words), list(sentence.tags), sentence.document != before]
        digest.update(json.dumps(content).encode() + b"\n")
        before = sentence.document
    return digest.hexdigest()


def number_documents(sentences: Sequence[TaggedSentence]) -> IntArray:
    """The document of each sentence, shape (S,), which must be known."""
    documents = [sentence.document for sentence in sentences]
    if None in documents:
        place = sentences[documents.index(None)].place
        raise InputError(
            f"data.context_tokens needs document boundaries, which {place} does not have: column files mark them with "
            "-DOCSTART- lines, or # newdoc in CoNLL-U"
        )
    return np.array(documents, dtype=np.int64)


def make_sentence(row: Row, words_column: str, tags_column: str, names: Sequence[str] | None = None) -> TaggedSentence:
    """Makes a sentence of a record; raises a `BadRecordError` if it is not one.

    Args:
        row: with lists in two columns.
        words_column: column of the words.
        tags_column: column of the tags or their numbers.
        names: of the tags, by number.
    """
    for option, column in (("words_column", words_column), ("tags_column", tags_column)):
        if column not in row.fields:
            raise BadRecordError(f"{row.place}: {describe_missing(column, row.fields, option)}")
        if not isinstance(row.fields[column], list):
            raise BadRecordError(f"{row.place}: the column {column!r} must hold a list, got {row.fields[column]!r:.60}")
    words, tags = row.fields[words_column], row.fields[tags_column]
    if len(words) != len(tags):
        raise BadRecordError(f"{row.place}: {len(words)} words, but {len(tags)} tags")
    for i, word in enumerate(words):
        if not isinstance(word, str):
            raise BadRecordError(f"{row.place}, word {i + 1}: expected text, got {word!r:.60}")
    named: list[str] = []
    for i, tag in enumerate(tags):
        name = _name_tag(tag, names)
        if name is None:
            raise BadRecordError(f"{row.place}, word {i + 1} ({words[i]!r}): {_say_expected(tag, names)}")
        named.append(name)
    return TaggedSentence(words, named, row.place)


def hold_out(
    sentences: Sequence[TaggedSentence], fraction: float, seed: int
) -> tuple[list[TaggedSentence], list[TaggedSentence]]:
    """Splits sentences at random by document, or by sentence if there are not two documents.

    Args:
        sentences: in order, at least two.
        fraction: of the documents, or of the sentences, that are held out, at least one, in (0, 1).
        seed: of the choice.

    Returns:
        The rest and what is held out, each in order.
    """

    def choose(units: list[int]) -> list[int]:
        size = max(1, round(fraction * len(units)))
        if size >= len(units):
            few = f"{len(units)} sentences for training are too few to hold out {size} for validation"
            raise InputError(f"{few}; give data.val_files")
        return units[:size]

    return split_units(sentences, seed, choose)


def split_units(
    sentences: Sequence[TaggedSentence], seed: int, choose: Callable[[list[int]], Sequence[int]]
) -> tuple[list[TaggedSentence], list[TaggedSentence]]:
    """Splits sentences by document, or by sentence if there are not two documents.

    Args:
        sentences: in order.
        seed: of the order of the units.
        choose: takes the units in random order, and returns some of them.

    Returns:
        The rest, and the sentences of the chosen units, each in order.
    """
    documents = [sentence.document for sentence in sentences]
    units = list(range(len(sentences))) if None in documents or len(set(documents)) < 2 else documents
    names = list(dict.fromkeys(units))
    chosen = set(choose([names[i] for i in np.random.default_rng(seed).permutation(len(names)).tolist()]))
    rest = [sentence for sentence, unit in zip(sentences, units, strict=True) if unit not in chosen]
    return rest, [sentence for sentence, unit in zip(sentences, units, strict=True) if unit in chosen]


def read_sentences(
    path: Path,
    words_column: str,
    tags_column: str,
    encoding: str = "utf-8",
    names: Sequence[str] | None = None,
    on_bad: OnBad = refuse,
) -> Iterator[TaggedSentence]:
    """Yields the sentences of a file, one per record of JSON lines, a JSON array or Parquet.

    A record has lists in two columns as in `make_sentence`, or a text and labelled spans of characters, as annotation
    tools export them (`SpanReader`). A line tells of spans that don't fit words. The other arguments are those of
    `read_rows`.
    """
    spans = SpanReader((words_column, "text"), (tags_column, *SPAN_FIELDS))

    def read(row: Row) -> TaggedSentence | None:
        has_lists = isinstance(row.fields.get(words_column), list) and tags_column in row.fields
        if has_lists or not spans.fits(row):
            return make_sentence(row, words_column, tags_column, names)
        found = spans.read(row)
        return None if found is None else TaggedSentence(*found, row.place)

    found = map_records(read, read_rows(path, encoding, on_bad=on_bad), on_bad)
    yield from (sentence for sentence in found if sentence is not None)
    for note in spans.describe():
        warn("%s: %s", path, note)


def load_sentences(
    dataset: str,
    split: str,
    words_column: str,
    tags_column: str,
    revision: str | None = None,
    subset: str | None = None,
    names: Sequence[str] | None = None,
    on_bad: OnBad = refuse,
) -> Iterator[TaggedSentence]:
    """Yields the sentences of a split on the Hub or of a local copy, one per row.

    Columns and names, which the data set may have itself, are those of `make_sentence`, the other arguments those of
    `load_split`.
    """
    rows = load_split(dataset, split, revision, subset)
    for option, column in (("words_column", words_column), ("tags_column", tags_column)):
        if column not in rows.column_names:
            raise InputError(f"{dataset}, {split} has {describe_missing(column, rows.column_names, option)}")
    kind = getattr(rows.features[tags_column], "feature", None)
    if isinstance(kind, ClassLabel):
        names = kind.names
    numbered = enumerate(rows.select_columns([words_column, tags_column]), start=1)
    found = (Row(f"{dataset}, {split}, row {number}", fields) for number, fields in numbered)
    return map_records(lambda row: make_sentence(row, words_column, tags_column, names), found, on_bad)


def _name_tag(tag: Any, names: Sequence[str] | None) -> str | None:
    """The name of a tag; None if it has none."""
    if isinstance(tag, str):
        return tag
    is_number = isinstance(tag, int) and not isinstance(tag, bool)
    return names[tag] if is_number and names is not None and 0 <= tag < len(names) else None


def _say_expected(tag: Any, names: Sequence[str] | None) -> str:
    if not isinstance(tag, int):
        return f"expected a tag, got {tag!r:.60}"
    if names is None:
        return f"the tag is the number {tag}, without a name; give all names in order with data.labels"
    return f"the tag is the number {tag}, but there are {len(names)} names: {', '.join(names)}"
