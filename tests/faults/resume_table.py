"""Every step of a run is resumed, on one and on several processes, and held against the uninterrupted run.

    python -m tests.faults.resume_table

prints a table: what was resumed, what was expected, and the largest differences of weights and optimizer.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lit_mlm.data.tokens.training import train_tokenizer
from tests.conftest import TINY_BERT, imdb_args, read_reviews, save_model
from tests.faults.table import print_table, time_rows
from tests.ranks import name_rank, run_ranks
from tests.resumed_runs import KEEP, NO_DIFFERENCES, find_differences

Row = tuple[str, str, str, bool]

BUCKETS_KEPT = ("--trainer.strategy", "ddp_find_unused_parameters_true")
"""DDP then never rebuilds its buckets after the first step, which would add the ranks' gradients in another order."""

DIGITS = 1e-6
"""The largest difference of a weight that the other order may make on 3 processes, weights being about 0.1."""


def fit(folder: Path, args: Sequence[object], num_ranks: int) -> None:
    """Runs a training, each rank in a process of its own."""
    ddp = ("--config", "overlays/ddp.yaml", "--trainer.devices", num_ranks) if num_ranks > 1 else ()
    ranks = [name_rank(rank, num_ranks) for rank in range(num_ranks)] if num_ranks > 1 else [{}]
    # A strategy that is typed holds over that of the overlay.
    run_ranks(folder, ["fit", *args, *ddp], ranks, timeout=300)


def resume_all(
    folder: Path,
    args: Sequence[object],
    num_ranks: int,
    workers: tuple[int, int],
    limit: float = 0.0,
    steps: Sequence[str] | None = None,
) -> Iterator[Row]:
    """Resumes a run at each of its steps.

    Args:
        folder: for the runs.
        args: of the training.
        num_ranks: number of processes.
        workers: of the uninterrupted run, and of the resumed ones.
        limit: that weights and optimizer may differ by; at 0 the figures must be equal, too.
        steps: the names of those that are resumed; by default all.
    """
    folder.mkdir()
    whole = folder / "whole"
    fit(folder, [*args, *KEEP, "--data.num_workers", workers[0], "--run_dir", whole], num_ranks)
    for place in sorted((folder / "whole-kept").iterdir()):
        if steps is not None and place.name not in steps:
            continue
        run = folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(place, run)
        fit(folder, [*args, *KEEP, "--data.num_workers", workers[1], "--run_dir", run], num_ranks)
        found = find_differences(whole, run)
        ok = found == NO_DIFFERENCES if limit == 0 else _is_close(found, limit)
        yield (
            f"resumed at step {place.name}, {num_ranks} processes, workers {workers[0]} then {workers[1]}",
            "bit for bit" if limit == 0 else f"weights within {limit:g}",
            _describe(found),
            ok,
        )


def rows() -> Iterator[Row]:
    """What was injected, what was expected, what happened, and whether that is the same."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = save_model(folder / "model", TINY_BERT, train_tokenizer(iter(read_reviews()), "wordpiece", 150))
        args = [*imdb_args(model, str(folder / "cache")), "--trainer.max_epochs", "3", "--data.batch_size"]
        for num_ranks, size in ((1, 8), (2, 4)):
            for workers in ((0, 2), (2, 0)):
                place = folder / f"{num_ranks}-{workers[0]}"
                yield from resume_all(place, [*args, str(size)], num_ranks, workers)
        some = ("02", "05-before", "07")
        yield from resume_all(folder / "kept", [*args, "3", *BUCKETS_KEPT], 3, (0, 0), steps=some)
        yield from resume_all(folder / "rebuilt", [*args, "3"], 3, (0, 0), limit=DIGITS, steps=some)


def _is_close(found: dict[str, Any], limit: float) -> bool:
    return "step" not in found and "rate" not in found and max(found["weights"], found["optimizer"]) <= limit


def _describe(found: dict[str, Any]) -> str:
    figures = f"{len(found['metrics'])} figures differ"
    others = ", ".join(f"{name} {value}" for name, value in found.items() if name in ("step", "rate"))
    largest = f"largest difference {found['weights']:.1e} of a weight, {found['optimizer']:.1e} of the optimizer"
    return f"{largest}; {figures}{others and '; ' + others}"


if __name__ == "__main__":
    sys.exit(print_table(time_rows(rows())))
