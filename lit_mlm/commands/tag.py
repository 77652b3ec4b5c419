"""`python -m lit_mlm tag`: the entities of texts, or the tags of a column file's words."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lit_mlm.commands import CommandParser
from lit_mlm.errors import InputError
from lit_mlm.inference.tag import Entity, load_tagger, tag_texts, tag_words

TEXTS_AT_A_TIME = 256
"""Few enough that the first results of a long input don't wait for its last text."""


def make_parser() -> CommandParser:
    """The arguments of the command."""
    parser = CommandParser(prog="python -m lit_mlm tag", description="Tag the words of texts or of a column file.")
    parser.add_argument("--model", required=True, help="name on the Hub, folder, or folder of a run")
    parser.add_argument("--revision", help="of a model on the Hub")
    parser.add_argument(
        "--allow_pickle", action="store_true", help="read pickled weights where there are no safetensors"
    )
    parser.add_argument("--trust_remote_code", action="store_true", help="run the model's own code, at one --revision")
    parser.add_argument("--json", action="store_true", help="print one JSON object a text or sentence")
    parser.add_argument("--columns", metavar="FILE", help="tag the words in the first column of a file, a word a line")
    parser.add_argument("texts", nargs="*", help="texts; by default the lines of standard input")
    return parser


def main(args: Sequence[str]) -> None:
    """Runs the command.

    Args:
        args: what follows ``tag`` on the command line.
    """
    options = make_parser().parse_intermixed_args(args)
    if options.columns is not None:
        if options.texts:
            raise InputError(f"--columns and texts exclude each other, got {options.columns} and {options.texts[0]!r}")
        _tag_columns(options)
        return
    texts = options.texts or [line.rstrip("\r\n") for line in sys.stdin if line.strip()]
    if not texts:
        raise InputError("no text to tag: give texts as arguments or on standard input, or a file as --columns")
    net, tokenizer = load_tagger(options.model, options.revision, options.allow_pickle, options.trust_remote_code)
    for first in range(0, len(texts), TEXTS_AT_A_TIME):
        batch = texts[first : first + TEXTS_AT_A_TIME]
        for text, entities in zip(batch, tag_texts(net, tokenizer, batch), strict=True):
            as_json = options.json and json.dumps({"text": text, "entities": entities}, ensure_ascii=False)
            print(as_json or format_text(text, entities), flush=True)


def format_text(text: str, entities: list[Entity]) -> str:
    """A text and its entities, or tagged words, in aligned columns: type, score, characters, text."""
    rows = [(entity["type"], f"{entity['start']}:{entity['end']}", entity) for entity in entities]
    type_width = max((len(kind) for kind, _, _ in rows), default=0)
    place_width = max((len(place) for _, place, _ in rows), default=0)
    return "\n".join(
        [text]
        + [
            f"  {kind:{type_width}}  {entity['score']:.3f}  {place:>{place_width}}  {' '.join(entity['text'].split())}"
            for kind, place, entity in rows
        ]
    )


def _tag_columns(options: Any) -> None:
    """Prints a column file of words and predicted tags, with the sentences and documents of the one that it reads."""
    # Imported here: tagging a text need not wait for what data sets are read with.
    from lit_mlm.data.columns import DOCUMENT_BORDER, read_columns
    from lit_mlm.data.files import Problem
    from lit_mlm.data.sentences import number_documents

    sentences = []
    for found in read_columns(Path(options.columns).expanduser(), "first"):
        if isinstance(found, Problem):
            raise InputError(f"--columns {found.message}")
        sentences.append(found)
    if not sentences:
        raise InputError(f"--columns {options.columns} has no words")
    net, tokenizer = load_tagger(options.model, options.revision, options.allow_pickle, options.trust_remote_code)
    has_documents = sentences[0].document is not None
    documents = number_documents(sentences).tolist() if has_documents else None
    words = [sentence.words for sentence in sentences]
    before: int | None = 0  # what stands above a file's first border
    for sentence, tags in zip(sentences, tag_words(net, tokenizer, words, documents), strict=True):
        if options.json:
            print(json.dumps({"words": list(sentence.words), "tags": tags}, ensure_ascii=False))
            continue
        if has_documents and sentence.document != before:
            print(f"{DOCUMENT_BORDER}\tO\n")
        before = sentence.document
        print("".join(f"{word}\t{tag}\n" for word, tag in zip(sentence.words, tags, strict=True)))
