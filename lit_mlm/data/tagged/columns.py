"""Column files in the layout of the CoNLL shared tasks: one word per line, with its tags in columns."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Literal, NamedTuple

from lit_mlm.data.reading.files import BadRecordError, Line, OnBad, decode_lines, read_bytes, refuse
from lit_mlm.data.reading.reports import warn
from lit_mlm.data.tagged.layouts import Column, ColumnOptions, Layout, find_layout, is_boundary, is_range_or_node
from lit_mlm.data.tagged.sentences import TaggedSentence
from lit_mlm.text.tagging.schemes import has_prefix
from lit_mlm.text.tagging.spelling import respell_tag

Tell = Callable[[str], object]
"""Takes a message about the layout of a file."""

BY_DEFAULT = ColumnOptions()


class Part(NamedTuple):
    """A line of a column file: its columns if it is a word, or what is wrong with it."""

    line: Line
    kind: Literal["word", "blank", "boundary", "comment", "header", "bad"]
    fields: Sequence[str] = ()
    bad: BadRecordError | None = None


def read_columns(
    path: Path,
    column: Column = "last",
    encoding: str = "utf-8",
    on_bad: OnBad = refuse,
    options: ColumnOptions = BY_DEFAULT,
    tell: Tell = warn,
) -> Iterator[TaggedSentence]:
    """Yields the sentences of a file, as in `parse_columns`.

    Args:
        path: compressed or not.
        column: of the tags, where the first column has the words and no option says otherwise; ``first``, the words
            themselves, if there may be no tags.
        encoding: of the file.
        on_bad: takes the file, or the first bad line of a sentence, which is skipped as a whole.
        options: the columns of words and tags.
        tell: takes a line about a layout in which the words are not the first column.
    """
    try:
        content = read_bytes(path)
    except BadRecordError as error:
        on_bad(error)
        return
    yield from parse_columns(path, content, column, encoding, on_bad, options, tell)


def parse_columns(
    path: Path,
    content: bytes,
    column: Column,
    encoding: str,
    on_bad: OnBad = refuse,
    options: ColumnOptions = BY_DEFAULT,
    tell: Tell = warn,
) -> Iterator[TaggedSentence]:
    r"""Yields the sentences of the decompressed content of a file, which are separated by blank lines.

    Columns are separated by tabs if the first word's line has one, so that words may contain spaces, else by spaces.
    `find_layout` recognises which ones hold words and tags. All lines have as many columns as the first, except
    comments (``# ...``). A line that starts a document (`is_boundary`) belongs to no sentence; without such lines,
    `TaggedSentence.document` is None. The other arguments are those of `read_columns`.

    >>> [(s.words, s.tags) for s in parse_columns(Path("a.txt"), b"EU B-ORG\n. O\n\nOh O\n", "last", "utf-8")]
    [(['EU', '.'], ['B-ORG', 'O']), (['Oh'], ['O'])]
    """
    lines = list(decode_lines(path, content, encoding))
    layout = find_layout(path, lines, column, options)
    if layout.note:
        tell(f"{path}: {layout.note}")
    if layout.is_joined:
        yield from _parse_joined(path, lines, layout.separator, on_bad)
        return
    document = 0 if any(is_boundary(line.text) for line in lines) else None
    words: list[str] = []
    tags: list[str] = []
    numbers: list[int] = []
    bad: BadRecordError | None = None
    for part in chain(parse_lines(path, lines, layout), [Part(Line(0, ""), "blank")]):
        if part.kind == "word":
            words.append(part.fields[layout.word].removeprefix(layout.prefix))
            tags.append(part.fields[layout.tag])
            numbers.append(part.line.number)
        elif part.kind == "bad":
            bad = bad or part.bad
        elif part.kind in ("blank", "boundary"):
            if bad is not None:
                on_bad(bad)
            elif words:
                is_gapless = numbers[-1] - numbers[0] == len(numbers) - 1
                yield TaggedSentence(words, tags, str(path), numbers[0], document, None if is_gapless else numbers)
            words, tags, numbers, bad = [], [], [], None
            if part.kind == "boundary":
                document = 0 if document is None else document + 1


def parse_lines(path: Path, lines: Iterable[Line], layout: Layout) -> Iterator[Part]:
    """Yields each line as what it is; `path` is for messages."""
    num_columns, first, at_start = layout.num_columns, layout.first, True
    for line in lines:
        fields = layout.split(line.text)
        if line.bad:
            part = Part(line, "bad", bad=line.bad)
        elif not line.text.strip(" \t"):
            part = Part(line, "blank")
        elif is_boundary(line.text):
            part = Part(line, "boundary")
        elif line.number == layout.header:
            part = Part(line, "header", fields)
        elif _is_comment(line.text, fields, layout, num_columns, at_start):
            part = Part(line, "comment")
        else:
            problem = _find_problem(fields, layout, num_columns, first)
            message = f"{path}, line {line.number}: {problem}: {line.text!r:.60}"
            part = Part(line, "bad", bad=BadRecordError(message)) if problem else Part(line, "word", fields)
        yield part
        if part.kind in ("blank", "boundary"):
            at_start = True
            num_columns, first = (0, 0) if layout.is_ragged else (num_columns, first)
        elif part.kind in ("word", "bad"):
            if at_start and layout.is_ragged:
                num_columns, first = len(fields), line.number
            at_start = False


def append_column(
    content: bytes, tags: Iterable[str], encoding: str, options: ColumnOptions = BY_DEFAULT
) -> Iterator[str]:
    """Yields the lines of a file for `parse_columns` with another column.

    Boundaries of documents like ``-DOCSTART-`` get ``O``, a header ``predicted``; comments stay as they are. If
    `options` name a column of tags that is not the last, it is repeated before the new one, since conlleval reads the
    last two.
    """
    lines = list(decode_lines(Path(), content, encoding))
    layout, rest = find_layout("the file", lines, "first", options), iter(tags)
    for part in parse_lines(Path(), lines if lines[-1].text else lines[:-1], layout):
        text, fields = part.line.text, part.fields
        if part.kind == "boundary" and not text.lstrip(" \t").startswith("#"):
            fields = layout.split(text)
        if fields:
            is_last = options.tag_column is None or layout.tag in (-1, layout.num_columns - 1)
            gold = [] if is_last else [fields[layout.tag] if layout.tag < len(fields) else "O"]
            new = next(rest) if part.kind == "word" else "predicted" if part.kind == "header" else "O"
            yield layout.separator.join([*fields, *gold, new])
        else:
            yield "" if part.kind == "blank" else text


def _parse_joined(path: Path, lines: Iterable[Line], sign: str, on_bad: OnBad) -> Iterator[TaggedSentence]:
    """Yields a sentence for each line of words joined with their tags, as in the Brown corpus."""
    for line in lines:
        pairs = [token.rpartition(sign) for token in line.text.split()]
        if line.bad:
            on_bad(line.bad)
        elif pairs and not is_boundary(line.text):
            words, _, tags = zip(*pairs, strict=True)
            yield TaggedSentence(list(words), list(tags), f"{path}, line {line.number}")


def _is_comment(text: str, fields: Sequence[str], layout: Layout, num_columns: int, at_start: bool) -> bool:
    """Whether a line is no word: a comment, or a range or empty node of CoNLL-U.

    A comment is told from the word ``#`` by its number of columns, or else by a tag that no other word has.
    """
    if layout.is_counted and layout.word != 0 and is_range_or_node(fields[0]):
        return True
    if not text.startswith("#"):
        return False
    if layout.is_counted or text.startswith("#end document"):
        return True
    if re.match(r"#\s+\S", text) is None:
        return False
    if num_columns and len(fields) != num_columns:
        return at_start or re.match(r"#\s+[\w.:-]+\s*=", text) is not None
    tag = fields[layout.tag if layout.tag != layout.word else -1]
    return at_start and tag not in layout.tags and tag != "#" and not has_prefix(respell_tag(tag))


def _find_problem(fields: Sequence[str], layout: Layout, num_columns: int, first: int) -> str | None:
    """The problem of a line; None if it is valid."""
    kind = "tabs" if layout.separator == "\t" else "spaces"
    if len(fields) != (num_columns or max(layout.least, len(fields))):
        expected = f"{num_columns}, as line {first} has"
        expected = expected if first else f"at least {layout.least}, a word and its tags"
        columns = "1 column" if len(fields) == 1 else f"{len(fields)} columns"
        return f"{columns} separated by {kind}, expected {expected}"
    if not fields[layout.word]:
        return f"column {layout.word + 1} is empty, expected a word"
    if layout.tag != layout.word and not fields[layout.tag].strip():
        return f"column {layout.tag % len(fields) + 1} is empty, expected a tag"
    return None
