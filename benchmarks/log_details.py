"""What the text, pictures and curves of `LogDetails`, and the measurements of `MeasureSpeed`, cost a run.

    OMP_NUM_THREADS=1 python -m benchmarks.log_details --repeats 2 -- --config quickstart.yaml

Each side is a whole `fit` in a process of its own, in turn: ``with`` is the run as it is, ``without`` has a
`LogDetails` that does nothing. ``inside`` is the time within both callbacks and the sums that they ask of evaluations,
which tells costs that are smaller than the noise between runs. CPU seconds are those of the main thread.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from lit_mlm.callbacks.log_details import LogDetails
from lit_mlm.callbacks.measure_speed import MeasureSpeed
from lit_mlm.cli.main import run_command
from lit_mlm.metrics.details import MaskedTokenDetails, TaggedWordDetails
from lit_mlm.modules import base

HOOKS = (
    *("setup", "on_train_start", "on_train_epoch_start", "on_train_batch_start", "on_train_batch_end"),
    *("on_validation_end", "on_train_end"),
)


class NoDetails(LogDetails):
    """Does nothing, in the place of the callback of every run."""


for hook in HOOKS:  # here, as the run imports this file under another name
    setattr(NoDetails, hook, lambda *args, **kwargs: None)


def measure(args: list[str], with_details: bool) -> dict[str, float]:
    """CPU and wall seconds of a run after all is imported, and the CPU seconds inside."""
    spent = {"inside": 0.0}

    def count(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def counted(*args: Any, **kwargs: Any) -> Any:
            began = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                spent["inside"] += time.thread_time() - began

        return counted

    for cls in (LogDetails, MeasureSpeed):
        for name in HOOKS:
            if name in vars(cls):
                setattr(cls, name, count(getattr(cls, name)))
    for part in (MaskedTokenDetails, TaggedWordDetails):
        part.update = count(part.update)  # type: ignore[method-assign]
    base.compute_details = count(base.compute_details)  # type: ignore[attr-defined]
    if not with_details:
        args = [*args, "--trainer.callbacks+=benchmarks.log_details.NoDetails", "--trust", "benchmarks"]
    cpu, wall = time.thread_time(), time.perf_counter()
    run_command(["fit", *args, "--trainer.enable_progress_bar", "false"])
    return {"cpu": time.thread_time() - cpu, "wall": time.perf_counter() - wall, **spent}


def main() -> None:
    """Prints a table of both sides."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--side", choices=["with", "without"])
    parser.add_argument("options", nargs="+", help="of fit")
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure(options.options, options.side == "with")))
        return
    found: dict[str, list[dict[str, float]]] = {"with": [], "without": []}
    for _ in range(options.repeats):
        for side, runs in found.items():
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, "-m", "benchmarks.log_details", "--side", side, "--", *options.options]
                command += ["--run_dir", str(Path(folder) / "run")]
                output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ).stdout
            runs.append(json.loads(output.splitlines()[-1]))
    print(f"{'side':<8} {'CPU s':>8} {'wall s':>8} {'inside':>8} {'share':>7}")
    for side, runs in found.items():
        cpu, wall, inside = (statistics.median(run[name] for run in runs) for name in ("cpu", "wall", "inside"))
        print(f"{side:<8} {cpu:>8.2f} {wall:>8.2f} {inside:>8.2f} {inside / cpu:>7.2%}")


if __name__ == "__main__":
    main()
