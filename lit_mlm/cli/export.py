"""`python -m lit_mlm export`: writes a checkpoint of a run as a folder to share."""

from collections.abc import Sequence
from pathlib import Path

from lit_mlm.cli.inputs import check_folder
from lit_mlm.cli.plain import CommandParser, print_result
from lit_mlm.errors import InputError
from lit_mlm.inference.export import export_checkpoint
from lit_mlm.runs.atomic import check_replaceable


def make_parser() -> CommandParser:
    """Makes the parser of the command."""
    parser = CommandParser(
        prog="python -m lit_mlm export", description="Write a checkpoint of a run as a folder to share."
    )
    parser.add_argument("--run_dir", required=True, help="folder of the run")
    parser.add_argument("--out", required=True, help="folder to write")
    parser.add_argument("--checkpoint", default="best", help="best (default), last, or the path of a checkpoint")
    return parser


def main(args: Sequence[str]) -> None:
    """Runs the command with the arguments after its name."""
    options = make_parser().parse_args(args)
    checkpoint = find_checkpoint(Path(options.run_dir), options.checkpoint)
    out = Path(options.out)
    check_folder("--out", options.out)
    check_replaceable(out)
    if out.exists() and any(out.iterdir()):
        raise InputError(f"--out {out} is not empty; give another folder")
    export_checkpoint(checkpoint, out)
    print_result(f"model: {out}")


def find_checkpoint(run_dir: Path, name: str) -> Path:
    """Returns the path of a checkpoint of a run: ``best``, ``last`` or a path."""
    folder = run_dir / "checkpoints"
    path = folder / f"{name}.ckpt" if name in ("best", "last") else Path(name)
    if not folder.is_dir():
        raise InputError(f"--run_dir: there is no run in {run_dir}, as {folder} is missing")
    if not path.is_file():
        others = ", ".join(sorted(other.name for other in folder.glob("*.ckpt")))
        raise InputError(f"--checkpoint: there is no {path}; {folder} has {others or 'no checkpoints'}")
    return path
