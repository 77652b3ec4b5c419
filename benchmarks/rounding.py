"""The cost of rounding that does not depend on addresses: the sparse step with MKL_CBWR=AUTO,STRICT and without.

    python -m benchmarks.rounding --model DIR_OR_NAME

For each shape and precision several pairs of new processes, as how fast one is depends on where its memory lies: each
on one thread, in turn, the first one changing. CPU seconds and wall time of a process's fastest step (median over the
pairs), and the ratio with the setting to without it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from transformers import AutoModelForMaskedLM

from benchmarks.sparse_step import DTYPES, make_batch, make_step
from lit_mlm.nets import pretrained
from lit_mlm.upstream import ROUNDING

SHAPES = ((32, 128), (8, 512), (64, 32))
"""Sequences and tokens of a batch."""

SIDES = ("AUTO,STRICT", "")
"""Values of MKL_CBWR; an empty one leaves MKL its default."""


NUM_STEPS = 3
"""Steps that are measured of each process."""


def take_steps(args: argparse.Namespace) -> None:
    """Takes a step for each line of standard input, and prints its CPU seconds and wall time."""
    net, _ = pretrained.load_net(AutoModelForMaskedLM, args.model)
    step = make_step(net.train(), DTYPES[args.precision])
    batch_size, length = args.shape
    batch = make_batch(net.config.vocab_size, batch_size, length, "cpu")
    for _ in sys.stdin:
        torch.manual_seed(0)
        start = time.process_time(), time.perf_counter()
        step(batch)
        seconds = time.process_time() - start[0], time.perf_counter() - start[1]
        print(json.dumps(seconds), flush=True)


@contextmanager
def start_side(model: str, side: str, precision: str, shape: tuple[int, int]) -> Iterator[subprocess.Popen[str]]:
    """A process that takes steps with one value of the setting."""
    command = [sys.executable, "-m", "benchmarks.rounding", "--model", model, "--precision", precision]
    command += ["--shape", *map(str, shape)]
    environment = os.environ | {ROUNDING: side, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield process
        process.communicate()


def ask(process: subprocess.Popen[str]) -> list[float]:
    """CPU seconds and wall time of one step."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("a side is asked through its pipes")
    print(file=process.stdin, flush=True)
    return list(json.loads(process.stdout.readline()))


def measure_pair(model: str, precision: str, shape: tuple[int, int], first: int) -> list[list[float]]:
    """The least CPU seconds and wall time of each side's steps.

    Args:
        model: name or folder.
        precision: a key of `DTYPES`.
        shape: sequences and tokens of a batch.
        first: which side takes its steps first.
    """
    order = (first, 1 - first)
    with ExitStack() as stack:
        sides = {side: stack.enter_context(start_side(model, SIDES[side], precision, shape)) for side in order}
        for process in sides.values():
            ask(process)  # the first step makes the optimizer's state
        turns = [{side: ask(process) for side, process in sides.items()} for _ in range(NUM_STEPS)]
    return [[min(turn[side][kind] for turn in turns) for kind in (0, 1)] for side in (0, 1)]


def compare(args: argparse.Namespace) -> None:
    """Prints the table."""
    print("| batch | precision | CPU s, with | without | ratio | wall s, with | without | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for precision in sorted(DTYPES, reverse=True):
        for shape in SHAPES:
            pairs = [measure_pair(args.model, precision, shape, number % 2) for number in range(args.repeats)]
            cells = []
            for kind in (0, 1):
                ours, plain = (statistics.median(pair[side][kind] for pair in pairs) for side in (0, 1))
                ratio = statistics.median(pair[0][kind] / pair[1][kind] for pair in pairs)
                cells += [f"{ours:.3f}", f"{plain:.3f}", f"{ratio:.3f}"]
            print(f"| {shape[0]} x {shape[1]} | {precision} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Parses the options and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="name on the Hub, or folder")
    parser.add_argument("--repeats", type=int, default=7, help="pairs of processes")
    parser.add_argument("--precision", choices=sorted(DTYPES), help=argparse.SUPPRESS)
    parser.add_argument("--shape", type=int, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    take_steps(args) if args.shape else compare(args)


if __name__ == "__main__":
    main()
