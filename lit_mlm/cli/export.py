"""`python -m lit_mlm export`: writes a checkpoint of a run as a folder to share, or pushes it to the Hub."""

import re
from argparse import ArgumentTypeError
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import PreTrainedModel

from lit_mlm.cli.inputs import check_folder
from lit_mlm.cli.plain import CommandParser, print_result
from lit_mlm.errors import InputError
from lit_mlm.inference.agreement import Agreement
from lit_mlm.inference.card.results import FOLDER as RESULTS_FOLDER
from lit_mlm.inference.card.save import name_model
from lit_mlm.inference.export import exporting, write_weights
from lit_mlm.inference.onnx import FLOAT_FILE, quantise, require_packages, write_onnx
from lit_mlm.inference.publish import check_access, check_repo_id, push_folder
from lit_mlm.runs.atomic import check_replaceable

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

FORMATS = ("safetensors", "onnx", "onnx-int8")

WRITTEN = re.compile(
    r"README\.md|curve\.png|vocab\.txt|merges\.txt|[\w.-]+\.(json|safetensors|onnx|onnx\.data|jinja|model)"
)
"""Names of the files of an export, of which those of a tokenizer depend on its kind."""

SHORT_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def make_parser() -> CommandParser:
    """Makes the parser of the command."""
    parser = CommandParser(
        "export",
        "Write a checkpoint of a run as a folder to share. --format onnx-int8 takes the options of validate too.",
    )
    add = parser.add_argument
    add("--run_dir", required=True, help="folder of the run")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--out", help="folder to write")
    target.add_argument("--push_to_hub", metavar="USER/NAME", help="push to this repository; created if missing")
    add("--checkpoint", default="best", help="best, last, or the path of a checkpoint; default best")
    add("--dtype", type=parse_dtype, choices=DTYPES, help="of the weights; default float32")
    add("--format", choices=FORMATS, default="safetensors", help="default safetensors")
    add("--max_shard_size", type=parse_size, metavar="SIZE", help="of a file of weights, such as 200MB")
    add("--license", metavar="NAME", help="of the model, for the metadata of its card, such as apache-2.0")
    add("--overwrite", action="store_true", help="replace --out, if it is an earlier export")
    hub = parser.add_argument_group("with --push_to_hub")
    hub.add_argument("--private", action="store_true", help="create a private repository")
    hub.add_argument("--revision", metavar="BRANCH", help="push to this branch; created if missing")
    hub.add_argument("--message", help="of the commit; default: Upload model")
    return parser


def main(args: Sequence[str]) -> None:
    """Runs the command with the arguments after its name."""
    options, rest = make_parser().parse_known_args(args)
    check_options(options, args)
    checkpoint = find_checkpoint(Path(options.run_dir), options.checkpoint)
    cost = partial(print_cost, Path(options.run_dir), checkpoint, rest)
    if options.out is not None:
        check_folder("--out", options.out)
        check_out(Path(options.out), options.overwrite)
        out = Path(options.out)
        export(checkpoint, out, options, cost)
        print_result(f"model:   {out} ({describe_size(out)})")
    else:
        push(checkpoint, options, cost)


def push(checkpoint: Path, options: Any, cost: Callable[..., None]) -> None:
    """Pushes a checkpoint to the Hub, once the name and the token are checked."""
    check_repo_id("--push_to_hub", options.push_to_hub)
    check_access(options.push_to_hub)
    message = options.message or "Upload model"
    with TemporaryDirectory() as folder:
        out = Path(folder) / "hf"
        export(checkpoint, out, options, cost)
        name_model(out, options.push_to_hub)
        done = push_folder(out, options.push_to_hub, message, options.private, options.revision)
        size = describe_size(out)
    print_result(f"pushed to {done.url}, revision {done.revision} ({size})")


