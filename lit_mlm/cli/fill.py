"""`python -m lit_mlm fill`: prints the most probable tokens for the masks of texts, or the scores of given words."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from lit_mlm.cli.plain import CommandParser, add_model_options, format_json, print_result
from lit_mlm.cli.texts import add_text_options, batch_texts, read_lines, read_text, read_texts
from lit_mlm.errors import InputError
from lit_mlm.inference.fill import Candidate, fill_masks, load_masked_lm
from lit_mlm.inference.fill_jointly import Filling, Method, fill_jointly
from lit_mlm.inference.masked_texts import MASK_NOTATION, BadTextError
from lit_mlm.inference.targets import Normalize, ScoredTarget

Fill = Callable[[Sequence[str]], Sequence[Any]]


def make_parser() -> CommandParser:
    """Makes the parser of the command."""
    parser = CommandParser("fill", "Fill the masks of texts.")
    add_model_options(parser)
    parser.add_argument(
        "--top_k", type=int, help="candidates per mask, or joint fillings per text; default 5, or all targets"
    )
    parser.add_argument(
        "--joint",
        nargs="?",
        const="beam",
        choices=get_args(Method),
        help="fill the masks of a text jointly: from left to right (beam, the default), or the most confident first",
    )
    parser.add_argument("--beam_size", type=int, help="of --joint; default 10, and 1 is greedy")
    parser.add_argument("--targets", nargs="+", metavar="WORD", help="score these words, of any number of tokens")
    parser.add_argument("--targets_file", metavar="FILE", help="the same, one word per line")
    parser.add_argument(
        "--normalize",
        choices=get_args(Normalize),
        help="score of a target: its probability (none, the default), the geometric mean of its tokens' (tokens), or "
        "its share among the targets (candidates)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per text")
    parser.add_argument("--allow_new_head", action="store_true", help="accept a model that lacks weights")
    add_text_options(
        parser,
        "fill each line of .txt files, and the text of each record of .jsonl files",
        "texts with [MASK] or <mask>",
    )
    return parser


def main(args: Sequence[str]) -> None:
    """Runs the command with the arguments after its name."""
    options = make_parser().parse_intermixed_args(args)
    _check(options)
    targets = _read_targets(options)
    texts = [(index, text) for index, text in enumerate(read_texts(options, "fill", read_text)) if text.strip()]
    if not texts:
        raise InputError("no text to fill: all texts are empty")
    net, tokenizer = load_masked_lm(
        options.model, options.revision, options.allow_new_head, options.allow_pickle, options.trust_remote_code
    )
    given = {name: value for name in ("top_k", "beam_size") if (value := getattr(options, name)) is not None}

    def fill(batch: Sequence[str]) -> Sequence[Any]:
        if options.joint:
            return fill_jointly(net, tokenizer, batch, method=options.joint, **given)
        if targets is None:
            return fill_masks(net, tokenizer, batch, **given)
        return fill_masks(net, tokenizer, batch, **given, targets=targets, normalize=options.normalize or "none")

    key = "fillings" if options.joint else "masks"
    for (index, text), found in zip(texts, fill_in_order(fill, [text for _, text in texts]), strict=True):
        if options.json:
            print_result(format_json({"index": index, "text": text, key: found}))
        else:
            print_result(format_fillings(text, found) if options.joint else format_text(text, found))


def fill_in_order(fill: Fill, texts: Sequence[str]) -> Iterator[Any]:
    """Yields the results of texts in batches; those before an invalid text come before its error, which names it."""
    for batch in batch_texts(texts):
        try:
            yield from fill(batch)
        except BadTextError as error:
            yield from fill(batch[: error.index])
            place = getattr(batch[error.index], "place", "")
            raise InputError(f"{place}: {error}" if place else str(error)) from error


def format_text(text: str, masks: Sequence[Sequence[Candidate | ScoredTarget]]) -> str:
    """Formats a text and the candidates for its masks with their scores, one line each."""
    lines = [text]
    for number, candidates in enumerate(masks, start=1):
        if len(masks) > 1:
            lines.append(f"  mask {number}")
        lines += [f"  {_format_score(candidate)}  {candidate['text']}" for candidate in candidates]
    return "\n".join(lines)


def format_fillings(text: str, fillings: Sequence[Filling]) -> str:
    """Formats a text and its joint fillings with their log-probabilities, one line each."""
    return "\n".join([text, "  jointly, log p", *(f"  {one['score']:.3f}  {one['text']}" for one in fillings)])


def _format_score(candidate: Candidate | ScoredTarget) -> str:
    """A probability; that of a given word may be very small."""
    return f"{candidate['score']:.2e}" if "target" in candidate else f"{candidate['score']:.3f}"


def _check(options: Any) -> None:
    """Refuses options that exclude each other, or have no effect."""
    given = [name for name in ("joint", "targets", "targets_file") if getattr(options, name) is not None]
    if len(given) > 1:
        raise InputError(f"--{given[0]} and --{given[1]} are mutually exclusive")
    if options.beam_size is not None and not options.joint:
        raise InputError(f"--beam_size {options.beam_size} has no effect without --joint")
    if options.normalize and not {"targets", "targets_file"} & {*given}:
        raise InputError(f"--normalize {options.normalize} has no effect without --targets or --targets_file")


def _read_targets(options: Any) -> list[str] | None:
    """Reads the words to score, without empty lines; None if all tokens are candidates."""
    for target in options.targets or ():
        if MASK_NOTATION.search(target):
            raise InputError(f"--targets: {target!r:.80} has a mask; put texts before --targets")
    if options.targets_file is None:
        return options.targets  # type: ignore[no-any-return]
    path = Path(options.targets_file).expanduser()
    if not path.is_file():
        raise InputError(f"--targets_file: there is no file {path}")
    return [line.strip() for line in read_lines(path, options.encoding) if line.strip()]
