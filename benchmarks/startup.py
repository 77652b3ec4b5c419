"""From the command to its result: a sentence filled by a pipeline and by `fill`, the first line of `fit`, a typo.

    OMP_NUM_THREADS=1 python -m benchmarks.startup --model FOLDER

Each run is a process of its own. The first command on an installation, which saves the options of all, is not counted.
"""

import os
import pty
import resource
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from tempfile import TemporaryDirectory

from transformers import AutoModelForMaskedLM

from benchmarks.sides import Benchmark, Figures, save_model

PIPELINE = """
import sys
from transformers import pipeline
print(pipeline("fill-mask", sys.argv[1], device="cpu")("The [MASK] is good.")[0]["token_str"])
"""
"""A program without lit-mlm that fills a mask."""


def add_options(parser: ArgumentParser) -> None:
    """Adds the options of both sides."""
    parser.add_argument("--model", required=True, help="name on the Hub, or folder, of a model with [MASK]")


def measure(figures: Figures, operation: str, args: list[str], cache: str) -> None:
    """Adds the CPU and wall seconds of a process, and the peak of all so far."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, *args], env=os.environ | {"XDG_CACHE_HOME": cache}, capture_output=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures[f"{operation} cpu"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    figures[f"{operation} wall"] = time.perf_counter() - began
    figures["peak MiB"] = after.ru_maxrss / 2**10


def measure_first_output(figures: Figures, args: list[str]) -> None:
    """Adds the seconds until a process has written something to a terminal."""
    own, its = pty.openpty()
    cpu, wall = time.process_time(), time.perf_counter()
    with subprocess.Popen([sys.executable, *args], stdout=its, stderr=its) as process:
        os.read(own, 1)
        figures |= {"first output of fit cpu": time.process_time() - cpu}
        figures |= {"first output of fit wall": time.perf_counter() - wall}
        process.kill()


def run_pipeline(options: Namespace) -> Figures:
    """The figures of a program with a pipeline."""
    figures: Figures = {}
    with TemporaryDirectory() as folder:
        model = save_model(options.model, AutoModelForMaskedLM, Path(folder))
        measure(figures, "fill a sentence", ["-c", PIPELINE, model], folder)
    return figures


def run_ours(options: Namespace) -> Figures:
    """The figures of commands of lit-mlm."""
    figures: Figures = {}
    typo = ["-m", "lit_mlm", "fit", "--config", "imdb.yaml", "--data.batch_sizes", "3"]
    with TemporaryDirectory() as folder:
        model = save_model(options.model, AutoModelForMaskedLM, Path(folder, "model"))
        measure({}, "first command", typo, folder)
        measure(figures, "typo", typo, folder)
        fill = ["-m", "lit_mlm", "fill", "--model", model, "The [MASK] is good."]
        measure(figures, "fill a sentence", fill, folder)
        measure_first_output(figures, typo[:-2])
    return figures


SIDES = {"pipeline": run_pipeline, "lit-mlm": run_ours}
BENCHMARK = Benchmark("benchmarks.startup", __doc__, SIDES, add_options)

if __name__ == "__main__":
    BENCHMARK.main()
