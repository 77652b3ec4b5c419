"""`python -m lit_mlm tag`: tags texts, sentences of words, or the words of a column file."""

import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from rich.console import Console
from rich.style import Style

from lit_mlm.cli.plain import CommandParser, add_model_options, format_json, print_error, print_result
from lit_mlm.cli.texts import Source, add_text_options, batch_texts, name_options, read_text, read_texts, refuse
from lit_mlm.errors import InputError, escape_controls
from lit_mlm.inference.tag import Entity, TaggedText, check_options, find_tags, load_tagger
from lit_mlm.text.tables import format_table
from lit_mlm.text.tagging.aggregation import Aggregation

if TYPE_CHECKING:
    from lit_mlm.data.reading.readers import Row

COLOURS = ("green", "blue", "magenta", "cyan", "yellow", "red")
"""Of the entity types, in order of appearance."""


def make_parser() -> CommandParser:
    """Makes the parser of the command."""
    parser = CommandParser("tag", "Tag the words of texts or of a column file.")
    add_model_options(parser)
    add_text_options(
        parser, "tag each line of .txt files, and each record of .jsonl files: its text, or its tokens as words"
    )
    parser.add_argument("--columns", metavar="FILE", help="append a column of tags for the words in another column")
    parser.add_argument(
        "--word_column", metavar="COLUMN", help="number of the column of words in --columns, or its name in a header"
    )
    parser.add_argument(
        "--tag_column", metavar="COLUMN", help="the same of right tags, which are repeated before those that are found"
    )
    parser.add_argument("--words", action="store_true", help="split texts at white space only")
    parser.add_argument("--batch_size", type=int, help="rows per batch; by default batches are filled by tokens")
    parser.add_argument(
        "--stride", type=int, help="tokens that neighbouring windows of a long text share; default as in the model"
    )
    parser.add_argument(
        "--aggregation",
        choices=get_args(Aggregation),
        default="first",
        help="label words by their first tokens (default), their most certain ones, or the mean of their probabilities",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object per text; default off a terminal")
    form.add_argument("--text", action="store_true", help="print texts and their entities; default on a terminal")
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
    if options.columns and options.texts:
        raise InputError(f"{given[0]} and texts are mutually exclusive, got {options.texts[0]!r}")
    check_options(**_get_options(options), prefix="--")
    if options.columns is not None:
        _tag_columns(options)
        return
    for name in ("word_column", "tag_column"):
        if getattr(options, name) is not None:
            raise InputError(f"--{name} {getattr(options, name)} has no effect without --columns")
    texts = read_texts(options, "tag", lambda row: _read_source(row, options.words))
    net, tokenizer = load_tagger(options.model, options.revision, options.allow_pickle, options.trust_remote_code)
    as_json = options.json or not (options.text or sys.stdout.isatty())
    console = Console()
    styles: dict[str, Style] | None = {} if console.color_system and not console.no_color else None
    indices = iter(range(len(texts)))
    for batch in batch_texts(texts):
        tagged = find_tags(net, tokenizer, batch, is_split=options.words, **_get_options(options))
        for text, found in zip(batch, tagged, strict=True):
            record = make_record(next(indices), found, isinstance(text, str), options.words)
            line = format_json(record) if as_json else format_text(found.text, found.entities, styles)
            print_result(line, is_escaped=not as_json)


def _get_options(options: Any) -> dict[str, Any]:
    """The options of `find_tags`, by name."""
    return {name: getattr(options, name) for name in ("batch_size", "stride", "aggregation")}


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


def _read_source(row: "Row", is_split: bool) -> Source:
    """Returns the column ``text`` of a row, or ``tokens`` if there is no text or with `is_split`."""
    tokens = row.fields.get("tokens")
    if tokens is None or ("text" in row.fields and not is_split):
        return read_text(row)
    if isinstance(tokens, list) and all(isinstance(token, str) for token in tokens):
        return tokens
    raise InputError(f"{row.place}: the column 'tokens' must hold a list of words, got {tokens!r:.60}")


def _tell(note: str) -> None:
    """Prints what was recognised in a column file, on standard error."""
    print_error(name_options(note))


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
        sentences = list(parse_columns(path, content, "first", options.encoding, refuse, columns, _tell))
    except InputError as error:
        raise InputError(f"--columns {name_options(error)}") from error
    if not sentences:
        raise InputError(f"--columns {options.columns} has no words")
    net, tokenizer = load_tagger(options.model, options.revision, options.allow_pickle, options.trust_remote_code)
    documents = number_documents(sentences).tolist() if sentences[0].document is not None else None
    words = [sentence.words for sentence in sentences]
    tagged = find_tags(net, tokenizer, words, documents, **_get_options(options))
    lines = append_column(content, chain.from_iterable(found.tags for found in tagged), options.encoding, columns)
    records = (format_json(make_record(index, found, False, True)) for index, found in enumerate(tagged))
    for line in records if options.json else lines:
        print_result(line, is_escaped=not (options.json or sys.stdout.isatty()))  # a file keeps its characters
