"""Layouts of column files: which columns hold words and tags, recognised or by option."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from lit_mlm.data.reading.files import Line
from lit_mlm.errors import InputError, suggest
from lit_mlm.options import Count, DataOptions
from lit_mlm.text.tagging.schemes import has_prefix
from lit_mlm.text.tagging.spelling import respell_tag

Column = Literal["first", "second", "third", "last"]
"""The column of the tags where the first one has the words; ``first`` if there may be no tags."""

Fields = Sequence[str]

_BOUNDARY = re.compile(r"-DOCSTART-?(?=\s|$)|#begin document|###MEDLINE:|#\s*newdoc\b|#\s*([\w-]+:)?document_id\s*=")
_GLOBAL_NAMES = re.compile(r"#\s*global\.columns\s*=\s*(.+)")
_NUMBER = re.compile(r"[0-9]{1,7}")
_LANGUAGE = re.compile(r"[a-z][a-z_-]{1,11}:(?=.)")
_JOINED = {"/": re.compile(r"\S+/[^\s/]+"), "_": re.compile(r"\S+_[^\s_]+")}

_RANGE_OR_NODE = re.compile(r"[0-9]+[-.][0-9]+")
_LEAST: dict[Column, int] = {"first": 1, "second": 2, "third": 3, "last": 2}
_CONLL_2012 = 12  # least columns
_OVERRIDE = "data.word_column and data.tag_column choose others"

WORD_NAMES = ("form", "token", "tokens", "word", "words")
TAG_NAMES: dict[Column, tuple[str, ...]] = {
    "first": (),
    "second": ("upos", "pos", "pos_tag", "pos_tags"),
    "third": ("chunk", "chunk_tag", "chunk_tags"),
    "last": ("ner", "ner_tag", "ner_tags", "ne", "ne-coarse-lit", "tag", "tags", "label", "labels"),
}
"""Names of columns in a header, in lower case."""


@dataclass(frozen=True)
class ColumnOptions(DataOptions):
    """Options of column files; the sentences that they give are part of the fingerprint.

    Attributes:
        word_column: number of the column of words, from 1, or its name in a header; by default recognised.
        tag_column: the same of the tags.
    """

    word_column: Count | str | None = None
    tag_column: Count | str | None = None


@dataclass(frozen=True)
class Layout:
    """The layout of a column file.

    Attributes:
        separator: of columns; ``/`` or ``_`` joins a word and its tag, with a sentence on each line.
        word: index of the column of words.
        tag: index of the column of tags.
        least: fewest columns of a line.
        num_columns: of every line, as in the line `first`; 0 if no line has enough columns.
        first: line, from 1.
        header: line that names the columns; None without one.
        tags: all values of the column of tags.
        is_counted: whether the first column counts words.
        is_ragged: whether sentences may differ in their number of columns.
        prefix: of every word, left out.
        note: what was recognised, for a message; empty for words in the first column.
    """

    separator: str = " "
    word: int = 0
    tag: int = -1
    least: int = 2
    num_columns: int = 0
    first: int = 0
    header: int | None = None
    tags: frozenset[str] = frozenset()
    is_counted: bool = False
    is_ragged: bool = False
    prefix: str = ""
    note: str = ""

    @property
    def is_joined(self) -> bool:
        """Whether each line is a sentence of words joined with their tags."""
        return self.separator in _JOINED

    def split(self, text: str) -> list[str]:
        """The columns of a line: separated by tabs, so that words may contain spaces, or by any number of spaces."""
        if self.separator == "\t":
            return text.split("\t")
        return [field for field in text.split(" ") if field]


class _Table(NamedTuple):
    """The lines of a file that may hold words, as columns.

    Attributes:
        path: of the file.
        lines: all of it.
        rows: the columns of a line by its number, without comments that start with ``#``, boundaries and the header.
        full: rows with as many columns as the first complete one.
        width: their number of columns; 0 without any.
        column: of the tags, by default.
        names: of the columns, from a header; empty without one.
        is_ragged: whether it is laid out as CoNLL-2012.
        is_counted: whether the first column counts words.
    """

    path: object
    lines: Sequence[Line]
    rows: Mapping[int, Fields]
    full: Sequence[Fields]
    width: int
    column: Column
    names: Fields
    is_ragged: bool
    is_counted: bool


class _Found(NamedTuple):
    """Indices of columns, and how they were recognised; None for those that are where the task has them."""

    word: int | None = None
    tag: int | None = None
    reason: str = ""


def is_boundary(text: str) -> bool:
    """Whether a line starts a document.

    >>> [is_boundary(line) for line in ("-DOCSTART- O", "# newdoc id = a", "#begin document (a); part 000", "# text")]
    [True, True, True, False]
    """
    text = text.lstrip(" \t")
    return text[:1] in ("-", "#") and _BOUNDARY.match(text) is not None


def find_layout(path: object, lines: Sequence[Line], column: Column, options: ColumnOptions) -> Layout:
    """Recognises the layout of a file.

    Args:
        path: for messages.
        lines: of the file.
        column: of the tags, by default.
        options: override what is recognised.
    """
    texts = [line for line in lines if not line.bad and line.text.strip(" \t") and not is_boundary(line.text)]
    plain = [line for line in texts if not line.text.startswith("#")] or texts
    if not plain:
        return Layout()
    joiner = next((sign for sign, pattern in _JOINED.items() if _is_joined(plain, pattern)), None)
    if joiner is not None and column != "first" and options == ColumnOptions():
        return Layout(joiner, note=f"each line is a sentence, whose words and tags are joined by {joiner!r}")
    layout = Layout("\t" if "\t" in plain[0].text else " ")
    rows = {line.number: tuple(layout.split(line.text)) for line in plain}  # tuples cost the garbage collector less
    header, names = _find_names(texts, rows, options)
    if header is not None:
        del rows[header]
    return _place(_make_table(path, lines, rows, column, names), options, layout.separator, header)


def _make_table(
    path: object, lines: Sequence[Line], rows: Mapping[int, Fields], column: Column, names: Fields
) -> _Table:
    least = _LEAST[column]
    width = next((len(fields) for fields in rows.values() if len(fields) >= least), 0)
    is_ragged = width >= _CONLL_2012 and any(line.text.startswith("#begin document") for line in lines)
    full = [f for f in rows.values() if len(f) == (width or -1) or (is_ragged and len(f) >= _CONLL_2012)]
    is_counted = width >= (2 if column == "first" else 3) and _counts_words(lines, rows)
    return _Table(path, lines, rows, full, width, column, names, is_ragged, is_counted)


def _recognise(table: _Table, options: ColumnOptions) -> _Found:
    if table.names:
        lower = [name.lower() for name in table.names]
        word, tag = (
            next((lower.index(name) for name in known if name in lower), None)
            for known in (WORD_NAMES, TAG_NAMES[table.column])
        )
        found = _Found(word, tag, "it names its columns")
    elif table.is_ragged:
        found = _Found(3, {"last": 10, "second": 4}.get(table.column), "it is laid out as CoNLL-2012")
    elif options.tag_column is None and table.column in ("first", "last") and _has_tags_first(table.full):
        found = _Found(1, 0, "its first column has tags")
    else:
        found = _Found()
    is_counted = table.is_counted and found.word is None
    return found._replace(word=1, reason="its first column counts words") if is_counted else found


def _place(table: _Table, options: ColumnOptions, separator: str, header: int | None) -> Layout:
    """The layout of a file with columns."""
    found, width, column = _recognise(table, options), table.width, table.column
    word = _find_column(table, "word_column", options.word_column)
    tag = _find_column(table, "tag_column", options.tag_column)
    is_given = word is not None and tag is not None
    word = (found.word or 0) if word is None else word
    tag = found.tag if tag is None else tag
    tag = _choose_tags(table, word) if tag is None else tag
    if column != "first" and width > 1 and tag % width == word:
        raise InputError(f"{table.path}: column {word + 1} can't have both words and tags; {_OVERRIDE}")
    least = max(_LEAST[column], word + 1, tag + 1)
    first = next((number for number, fields in table.rows.items() if len(fields) >= least), 0)
    num_columns = 0 if table.is_ragged or not first else len(table.rows[first])
    notes = []
    if found.word and not is_given:
        tags = "" if column == "first" else f" and tags column {tag % width + 1}"
        notes.append(f"{found.reason}, so words are column {word + 1}{tags}; {_OVERRIDE}")
    prefix = _find_prefix([fields[word] for fields in table.full if len(fields) > word])
    if prefix:
        notes.append(f"every word starts with {prefix!r}, which is left out")
    last = -1 if tag == word else tag
    tags_found = frozenset(fields[last] for fields in table.full if len(fields) > last)
    columns = separator, word, tag, least, num_columns, first, header, tags_found
    return Layout(*columns, table.is_counted, table.is_ragged, prefix, "; ".join(notes))


def _is_joined(lines: Sequence[Line], pattern: re.Pattern[str]) -> bool:
    longest = 0
    for line in lines:
        tokens = line.text.split()
        if not all(map(pattern.fullmatch, tokens)):
            return False
        longest = max(longest, len(tokens))
    return longest > 1


def _find_names(texts: Sequence[Line], rows: Mapping[int, Fields], options: ColumnOptions) -> tuple[int | None, Fields]:
    """The line of the header, and the names of the columns; a comment of CoNLL-U Plus names them, too."""
    for line in texts:
        match = _GLOBAL_NAMES.match(line.text)
        if match:
            return None, match[1].split()
    number, fields = next(iter(rows.items()))
    wanted = {name for name in (options.word_column, options.tag_column) if isinstance(name, str)}
    lower = {field.lower() for field in fields}
    is_header = bool(lower & {*WORD_NAMES}) and any(lower & {*names} for names in TAG_NAMES.values())
    return (number, fields) if is_header or wanted & set(fields) else (None, ())


def _find_column(table: _Table, option: str, value: int | str | None) -> int | None:
    """The index of the column that an option names."""
    if isinstance(value, str):
        if value in table.names:
            return list(table.names).index(value)
        known = f"its columns are {', '.join(table.names)}" if table.names else "it has no header, so give a number"
        raise InputError(f"data.{option} {value} names no column of {table.path}: {known}{suggest(value, table.names)}")
    widest = max(map(len, table.rows.values()), default=0)
    if value is not None and value > widest:
        raise InputError(f"data.{option} is {value}, but {table.path} has {widest} columns")
    return None if value is None else value - 1


def _counts_words(lines: Sequence[Line], rows: Mapping[int, Fields]) -> bool:
    """Whether the first column counts words: nine of ten are numbers that grow in a sentence, somewhere by 1."""
    before: int | None = None
    num_numbers = num_pairs = num_growing = num_right = 0
    for line in lines:
        if line.number not in rows:
            before = before if line.text.startswith("#") else None
            continue
        first = rows[line.number][0]
        is_number = _NUMBER.fullmatch(first) is not None
        num_numbers += is_number or _RANGE_OR_NODE.fullmatch(first) is not None
        if is_number:
            num_pairs += before is not None
            num_growing += before is not None and int(first) > before
            num_right += before is not None and int(first) == before + 1
            before = int(first)
    return num_right > 0 and 10 * num_growing >= 9 * num_pairs and 10 * num_numbers >= 9 * len(rows)


def is_range_or_node(field: str) -> bool:
    """Whether the number of a line in CoNLL-U is that of a multi-word token (``2-3``) or an empty node (``8.1``)."""
    return _RANGE_OR_NODE.fullmatch(field) is not None


def _has_tags_first(rows: Sequence[Fields]) -> bool:
    """Whether the first of two columns has tags with prefixes, and the second one does not."""
    first, second = ({respell_tag(fields[i]) for fields in rows if len(fields) == 2} for i in (0, 1))
    return any("-" in tag for tag in first) and all(map(_is_entity_tag, first)) and not all(map(_is_entity_tag, second))


def _is_entity_tag(tag: str) -> bool:
    return tag == "O" or has_prefix(tag)


def _choose_tags(table: _Table, word: int) -> int:
    """The index of the column of tags, without an option or a header.

    It is relative to the words. In CoNLL-U (ten columns) parts of speech are behind the lemma. Where the first column
    counts words, as in GermEval 2014, entities are the first column that is mostly ``O``.
    """
    if table.column == "first":
        return word
    if table.column != "last":
        is_conllu = table.is_counted and word == 1 and table.width == 10
        return word + (2 if is_conllu or table.column == "third" else 1)
    for index in range(word + 1, table.width if table.is_counted else 0):
        tags = Counter(respell_tag(fields[index]) for fields in table.full)
        if tags.most_common(1)[0][0] == "O":
            return index
    return -1


def _find_prefix(words: Sequence[str]) -> str:
    """The language that precedes every word, as in WikiANN (``en:``); empty if there is none."""
    match = _LANGUAGE.match(words[0]) if len(words) > 1 else None
    return match[0] if match and all(word.startswith(match[0]) and word != match[0] for word in words) else ""
