"""The cost of rounding that does not depend on addresses: the sparse step with MKL_CBWR=AUTO,STRICT and without.

    python -m benchmarks.rounding --model DIR_OR_NAME

For each shape and precision one process a side, both on one thread, which take their steps in turn: CPU seconds and
wall time of a step (median), and the ratio with the setting to without it.
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
from lit_mlm import ROUNDING, pretrained

SHAPES = ((32, 128), (8, 512), (64, 32))
"""Sequences and tokens of a batch."""

SIDES = ("AUTO,STRICT", "")
"""Values of MKL_CBWR; an empty one leaves MKL its default."""


def take_steps(args: argparse.Namespace) -> None:
    """Takes a step for each line of standard input, and prints its CPU seconds and wall time."""
    net, _ = pretrained.load_net(AutoModelForMaskedLM, args.model)
    step = make_step(net.train(), "sparse", DTYPES[args.precision])
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


def compare(args: argparse.Namespace) -> None:
    """Prints the table."""
    print("| batch | precision | CPU s, with | without | ratio | wall s, with | without | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for precision in sorted(DTYPES, reverse=True):
        for shape in SHAPES:
            with ExitStack() as stack:
                sides = [stack.enter_context(start_side(args.model, side, precision, shape)) for side in SIDES]
                for side in sides:
                    ask(side)  # the first step makes the optimizer's state
                turns = [[ask(side) for side in sides] for _ in range(args.repeats)]
            cells = []
            for kind in (0, 1):
                ours, plain = (statistics.median(turn[side][kind] for turn in turns) for side in (0, 1))
                ratio = statistics.median(turn[0][kind] / turn[1][kind] for turn in turns)
                cells += [f"{ours:.3f}", f"{plain:.3f}", f"{ratio:.3f}"]
            print(f"| {shape[0]} x {shape[1]} | {precision} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Parses the options and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="name on the Hub, or folder")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--precision", choices=sorted(DTYPES), help=argparse.SUPPRESS)
    parser.add_argument("--shape", type=int, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    take_steps(args) if args.shape else compare(args)


if __name__ == "__main__":
    main()
