"""`python -m lit_mlm tag`: tags texts, sentences of words, or the words of a column file."""

import re
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.style import Style

from lit_mlm.cli.plain import CommandParser, format_json, print_error, print_result
from lit_mlm.errors import InputError, escape_controls
from lit_mlm.inference.tag import Entity, TaggedText, find_tags, load_tagger
from lit_mlm.text.tables import format_table

TEXTS_AT_A_TIME, CHARACTERS_AT_A_TIME = 256, 2**20
"""Results are printed once either is reached, not at the end of the input."""

COLOURS = ("green", "blue", "magenta", "cyan", "yellow", "red")
"""Of the entity types, in order of appearance."""

Source = str | Sequence[str]
"""A text, or the words of a sentence."""


def make_parser() -> CommandParser:
    """Makes the parser of the command."""
    parser = CommandParser(prog="python -m lit_mlm tag", description="Tag the words of texts or of a column file.")
    parser.add_argument("--model", required=True, help="name on the Hub, folder, or folder of a run")
    parser.add_argument("--revision", help="of a model on the Hub")
    parser.add_argument(
        "--allow_pickle", action="store_true", help="read pickled weights where there are no safetensors"
    )
    parser.add_argument("--trust_remote_code", action="store_true", help="run the model's own code, at one --revision")
    parser.add_argument(
        "--file",
        nargs="+",
        metavar="FILE",
        help="tag each line of .txt files, and each record of .jsonl files: its text, or its tokens as words",
    )
    parser.add_argument("--columns", metavar="FILE", help="append a column of tags for the words in another column")
    parser.add_argument(
        "--word_column", metavar="COLUMN", help="number of the column of words in --columns, or its name in a header"
    )
    parser.add_argument(
        "--tag_column", metavar="COLUMN", help="the same of right tags, which are repeated before those that are found"
    )
    parser.add_argument("--encoding", default="utf-8", help="of files and standard input; default utf-8")
    parser.add_argument("--words", action="store_true", help="split texts at white space only")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object per text; default off a terminal")
    form.add_argument("--text", action="store_true", help="print texts and their entities; default on a terminal")
    parser.add_argument("texts", nargs="*", help="texts; default: the lines of standard input")
    return parser


def main(args: Sequence[str]) -> None:
    """Runs the command.

    Args:
        args: the command line after ``tag``.
    """
    options = make_parser().parse_intermixed_args(args)
    sources = {"--columns": options.columns, "--file": options.file and options.file[0], "--words": options.words}
    given = [name if value is True else f"{name} {value}" for name, value in sources.items() if value]
    if options.columns is not None and len(given) > 1:
        raise InputError(f"{given[0]} and {given[1]} are mutually exclusive")
    if (options.columns or options.file) and options.texts:
        raise InputError(f"{given[0]} and texts are mutually exclusive, got {options.texts[0]!r}")
    if options.columns is not None:
        _tag_columns(options)
        return
    for name in ("word_column", "tag_column"):
        if getattr(options, name) is not None:
            raise InputError(f"--{name} {getattr(options, name)} has no effect without --columns")
    texts: list[Source] = list(options.texts or _read_inputs(options))
    if not texts:
        raise InputError("no text to tag: give texts as arguments, on standard input, or in --file or --columns")
    net, tokenizer = load_tagger(options.model, options.revision, options.allow_pickle, options.trust_remote_code)
    as_json = options.json or not (options.text or sys.stdout.isatty())
    console = Console()
    styles: dict[str, Style] | None = {} if console.color_system and not console.no_color else None
    indices = iter(range(len(texts)))
    for batch in batch_texts(texts):
        tagged = find_tags(net, tokenizer, batch, is_split=options.words)
        for text, found in zip(batch, tagged, strict=True):
            record = make_record(next(indices), found, isinstance(text, str), options.words)
            line = format_json(record) if as_json else format_text(found.text, found.entities, styles)
            print_result(line, is_escaped=not as_json)


def batch_texts(texts: Sequence[Source]) -> Iterator[Sequence[Source]]:
    """Yields texts in batches."""
    sizes = [len(text) if isinstance(text, str) else sum(map(len, text)) for text in texts]
    first = size = 0
    for number, more in enumerate(sizes):
        if number > first and (number - first == TEXTS_AT_A_TIME or size + more > CHARACTERS_AT_A_TIME):
            yield texts[first:number]
            first, size = number, 0
        size += more
    if texts:
        yield texts[first:]


def make_record(index: int, found: TaggedText, is_text: bool, is_split: bool) -> dict[str, Any]:
    """Makes a JSON record: its index, the text or words that were given, tags of given words, and entities.

    ``start`` and ``end`` of an entity are character offsets; words without a text are joined by single spaces.

    Args:
        index: of the text or sentence in the input, from 0.
        found: tags of a text or of words.
        is_text: whether a text was given.
        is_split: whether the text was split at white space.
    """
    words = {"words": found.words, "tags": found.tags} if is_split or not is_text else {}
    return {"index": index} | ({"text": found.text} if is_text else {}) | words | {"entities": found.entities}


