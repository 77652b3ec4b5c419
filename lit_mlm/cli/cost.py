"""Scores an int8 model beside the net that it is made from, for `python -m lit_mlm export`."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from transformers.utils.generic import ModelOutput

from lit_mlm.cli.configs import RUN_CONFIG, find_config
from lit_mlm.cli.inputs import split_args
from lit_mlm.cli.plain import print_result
from lit_mlm.cli.read_only import ReadOnlyCLI
from lit_mlm.cli.trainer import run
from lit_mlm.errors import InputError
from lit_mlm.inference.onnx import open_session
from lit_mlm.text.tables import format_table

PLAIN = {"accelerator": "cpu", "devices": "1", "num_nodes": "1", "strategy": "auto", "precision": "32-true"}
"""Trainer options of both evaluations: the device and the float32 that int8 is compared with."""


class CostCLI(ReadOnlyCLI):
    """Takes the options of ``validate``, and prints the metrics of a checkpoint and of what `write` makes of it.

    Args:
        write: writes the int8 model and returns its path; called once the checkpoint is scored.
    """

    def __init__(self, *args: Any, write: Callable[[], Path], **kwargs: Any) -> None:
        self._write = write
        super().__init__(*args, **kwargs)

    def validate(self, **options: Any) -> None:
        """Scores both, and prints a table."""
        self.datamodule.pack_length, self.datamodule.pack_batches = None, False  # ONNX models take no packed rows
        super().validate(**options)
        before, path = self.model.results["val"], self._write()
        session = open_session(path)
        # The net stays what it is for all that ask for its config or embeddings; only its logits are the other's.
        self.model.net.forward = lambda **batch: ModelOutput(logits=session(batch))
        self.trainer.validate(self.model, self.datamodule, verbose=False)
        rows = compare(before, self.model.results["val"], self.model.headline)
        print_result(f"scored:  {self._describe_split()}")
        print_result("\n".join(format_table(rows, "<>>")))
        with (path.parent / "README.md").open("a", encoding="utf-8") as card:
            card.write(describe(path.name, self._describe_split(), rows))

    def _describe_split(self) -> str:
        """Says how much of the validation split was scored."""
        num_scored, loaders = sum(self.trainer.num_val_batches), self.trainer.val_dataloaders
        num_batches = sum(map(len, loaders if isinstance(loaders, list) else [loaders]))
        part = "" if num_scored == num_batches else f"{num_scored:,} of {num_batches:,} batches of "
        return f"{part}the validation split"


def print_cost(run_dir: Path, checkpoint: Path, args: Sequence[str], write: Callable[[], Path]) -> None:
    """Prints the metrics of a run's checkpoint and of an int8 model on the run's validation split.

    Args:
        run_dir: of the run, whose config names the data.
        checkpoint: of the run.
        args: other options of ``validate``.
        write: as for `CostCLI`.
    """
    if "ckpt_path" in dict(split_args(args)):
        raise InputError("--ckpt_path can't be given to export: name the checkpoint by --checkpoint")
    plain = [part for name, value in PLAIN.items() for part in (f"--trainer.{name}", value)]
    own = ["--config", str(find_config(str(run_dir / RUN_CONFIG))), "--ckpt_path", str(checkpoint)]
    run(["validate", *own, *plain, *args], partial(CostCLI, write=write))


def compare(before: dict[str, Any], after: dict[str, Any], names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Returns a table of the metrics of both, a head row first."""
    rows = [(name, f"{before[name]:.6g}", f"{after[name]:.6g}") for name in names if name in before]
    return [("", "float32", "int8"), *rows]


def describe(name: str, split: str, rows: Sequence[tuple[str, str, str]]) -> str:
    """Describes an int8 model in Markdown, for the model card.

    Args:
        name: of its file.
        split: that was scored, in words.
        rows: from `compare`.
    """
    head, *others = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([f"\nThe weights of `{name}` have 8 bits. On {split}:\n", head, "|---|---|---|", *others, ""])
