"""The same figures and the same weights on any number of processes, for both tasks.

    python -m tests.faults.ranks_table

prints a table: what was run, what was expected, and the largest differences.
"""

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from lit_mlm.data.tokens.training import train_tokenizer
from lit_mlm.runs.checkpoints import read_checkpoint
from tests.conftest import FIXTURES, NO_DROPOUT, imdb_args, read_reviews, save_model
from tests.faults.table import print_table, time_rows
from tests.ranks import name_rank, run_ranks

Row = tuple[str, str, str, bool]

FIGURES = 1e-6
"""The largest relative difference of a figure: sums of floats in another order."""

WEIGHTS = 1e-5
"""The largest difference of a weight."""

SMALL = (("--data.batch_size", 7), ("--data.batch_size", 1000))
"""Several batches a rank, and one in all, so that the other ranks have none."""


def run(folder: Path, command: str, args: Sequence[object], num_ranks: int) -> Path:
    """Runs a command, each rank in a process of its own; returns the run's folder."""
    ddp = ("--config", "overlays/ddp.yaml", "--trainer.devices", num_ranks) if num_ranks > 1 else ()
    ranks = [name_rank(rank, num_ranks) for rank in range(num_ranks)] if num_ranks > 1 else [{}]
    run_ranks(folder.parent, [command, *args, *ddp, "--run_dir", folder], ranks, timeout=300)
    return folder


def compare_figures(folder: Path, name: str, args: Sequence[object]) -> Iterator[Row]:
    """Validation and test figures on 1, 2 and 3 processes."""
    for command, split in (("validate", "val"), ("test", "test")):
        runs = [
            json.loads(
                (run(folder / f"{command}-{number}-{i}", command, [*args, *size], number) / "metrics.json").read_text()
            )
            for number in (1, 2, 3)
            for i, size in enumerate(SMALL)
        ]
        keys = [key for key, value in runs[0].items() if key.startswith(split) and isinstance(value, int | float)]
        keys = [key for key in keys if not key.endswith(("batch_mean", "padding_fraction"))]  # these are of batches
        largest, worst = max(
            (abs(other[key] - runs[0][key]) / max(abs(runs[0][key]), 1e-12), key) for other in runs[1:] for key in keys
        )
        yield (
            f"{name}: {command} on 1, 2, 3 processes, in many batches and in one",
            f"{len(keys)} figures within {FIGURES:g}",
            f"largest relative difference {largest:.1e} ({worst})",
            largest <= FIGURES,
        )


def compare_weights(folder: Path, name: str, args: Sequence[object]) -> Iterator[Row]:
    """Weights after 10 steps of 1 x 4, 2 x 2 and 4 x 1 processes and batches."""
    options = (
        "--data.batch_size",
        2,
        "--trainer.max_epochs",
        10,
        "--trainer.max_steps",
        10,
        "--trainer.num_sanity_val_steps",
        0,
    )
    weights = {}
    for number, accumulation in ((1, 4), (2, 2), (4, 1)):
        all_args = [*args, *options, "--trainer.accumulate_grad_batches", accumulation, "--model.eps", "1e-6"]
        place = run(folder / f"fit-{number}", "fit", all_args, number)
        weights[number] = read_checkpoint(place / "checkpoints" / "last.ckpt")["state_dict"]
    for number in (2, 4):
        largest = max(float((weights[number][key] - weight).abs().max()) for key, weight in weights[1].items())
        yield (
            f"{name}: 10 steps of {number} processes x {4 // number} batches against 1 x 4",
            f"weights within {WEIGHTS:g}",
            f"largest difference {largest:.1e}",
            largest <= WEIGHTS,
        )


def rows() -> Iterator[Row]:
    """What was run, what was expected, what happened, and whether that is the same."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = save_model(folder / "model", NO_DROPOUT, train_tokenizer(iter(read_reviews()), "wordpiece", 150))
        cache = str(folder / "cache")
        tagging = ["--config", "ner-sample.yaml", "--data.data_dir", FIXTURES / "conll", "--data.vocab_size", "null"]
        tagging += [
            "--data.lowercase",
            "null",
            "--data.cache_dir",
            cache,
            "--model.config",
            "null",
            "--model.model",
            model,
        ]
        for task, args in (("MaskedLM", imdb_args(model, cache)), ("TokenClassification", tagging)):
            (folder / task).mkdir()
            # A tagger must have been trained to be scored.
            start = run(folder / task / "start", "fit", [*args, "--trainer.max_epochs", 1], 1) / "hf"
            args = [start if arg == model else arg for arg in args]
            yield from compare_figures(folder / task, task, args)
            yield from compare_weights(folder / task, task, args)


if __name__ == "__main__":
    sys.exit(print_table(time_rows(rows())))
