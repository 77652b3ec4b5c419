"""Sentences of words and tags, from JSON lines and from the Hub."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import ClassLabel

from lit_mlm.data.reading.files import BadRecordError, OnBad, map_records, refuse
from lit_mlm.data.reading.hub import load_split
from lit_mlm.data.reading.readers import Row, read_rows
from lit_mlm.errors import InputError, suggest
from lit_mlm.text.blocks import IntArray


@dataclass(frozen=True)
class TaggedSentence:
    """A sentence, and where it stands.

    Attributes:
        words: as they are in the file.
        tags: one for each word.
        place: the file, or the row, for messages.
        first_line: the line of the first word in a file that has a word a line; None in other kinds.
        document: the same number for all sentences of a document, which stand next to each other; None where the
            boundaries of documents are not known.
    """

    words: Sequence[str]
    tags: Sequence[str]
    place: str
    first_line: int | None = None
    document: int | None = None

    def locate(self, word: int) -> str:
        """Where a word stands, for messages."""
        if self.first_line is None:
            return f"{self.place}, word {word + 1} ({self.words[word]!r})"
        return f"{self.place}, line {self.first_line + word} ({self.words[word]!r})"


def hash_sentences(sentences: Iterable[TaggedSentence]) -> str:
    """SHA-256 (hex) of words, tags and the boundaries of documents."""
    digest, before = hashlib.sha256(), None
    for sentence in sentences:
        content = [list(sentence.words), list(sentence.tags), sentence.document != before]
        digest.update(json.dumps(content).encode() + b"\n")
        before = sentence.document
    return digest.hexdigest()


def number_documents(sentences: Sequence[TaggedSentence]) -> IntArray:
    """The document of each sentence, shape (S,).

    Raises:
        InputError: if that of a sentence is not known, so that context can't be taken from it.
    """
    documents = [sentence.document for sentence in sentences]
    if None in documents:
        place = sentences[documents.index(None)].place
        raise InputError(
            f"data.context_tokens needs the boundaries of documents, which {place} does not have: column files "
            "mark them with -DOCSTART- lines"
        )
    return np.array(documents, dtype=np.int64)


def make_sentence(row: Row, words_column: str, tags_column: str, names: Sequence[str] | None = None) -> TaggedSentence:
    """Words and tags of a record; raises a `BadRecordError` where they can't be.

    Args:
        row: its two columns hold lists.
        words_column: the column with the words.
        tags_column: the column with the tags, or with numbers for them.
        names: of the tags that are numbers, by number.
    """
    for option, column in (("words_column", words_column), ("tags_column", tags_column)):
        if column not in row.fields:
            known = ", ".join(map(repr, row.fields))
            raise BadRecordError(
                f"{row.place}: no column {column!r}, only {known}; say which one with data.{option}"
                f"{suggest(column, row.fields)}"
            )
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


def read_sentences(
    path: Path,
    words_column: str,
    tags_column: str,
    encoding: str = "utf-8",
    names: Sequence[str] | None = None,
    on_bad: OnBad = refuse,
) -> Iterator[TaggedSentence]:
    """The sentences of a file of records, one a record: JSON lines, a JSON array, or Parquet.

    Args:
        path: of one of these kinds.
        words_column: the column with the words.
        tags_column: the column with the tags.
        encoding: of all but Parquet.
        names: of tags that are numbers, by number.
        on_bad: gets what can't be read.
    """
    columns = words_column, tags_column, names
    return map_records(lambda row: make_sentence(row, *columns), read_rows(path, encoding, on_bad=on_bad), on_bad)


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
    """The sentences of a split on the Hub, or of a copy of it, one a row.

    Args:
        dataset: id on the Hub, or folder.
        split: its name there.
        words_column: the column with the words.
        tags_column: the column with the tags.
        revision: of an id on the Hub.
        subset: the name of the configuration, where the data set has several.
        names: of tags that are numbers, by number; by default the data set's own.
        on_bad: gets what can't be read.
    """
    rows = load_split(dataset, split, revision, subset)
    for option, column in (("words_column", words_column), ("tags_column", tags_column)):
        if column not in rows.column_names:
            raise InputError(
                f"{dataset}, {split} has no column {column!r}, only {', '.join(map(repr, rows.column_names))}; say "
                f"which one with data.{option}{suggest(column, rows.column_names)}"
            )
    kind = getattr(rows.features[tags_column], "feature", None)
    if isinstance(kind, ClassLabel):
        names = kind.names
    numbered = enumerate(rows.select_columns([words_column, tags_column]), start=1)
    found = (Row(f"{dataset}, {split}, row {number}", fields) for number, fields in numbered)
    return map_records(lambda row: make_sentence(row, words_column, tags_column, names), found, on_bad)


def _name_tag(tag: Any, names: Sequence[str] | None) -> str | None:
    """The name of a tag, None where it has none."""
    if isinstance(tag, str):
        return tag
    is_number = isinstance(tag, int) and not isinstance(tag, bool)
    return names[tag] if is_number and names is not None and 0 <= tag < len(names) else None


def _say_expected(tag: Any, names: Sequence[str] | None) -> str:
    if not isinstance(tag, int):
        return f"expected a tag, got {tag!r:.60}"
    if names is None:
        return f"the tag is the number {tag}, whose name is not known; give all names in their order with data.labels"
    return f"the tag is the number {tag}, but there are {len(names)} names: {', '.join(names)}"
