"""`python -m lit_mlm embed`: writes the vectors of texts, words or marked spans."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from lit_mlm.cli.inputs import check_file
from lit_mlm.cli.plain import CommandParser, add_model_options, print_result
from lit_mlm.cli.texts import add_text_options, batch_texts, read_text, read_texts
from lit_mlm.errors import InputError
from lit_mlm.inference.embed import Pooling, embed_spans, embed_texts, load_encoder
from lit_mlm.runs.atomic import atomic_file
from lit_mlm.text.arrays import Float32Array
from lit_mlm.text.surrogates import replace_surrogates
from lit_mlm.text.tagging.words import find_words

if TYPE_CHECKING:
    from lit_mlm.data.reading.readers import Row

SUFFIXES = (".npy", ".npz", ".parquet")


Span = tuple[int, int]
"""First character, and one past the last."""


@dataclass(frozen=True)
class Batch:
    """Vectors, shape (units, H), and where they are from.

    `index` has the text of each unit in the input, from 0, `start` and `end` its characters, `text` the unit itself.
    """

    index: list[int]
    start: list[int]
    end: list[int]
    text: list[str]
    vectors: Float32Array


def make_parser() -> CommandParser:
    """Makes the parser of the command."""
    parser = CommandParser("embed", "Write the vectors of texts, words or spans.")
    add_model_options(parser)
    add_text_options(parser, "embed each line of .txt files, and the text of each record of .jsonl files")
    parser.add_argument("--out", required=True, metavar="FILE", help="vectors.npy (texts alone), .npz or .parquet")
    parser.add_argument(
        "--unit",
        choices=("text", "word", "span"),
        default="text",
        help="what has a vector; spans are the pairs of characters in spans of .jsonl records; default text",
    )
    parser.add_argument("--pooling", choices=get_args(Pooling), help="of a text: its mean token, or the first")
    parser.add_argument("--layers", type=int, nargs="+", metavar="N", help="0: embeddings, -1 (default): the last")
    parser.add_argument("--layer_weights", type=float, nargs="+", metavar="W", help="of --layers; by default equal")
    parser.add_argument("--normalize", action="store_true", help="scale vectors to length 1")
    return parser


def main(args: Sequence[str]) -> None:
    """Runs the command with the arguments after its name."""
    options = make_parser().parse_intermixed_args(args)
    layers, out = _read_layers(options), Path(options.out).expanduser()
    if out.suffix not in SUFFIXES or (out.suffix == ".npy" and options.unit != "text"):
        kinds = "end with .npy, .npz or .parquet" if options.unit == "text" else "end with .npz or .parquet"
        raise InputError(f"--out {options.out} must {kinds} for vectors of {options.unit}s")
    check_file("--out", out)
    if options.pooling and options.unit != "text":
        raise InputError(f"--pooling {options.pooling} has no effect on {options.unit}s, which have the mean of theirs")
    marked: list[list[Span]] = []
    texts = read_texts(options, "embed", lambda row: _read_marked(row, marked if options.unit == "span" else None))
    if options.unit == "span" and len(marked) < len(texts):
        raise InputError("--unit span needs the spans of .jsonl records, given by --file")
    net, tokenizer = load_encoder(options.model, options.revision, options.allow_pickle, options.trust_remote_code)
    batches = _embed(net, tokenizer, texts, marked, layers, options)
    with atomic_file(out) as unfinished:
        rows, columns = _write_parquet(unfinished, batches) if out.suffix == ".parquet" else _write(unfinished, batches)
    print_result(f"{out}: {rows:,} vectors of {columns:,} numbers")


def _embed(
    net: Any,
    tokenizer: Any,
    texts: list[str],
    marked: list[list[Span]],
    layers: Mapping[int, float] | None,
    options: Any,
) -> Iterator[Batch]:
    first = 0
    for batch in batch_texts(texts):
        if options.unit == "text":
            spans = [[(0, len(text))] for text in batch]
            vectors = embed_texts(net, tokenizer, batch, options.pooling or "mean", layers)
        else:
            spans = marked[first : first + len(batch)] or [list(find_words(text)) for text in batch]
            vectors = np.concatenate(embed_spans(net, tokenizer, batch, spans, layers))
        places = [(first + i, start, end) for i, found in enumerate(spans) for start, end in found]
        index, start, end = ([place[column] for place in places] for column in range(3))
        text = [replace_surrogates(texts[i][slice(*span)]) for i, *span in places]
        yield Batch(index, start, end, text, _scale(vectors) if options.normalize else vectors)
        first += len(batch)


def _read_layers(options: Any) -> Mapping[int, float] | None:
    layers, weights = options.layers, options.layer_weights
    if weights and len(weights) != len(layers or ()):
        raise InputError(f"--layer_weights needs one weight for each of --layers {layers or 'missing'}, got {weights}")
    if layers and len(set(layers)) < len(layers):
        raise InputError(f"--layers names a layer twice: {layers}")
    return dict(zip(layers, weights or [1.0] * len(layers), strict=True)) if layers else None


def _read_marked(row: "Row", marked: list[list[Span]] | None) -> str:
    """Reads a record's text, and appends its spans: pairs, or objects with start and end."""
    text = read_text(row)
    if marked is not None:
        spans: Any = row.fields.get("spans")
        try:
            pairs = [(s["start"], s["end"]) if isinstance(s, dict) else (s[0], s[1]) for s in spans]
            if not all(type(n) is int for n in chain(*pairs)) or any(not 0 <= a < b <= len(text) for a, b in pairs):
                raise ValueError("not within the text")
        except (TypeError, KeyError, IndexError, ValueError) as error:
            raise InputError(
                f"{row.place}: the column 'spans' must hold pairs of characters, such as [[0, 4]], within the text of "
                f"{len(text)}, got {spans!r:.60}"
            ) from error
        marked.append(pairs)
    return text


def _scale(vectors: Float32Array) -> Float32Array:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths == 0, 1, lengths), np.float32)


def _write(path: Path, batches: Iterator[Batch]) -> tuple[int, int]:
    """Writes a NumPy file: the vectors, and in an ``.npz`` the places of their units."""
    found = list(batches)
    vectors = np.concatenate([batch.vectors for batch in found])
    index, start, end = (
        np.array([place for batch in found for place in getattr(batch, name)], np.int64)
        for name in ("index", "start", "end")
    )
    with path.open("wb") as file:
        if path.stem.endswith(".npz"):
            np.savez(file, vectors=vectors, index=index, start=start, end=end)
        else:
            np.save(file, vectors)
    return len(vectors), vectors.shape[1]


def _write_parquet(path: Path, batches: Iterator[Batch]) -> tuple[int, int]:
    """Writes a Parquet file, a batch at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = next(batches)
    num_vectors, width = 0, first.vectors.shape[1]
    places = {"index": pa.int64(), "start": pa.int64(), "end": pa.int64(), "text": pa.string()}
    schema = pa.schema(places | {"vector": pa.list_(pa.float32(), width)})
    with pq.ParquetWriter(path, schema) as writer:
        for batch in chain([first], batches):
            num_vectors += len(batch.index)
            columns: dict[str, Any] = dict(vars(batch))
            vector = pa.FixedSizeListArray.from_arrays(columns.pop("vectors").reshape(-1), width)
            writer.write_table(pa.table(columns | {"vector": vector}, schema))
    return num_vectors, width
