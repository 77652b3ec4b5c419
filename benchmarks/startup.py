"""From the command to its result: a sentence filled by a pipeline and by `fill`, the first line of `fit`, a typo.

    python -m benchmarks.startup --model FOLDER

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


def measure(figures: Figures, operation: str, args: list[str], cache: str, status: int = 0) -> None:
    """Adds the CPU and wall seconds of a process, which must end with a status.

    Raises:
        SystemExit: with its messages, if it ends with another.
    """
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    env = os.environ | {"XDG_CACHE_HOME": cache}
    done = subprocess.run([sys.executable, *args], env=env, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures[f"{operation} cpu"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    figures[f"{operation} wall"] = time.perf_counter() - began
    if done.returncode != status:
        raise SystemExit(f"{operation}: {done.stderr}")


def measure_first_output(figures: Figures, args: list[str], cache: str) -> None:
    """Adds the seconds until a process has written something to a terminal."""
    own, its = pty.openpty()
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    env = os.environ | {"XDG_CACHE_HOME": cache}
    with subprocess.Popen([sys.executable, *args], stdout=its, stderr=its, env=env) as process:
        os.read(own, 1)
        figures |= {"first output of fit wall": time.perf_counter() - began}
        process.kill()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures |= {"first output of fit cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def run_pipeline(options: Namespace) -> Figures:
    """The figures of a program with a pipeline."""
    figures: Figures = {}
    with TemporaryDirectory() as folder:
        model = save_model(options.model, AutoModelForMaskedLM, Path(folder))
        measure(figures, "fill a sentence", ["-c", PIPELINE, model], folder)
    return figures | {"peak MiB": 0}  # of the processes it is unknown


def run_ours(options: Namespace) -> Figures:
    """The figures of commands of lit-mlm."""
    figures: Figures = {}
    typo = ["-m", "lit_mlm", "fit", "--config", "imdb.yaml", "--data.batch_sizes", "3"]
    with TemporaryDirectory() as folder:
        model = save_model(options.model, AutoModelForMaskedLM, Path(folder, "model"))
        measure({}, "first command", typo, folder, 2)
        measure(figures, "typo", typo, folder, 2)
        fill = ["-m", "lit_mlm", "fill", "--model", model, "The [MASK] is good."]
        measure(figures, "fill a sentence", fill, folder)
        measure_first_output(figures, typo[:-2], folder)
    return figures | {"peak MiB": 0}  # of the processes it is unknown


SIDES = {"pipeline": run_pipeline, "lit-mlm": run_ours}
BENCHMARK = Benchmark("benchmarks.startup", __doc__, SIDES, add_options)

if __name__ == "__main__":
    BENCHMARK.main()
