"""`python -m lit_mlm classify`: labels texts."""

from collections.abc import Sequence

from lit_mlm.cli.plain import CommandParser, add_model_options, format_json, print_result
from lit_mlm.cli.texts import add_text_options, batch_texts, read_text, read_texts
from lit_mlm.inference.classify import classify_texts, load_classifier


def make_parser() -> CommandParser:
    """Makes the parser of the command."""
    parser = CommandParser("classify", "Label texts, one JSON object for each.")
    add_model_options(parser)
    add_text_options(parser, "label each line of .txt files, and the text of each record of others")
    return parser


def main(args: Sequence[str]) -> None:
    """Runs the command.

    Args:
        args: the command line after ``classify``.
    """
    options = make_parser().parse_intermixed_args(args)
    texts = read_texts(options, "label", read_text)
    net, tokenizer = load_classifier(options.model, options.revision, options.allow_pickle, options.trust_remote_code)
    index = 0
    for batch in batch_texts(texts):
        for text, found in zip(batch, classify_texts(net, tokenizer, batch), strict=True):
            print_result(format_json({"index": index, "text": text, **found}), is_escaped=False)
            index += 1
