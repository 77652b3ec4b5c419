"""`python -m lit_mlm fill`: prints the most probable tokens for the masks of texts."""

import sys
from collections.abc import Sequence

from lit_mlm.cli.plain import CommandParser, format_json, print_result
from lit_mlm.errors import InputError
from lit_mlm.inference.fill import Candidate, fill_masks, load_masked_lm


def make_parser() -> CommandParser:
    """Makes the parser of the command."""
    parser = CommandParser(prog="python -m lit_mlm fill", description="Fill the masks of texts.")
    parser.add_argument("--model", required=True, help="name on the Hub, folder, or folder of a run")
    parser.add_argument("--revision", help="of a model on the Hub")
    parser.add_argument("--top_k", type=int, default=5, help="candidates per mask")
    parser.add_argument("--allow_pickle", action="store_true", help="read pickled weights if there are no safetensors")
    parser.add_argument("--trust_remote_code", action="store_true", help="run the model's own code, at one --revision")
    parser.add_argument("--json", action="store_true", help="print one JSON object per text")
    parser.add_argument("--allow_new_head", action="store_true", help="accept a model that lacks weights")
    parser.add_argument("texts", nargs="*", help="texts with [MASK] or <mask>; by default the lines of standard input")
    return parser


def main(args: Sequence[str]) -> None:
    """Runs the command with the arguments after its name."""
    options = make_parser().parse_intermixed_args(args)
    texts = options.texts or [line.rstrip("\r\n") for line in sys.stdin if line.strip()]
    if not texts:
        raise InputError("no text to fill: give texts as arguments or on standard input")
    net, tokenizer = load_masked_lm(
        options.model, options.revision, options.allow_new_head, options.allow_pickle, options.trust_remote_code
    )
    for text in texts:  # one by one, so that those before an invalid text are printed
        (masks,) = fill_masks(net, tokenizer, [text], options.top_k)
        print_result(format_json({"text": text, "masks": masks}) if options.json else format_text(text, masks))


def format_text(text: str, masks: list[list[Candidate]]) -> str:
    """Formats a text and the candidates for its masks with their probabilities, one line each."""
    lines = [text]
    for number, candidates in enumerate(masks, start=1):
        if len(masks) > 1:
            lines.append(f"  mask {number}")
        lines += [f"  {candidate['score']:.3f}  {candidate['text']}" for candidate in candidates]
    return "\n".join(lines)
