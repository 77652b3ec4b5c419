"""Compares sides, each in a process of its own, in turn; CPU and wall seconds, memory, and their ratios."""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoTokenizer

from lit_mlm.nets.loading import quiet

Figures = dict[str, float]
"""What a side measures: by operation ``<operation> cpu`` and ``<operation> wall`` in seconds, and others by name."""

Runs = dict[str, list[Figures]]
"""The figures of each side, one for each seed."""

ONE_THREAD = {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}
"""The environment of each side: one thread of torch and of tokenizers."""

TOLERANCE = 1e-4
"""Relative difference that figures may have which must be the same on all sides, those named ``same ...``."""


@contextmanager
def measuring(figures: Figures, operation: str) -> Iterator[None]:
    """Adds the CPU seconds of this process and the wall seconds of a block."""
    cpu, wall = time.process_time(), time.perf_counter()
    yield
    figures |= {f"{operation} cpu": time.process_time() - cpu, f"{operation} wall": time.perf_counter() - wall}


def read_memory(name: str) -> float:
    """A figure of this process on Linux, in MiB; not getrusage, whose peak outlives exec."""
    (size,) = re.findall(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(size) / 2**10


def save_model(name: str, auto_class: Any, folder: Path, seed: int = 0, **options: Any) -> str:
    """Saves a model with a head for a task, random where it has none, so that all sides load the same."""
    torch.manual_seed(seed)
    with quiet():
        auto_class.from_pretrained(name, config=AutoConfig.from_pretrained(name, **options)).save_pretrained(folder)
        AutoTokenizer.from_pretrained(name).save_pretrained(folder)
    return str(folder)


@dataclass(frozen=True)
class Benchmark:
    """Sides that do the same.

    Attributes:
        module: that is run, as ``python -m MODULE``.
        doc: its description.
        sides: by name, the first one is what the others are compared with.
        add_options: adds options to a parser.
    """

    module: str
    doc: str | None
    sides: Mapping[str, Callable[[Any], Figures]]
    add_options: Callable[[argparse.ArgumentParser], None]

    def parse(self, args: Sequence[str] | None = None) -> argparse.Namespace:
        """Parses options, by default those of this process."""
        parser = argparse.ArgumentParser(description=self.doc, formatter_class=argparse.RawDescriptionHelpFormatter)
        self.add_options(parser)
        parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="a run of each side for each")
        parser.add_argument("--sides", nargs="+", choices=self.sides, default=list(self.sides))
        parser.add_argument("--side", choices=self.sides, help=argparse.SUPPRESS)
        parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
        return parser.parse_args(args)

    def main(self) -> None:
        """Runs one side and prints its figures, or all and prints tables."""
        options = self.parse()
        if options.side is None:
            print("\n".join(format_runs(self.run(sys.argv[1:]))))
            return
        torch.set_num_threads(1)
        figures = self.sides[options.side](options)
        print(json.dumps({"peak MiB": read_memory("VmHWM")} | figures))

    def run(self, args: Sequence[str]) -> Runs:
        """Runs all sides for each seed, and tells each result on standard error.

        Raises:
            SystemExit: if the sides differ in what must be the same.
        """
        options = self.parse(args)
        runs: Runs = {side: [] for side in options.sides}
        for seed in options.seeds:
            for side in options.sides:
                command = [sys.executable, "-m", self.module, *args, "--side", side, "--seed", str(seed)]
                env = os.environ | ONE_THREAD
                output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env).stdout
                runs[side].append(json.loads(output.splitlines()[-1]))
                print(f"{self.module}, seed {seed}, {side}: {output.splitlines()[-1]}", file=sys.stderr, flush=True)
            check_same(runs)
        return runs


def check_same(runs: Runs) -> None:
    """Ends the process if figures of the last seed differ that must be the same."""
    for name in next(iter(runs.values()))[0]:
        found = {side: each[-1][name] for side, each in runs.items() if each and name in each[-1]}
        first = next(iter(found.values()), 0.0)
        if name.startswith("same ") and any(abs(value - first) > TOLERANCE * abs(first) for value in found.values()):
            raise SystemExit(f"the sides differ: {name.removeprefix('same ')} is {found}")


def list_ratios(runs: Runs, side: str, name: str) -> list[float]:
    """A figure of the first side over that of another, for each seed."""
    first = next(iter(runs.values()))
    return [a[name] / b[name] for a, b in zip(first, runs[side], strict=True) if name in a and name in b]


def format_runs(runs: Runs) -> Iterator[str]:
    """Formats a table of each operation, and of F1 where there is one."""
    first = next(iter(runs))
    names = dict.fromkeys(name for found in runs.values() for name in found[0])
    for operation in (name.removesuffix(" cpu") for name in names if name.endswith(" cpu")):
        has_share = f"{operation} share" in names
        columns = [f"CPU s | {first} / this | wall s | {first} / this", "peak MiB"]
        if has_share:
            columns.insert(1, "share of peak")
        yield f"| {operation} | {' | '.join(columns)} |\n|:---|---:|:---|---:|:---|{'---:|' * has_share}---:|"
        for side, found in runs.items():
            if f"{operation} cpu" in found[0]:
                yield f"| {' | '.join([side, *format_side(runs, side, operation, has_share)])} |"
        yield ""
    if "f1" in names:
        yield f"| F1 | by seed | mean | difference to {first}, its standard error |\n|:---|:---|---:|:---|"
        for side, found in ((side, found) for side, found in runs.items() if "f1" in found[0]):
            values, others = (np.array([run["f1"] for run in each]) for each in (found, runs[first]))
            differences = values - others
            error = differences.std(ddof=1) / len(found) ** 0.5 if len(found) > 1 else np.nan
            each = " ".join(f"{value:.3f}" for value in values)
            yield f"| {side} | {each} | {values.mean():.3f} | {differences.mean():+.3f} ({error:.3f}) |"
        yield ""


def format_side(runs: Runs, side: str, operation: str, has_share: bool) -> Iterator[str]:
    """The cells of a side: medians, and ratios with the lowest and the highest."""
    for clock in ("cpu", "wall"):
        name = f"{operation} {clock}"
        ratios = list_ratios(runs, side, name)
        yield f"{statistics.median(run[name] for run in runs[side]):.3g}"
        yield f"{statistics.median(ratios):.2f} x ({min(ratios):.2f} to {max(ratios):.2f})" if ratios else ""
    if has_share:
        yield f"{statistics.median(run[f'{operation} share'] for run in runs[side]):.0%}"
    peak = statistics.median(run["peak MiB"] for run in runs[side])
    yield f"{peak:,.0f}" if peak else ""
