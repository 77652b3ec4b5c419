"""`python -m lit_mlm demo`: serves a page that fills masks or tags words with a model."""

from collections.abc import Sequence
from typing import Any

from lit_mlm.cli.plain import CommandParser, add_model_options, print_result
from lit_mlm.errors import InputError
from lit_mlm.inference.demo import Demo, DemoServer, make_fill_demo, make_tag_demo
from lit_mlm.inference.fill import load_masked_lm
from lit_mlm.inference.loading import find_architectures
from lit_mlm.inference.tag import load_tagger

MASKED = ["This is a great [MASK].", "The [MASK] of the film was [MASK].", "We talked about [MASK] all night."]
TAGGED = [
    "Tom Reed of Acme Steel Works met Japanese farmers in Nairobi.",
    "The museum in Lisbon bought two paintings by Ana Lopez.",
]


def make_parser() -> CommandParser:
    """Makes the parser of the command."""
    parser = CommandParser("demo", "Serve a page that runs a model on texts.")
    add_model_options(parser)
    parser.add_argument("--port", type=int, default=8000, help="on this machine; 0 takes a free one; default 8000")
    parser.add_argument("--examples", nargs="+", metavar="TEXT", help="texts to try, in place of those of lit-mlm")
    return parser


def main(args: Sequence[str]) -> None:
    """Runs the command with the arguments after its name, until it is interrupted."""
    options = make_parser().parse_args(args)
    demo = make_demo(options)
    try:
        server = DemoServer(demo, options.port)
    except (OSError, OverflowError) as error:
        raise InputError(f"--port {options.port} can't be used: {error}; --port 0 takes a free one") from error
    with server:
        print_result(f"{demo.name}: http://127.0.0.1:{server.server_port} (Ctrl-C ends it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print_result("")


def make_demo(options: Any) -> Demo:
    """Loads the model and makes its demo: of a tagger if it is one, else of a masked language model."""
    model = (options.model, options.revision)
    trust = {"allow_pickle": options.allow_pickle, "trust_remote_code": options.trust_remote_code}
    if any(name.endswith("ForTokenClassification") for name in find_architectures(*model)):
        return make_tag_demo(*load_tagger(*model, **trust), options.model, options.examples or TAGGED)
    return make_fill_demo(*load_masked_lm(*model, **trust), options.model, options.examples or MASKED)