def export(checkpoint: Path, out: Path, options: Any, cost: Callable[..., None]) -> None:
    """Writes a checkpoint to a folder, and prints how it was checked."""
    with exporting(checkpoint, out, licence=options.license) as (net, auto_class, folder):
        if options.format == "safetensors":
            dtype, shard_size = DTYPES[options.dtype or "float32"], options.max_shard_size or "50GB"
            print_agreement(write_weights(net, auto_class, folder, dtype, shard_size))
        elif options.format == "onnx":
            print_agreement(write_onnx(net, folder))
        else:
            cost(lambda: write_int8(net, folder))


def check_options(options: Any, args: Sequence[str]) -> None:
    """Refuses options that have no effect, and a format whose packages are missing."""
    if options.format != "onnx-int8":
        make_parser().parse_intermixed_args(args)  # refuses unknown ones; those of validate are for int8
    for name, other in (
        *dict.fromkeys(("private", "revision", "message"), "push_to_hub").items(),
        ("overwrite", "out"),
    ):
        if getattr(options, name) and getattr(options, other) is None:
            raise InputError(f"--{name} has no effect without --{other}")
    if options.format == "safetensors":
        return
    for name in ("dtype", "max_shard_size"):
        if getattr(options, name) is not None:
            raise InputError(f"--{name} {getattr(options, name)} has no effect on --format {options.format}")
    require_packages()


def write_int8(net: PreTrainedModel, folder: Path) -> Path:
    """Writes the int8 model and returns its path; prints how it was checked and its size."""
    print_agreement(write_onnx(net, folder))
    size = sum(path.stat().st_size for path in folder.glob(f"{FLOAT_FILE}*"))
    path = quantise(folder)
    int8_size = sum(found.stat().st_size for found in folder.glob(f"{path.name}*"))
    print_result(f"int8:    {int8_size / 1e6:,.1f} MB in place of {size / 1e6:,.1f} MB")
    return path


def parse_dtype(name: str) -> str:
    """Returns the long name of a dtype."""
    return SHORT_DTYPES.get(name, name)


def parse_size(text: str) -> str:
    """Checks the size of a file."""
    if not re.fullmatch(r"[1-9]\d*[KMG]B", text):
        raise ArgumentTypeError(f"it must be a number with KB, MB or GB, such as 200MB, got {text!r}")
    return text


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


def check_out(out: Path, is_replaced: bool) -> None:
    """Refuses a folder that can't be written, or that holds something but an earlier export."""
    check_replaceable(out)
    if not out.exists() or not any(out.iterdir()):
        return
    card = out / "README.md"
    is_export = (out / "config.json").is_file() and card.is_file() and "lit-mlm" in card.read_text("utf-8", "replace")
    others = [path.name for path in sorted(out.iterdir()) if path.is_dir() or not WRITTEN.fullmatch(path.name)]
    others = [name for name in others if name != RESULTS_FOLDER]
    if not is_export or others:
        such = f", such as {others[0]}" if others else ""
        raise InputError(f"--out {out} holds something that export didn't write{such}: give another folder")
    if not is_replaced:
        raise InputError(f"--out {out} holds an earlier export: add --overwrite to replace it, or give another folder")


def print_agreement(agreement: Agreement) -> None:
    """Prints what was run and how far the logits differ."""
    lengths = ", ".join(map(str, agreement.lengths))
    print_result(
        f"checked: its logits of random sequences of {lengths} tokens differ from the checkpoint's by at most "
        f"{agreement.difference:.2g} (largest logit {agreement.size:.3g})"
    )


def describe_size(folder: Path) -> str:
    """Says how many files of weights a folder has, and their size."""
    sizes = [path.stat().st_size for path in folder.iterdir() if path.suffix in (".safetensors", ".onnx", ".data")]
    return f"{len(sizes)} file{'s' if len(sizes) > 1 else ''} of {sum(sizes) / 1e6:,.1f} MB"


def print_cost(*args: Any) -> None:
    """Calls `lit_mlm.cli.cost.print_cost`, which is slow to import."""
    from lit_mlm.cli import cost

    cost.print_cost(*args)
