"""`python -m lit_mlm errors`: shows where the model of a run errs, in tables, on a page and as JSON."""

from collections.abc import Sequence
from pathlib import Path

from lit_mlm.cli.export import find_checkpoint
from lit_mlm.cli.inputs import check_file, split_args
from lit_mlm.cli.plain import CommandParser
from lit_mlm.errors import InputError
from lit_mlm.runs.atomic import read_json

COMMANDS = {"train": "validate", "val": "validate", "test": "test"}
"""The command whose options are taken, by split."""


def make_parser() -> CommandParser:
    """Makes the parser of the command."""
    parser = CommandParser("errors", "Show where the model of a run errs. Takes the options of test or validate too.")
    add = parser.add_argument
    add("--run_dir", required=True, help="folder of the run, in which the files are written")
    add("--split", choices=COMMANDS, default="test", help="default test")
    add("--checkpoint", default="best", help="best, last, or the path of a checkpoint; default best")
    add(
        "--num_sentences",
        type=int,
        default=5,
        metavar="N",
        help="worst sentences or texts to print; default 5, on the page 100",
    )
    add("--metrics", action="store_true", help="add the metrics by frequency, novelty and place to metrics.json")
    add("--pos", metavar="FILE", help="of masked words: column file with a word and its part of speech a line")
    return parser


def main(args: Sequence[str]) -> None:
    """Runs the command with the arguments after its name."""
    options, rest = make_parser().parse_known_args(args)
    run_dir = Path(options.run_dir)
    checkpoint = find_checkpoint(run_dir, options.checkpoint)
    if "ckpt_path" in dict(split_args(rest)):
        raise InputError("--ckpt_path can't be given to errors: name the checkpoint by --checkpoint")
    if options.num_sentences < 0:
        raise InputError(f"--num_sentences must be at least 0, got {options.num_sentences}")
    if options.pos is not None and not Path(options.pos).is_file():
        raise InputError(f"--pos: there is no file {options.pos}")
    is_other = checkpoint.resolve() != (run_dir / "checkpoints" / "best.ckpt").resolve()
    name = f"-{checkpoint.stem}" if is_other else ""
    path, metrics = run_dir / f"errors-{options.split}{name}.json", run_dir / f"metrics{name}.json"
    check_file("--run_dir", path)
    if options.metrics and options.split == "train":
        raise InputError("--metrics can't be given with --split train, which has no metrics to add to")
    if options.metrics and not any(key.startswith(f"{options.split}/") for key in read_json(metrics)):
        raise InputError(
            f"--metrics: {metrics} has none of the {options.split} split: run {COMMANDS[options.split]} first"
        )
    from lit_mlm.cli.errors_run import run_errors  # slow to import

    args = [COMMANDS[options.split], *rest]
    own = {"num_sentences": options.num_sentences, "pos_file": options.pos}
    run_errors(args, options.split, checkpoint, path, **own, metrics=metrics if options.metrics else None)
