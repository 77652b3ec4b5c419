"""`python -m lit_mlm score`: scores texts, or the sentences of minimal pairs, by their pseudo-log-likelihood."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from lit_mlm.cli.inputs import check_file
from lit_mlm.cli.plain import CommandParser, add_model_options, format_json, print_error, print_result
from lit_mlm.cli.score_pairs import measure_groups, print_pairs, read_pairs, tabulate_accuracy
from lit_mlm.cli.texts import add_text_options, read_text, read_texts
from lit_mlm.errors import InputError
from lit_mlm.inference.fill import load_masked_lm
from lit_mlm.inference.pairs import Normalize, iterate_pairs
from lit_mlm.inference.score import Method, ScoredText, iterate_scores, summarise_scores
from lit_mlm.runs.atomic import write_json
from lit_mlm.text.tables import format_table


def make_parser() -> CommandParser:
    """Makes the parser of the command."""
    parser = CommandParser("score", "Score texts or minimal pairs by their pseudo-log-likelihood.")
    add_model_options(parser)
    parser.add_argument("--allow_new_head", action="store_true", help="accept a model that lacks weights")
    add_text_options(parser, "score each line of .txt files, and the text of each record of .jsonl files")
    parser.add_argument(
        "--method",
        choices=get_args(Method),
        default="within_word_l2r",
        help="mask a token with the later ones of its word (default), or alone",
    )
    parser.add_argument("--tokens", action="store_true", help="print the log-probability of each token")
    parser.add_argument(
        "--pairs", nargs="+", metavar="FILE", help="compare the sentences good and bad of each record, as in BLiMP"
    )
    parser.add_argument(
        "--normalize", choices=get_args(Normalize), default="none", help="divide the scores of --pairs by a length"
    )
    parser.add_argument("--summary", type=Path, metavar="FILE", help="write the metrics of all texts to a JSON file")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object per text; default off a terminal")
    form.add_argument("--text", action="store_true", help="print a table; default on a terminal")
    return parser


def main(args: Sequence[str]) -> None:
    """Runs the command with the arguments after its name."""
    options = make_parser().parse_intermixed_args(args)
    _check(options)
    as_json = options.json or not (options.text or sys.stdout.isatty())
    texts = [] if options.pairs else read_texts(options, "score", read_text)
    pairs = read_pairs(options.pairs, options.encoding) if options.pairs else []
    net, tokenizer = load_masked_lm(
        options.model, options.revision, options.allow_new_head, options.allow_pickle, options.trust_remote_code
    )
    metrics: dict[str, Any]
    if pairs:
        sentences = ((pair.good, pair.bad) for pair in pairs)
        scored = iterate_pairs(net, tokenizer, sentences, options.method, options.normalize)
        metrics = measure_groups(pairs, print_pairs(pairs, scored, as_json))
        rows = tabulate_accuracy(metrics)
    else:
        found = iterate_scores(net, tokenizer, texts, options.method)
        metrics = summarise_scores(_print_each(found, as_json, options.tokens))
        rows = tabulate(metrics)
    print_error("\n".join(format_table(rows, "<" + ">" * (len(rows[0]) - 2) + "<")))
    if options.summary:
        write_json(options.summary, metrics)


def _check(options: Any) -> None:
    """Refuses options that exclude each other, and a file that can't be written, before any work."""
    if options.pairs:
        given = [f"--file {options.file[0]}"] if options.file else [f"texts, got {text!r}" for text in options.texts]
        given += ["--tokens"] if options.tokens else []
        if given:
            raise InputError(f"--pairs {options.pairs[0]} excludes {given[0]}")
    elif options.normalize != "none":
        raise InputError(f"--normalize {options.normalize} has no effect without --pairs")
    if options.summary:
        check_file("--summary", options.summary)


def _print_each(scored: Iterable[ScoredText], as_json: bool, has_tokens: bool) -> Iterator[ScoredText]:
    """Prints scored texts, and passes them on."""
    if not as_json:
        print_result(f"{'score':>10}{'tokens':>8}{'per token':>11}  text")
    for index, text in enumerate(scored):
        print_result(format_json(make_record(index, text, has_tokens)) if as_json else format_text(text, has_tokens))
        yield text


def make_record(index: int, text: ScoredText, has_tokens: bool) -> dict[str, Any]:
    """Makes the JSON record of a text: ``windows`` if it is longer than the net takes, ``tokens`` if asked for."""
    record = {"index": index, "text": text.text, "score": text.score}
    sizes = {"num_tokens": text.num_tokens, "num_words": text.num_words}
    windows = {"windows": True} if text.is_windowed else {}
    return record | sizes | windows | ({"tokens": text.tokens} if has_tokens else {})


def format_text(text: ScoredText, has_tokens: bool) -> str:
    """Formats a text as a line of the table, and its tokens with their log-probabilities below it."""
    per_token = f"{text.score / text.num_tokens:11.3f}" if text.num_tokens else " " * 11
    line = f"{text.score:10.2f}{text.num_tokens:8}{per_token}  {' '.join(text.text.split())}"
    shown = text.tokens if has_tokens else []
    tokens = [(f"{token['log_prob']:10.3f}", token["text"].replace("\n", "\\n")) for token in shown]
    return "\n".join([line.rstrip(), *format_table(tokens, "><")])


def tabulate(metrics: dict[str, float | int]) -> list[list[str]]:
    """Lays out the metrics of a corpus as rows: name, value and interval."""
    names = {"num_texts": "texts", "num_words": "words", "num_tokens": "tokens", "num_unknown": "unknown tokens"}
    rows = [[name, f"{metrics[key]:,}", ""] for key, name in names.items() if metrics[key] or key != "num_unknown"]
    for name in ("pseudo_perplexity", "score_per_word"):
        if name in metrics:
            value, *ends = (f"{metrics[key]:,.4g}" for key in (name, f"{name}_low", f"{name}_high") if key in metrics)
            rows.append([name.replace("_", " "), value, f"{' to '.join(ends)} (95 %)" if ends else ""])
    return rows