def format_text(text: str, entities: list[Entity], styles: dict[str, Style] | None = None) -> str:
    """Formats a text or tagged words, and a table of its entities: type, score, characters, text; escapes controls.

    Args:
        text: any.
        entities: of the text.
        styles: of the types so far, to which new ones are added; None for no colours.
    """
    columns = (("", e["type"], f"{e['score']:.3f}", f"{e['start']}:{e['end']}", e["text"]) for e in entities)
    rows = [[*map(escape_controls, row)] for row in columns]
    first = escape_controls(text) if styles is None else colour_text(text, entities, styles)
    return "\n".join([first, *format_table(rows, "<<>><")])


def colour_text(text: str, entities: list[Entity], styles: dict[str, Style]) -> str:
    """Colours each entity by its type, and appends the type, for a terminal; escapes the controls of the text."""
    parts, end = [], 0
    for entity in entities:
        style = styles.setdefault(entity["type"], Style(color=COLOURS[len(styles) % len(COLOURS)]))
        entity_text = (style + Style(bold=True)).render(escape_controls(entity["text"]))
        kind = style.render(escape_controls(f" {entity['type']}"))
        parts += [escape_controls(text[end : entity["start"]]), entity_text, kind]
        end = entity["end"]
    return "".join([*parts, escape_controls(text[end:])])


def _read_inputs(options: Any) -> Iterator[Source]:
    """Yields the texts of the files, or the lines of standard input; empty ones too, so that all keep their places."""
    # Lazy, as below: tagging an argument needs no data readers.
    from lit_mlm.data.reading.files import check_encoding, find_files, get_kind, read_bytes

    check_encoding(options.encoding, "--encoding")
    if options.file is None:
        lines = list(_read_lines(Path("standard input"), sys.stdin.buffer.read(), options.encoding))
        yield from lines if any(line.strip() for line in lines) else ()
        return
    from lit_mlm.data.reading.readers import get_text, read_rows

    for file in find_files(options.file, "--file"):
        if get_kind(file) == ".txt":
            yield from _read_lines(file, read_bytes(file), options.encoding)
            continue
        for row in read_rows(file, options.encoding, on_bad=_refuse):
            tokens = row.fields.get("tokens")
            if tokens is None or ("text" in row.fields and not options.words):
                text = row.fields.get("text", "missing")
                yield (text or "") if text is None or not str(text).strip() else get_text(row, "text")
            elif isinstance(tokens, list) and all(isinstance(token, str) for token in tokens):
                yield tokens
            else:
                raise InputError(f"{row.place}: the column 'tokens' must hold a list of words, got {tokens!r:.60}")


def _read_lines(path: Path, content: bytes, encoding: str) -> Iterator[str]:
    """Yields the lines of a text, without the empty one after a last line feed."""
    from lit_mlm.data.reading.files import decode_lines

    lines = list(decode_lines(path, content, encoding))
    for line in lines if lines[-1].text else lines[:-1]:
        if line.bad:
            _refuse(line.bad)
        yield line.text


def _refuse(record: InputError) -> None:
    """Raises a bad record, with the names of the options of this command."""
    raise InputError(_name_options(record)) from record


def _tell(note: str) -> None:
    """Prints what was recognised in a column file, on standard error."""
    print_error(_name_options(note))


def _name_options(message: object) -> str:
    """A message of the data readers, with the names of the options of this command."""
    return re.sub(r"data\.(encoding|word_column|tag_column)\b", r"--\1", str(message))


def _tag_columns(options: Any) -> None:
    """Prints a column file with an additional column of predicted tags."""
    from lit_mlm.data.reading.files import check_encoding, read_bytes
    from lit_mlm.data.tagged.columns import append_column, parse_columns
    from lit_mlm.data.tagged.layouts import ColumnOptions
    from lit_mlm.data.tagged.sentences import number_documents

    check_encoding(options.encoding, "--encoding")
    path = Path(options.columns).expanduser()
    names = (options.word_column, options.tag_column)
    try:
        columns = ColumnOptions(*(int(name) if name and name.isdecimal() else name for name in names))
        content = read_bytes(path)
        sentences = list(parse_columns(path, content, "first", options.encoding, _refuse, columns, _tell))
    except InputError as error:
        raise InputError(f"--columns {_name_options(error)}") from error
    if not sentences:
        raise InputError(f"--columns {options.columns} has no words")
    net, tokenizer = load_tagger(options.model, options.revision, options.allow_pickle, options.trust_remote_code)
    documents = number_documents(sentences).tolist() if sentences[0].document is not None else None
    tagged = find_tags(net, tokenizer, [sentence.words for sentence in sentences], documents)
    lines = append_column(content, chain.from_iterable(found.tags for found in tagged), options.encoding, columns)
    records = (format_json(make_record(index, found, False, True)) for index, found in enumerate(tagged))
    for line in records if options.json else lines:
        print_result(line, is_escaped=not (options.json or sys.stdout.isatty()))  # a file keeps its characters
