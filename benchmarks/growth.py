"""How time and memory grow with the corpus, the length, the vocabulary, the model and the tokens of a batch.

    python -m benchmarks.growth --model DIR_OR_NAME --data FOLDER [--picture growth.svg]

Each point is a process of its own. The corpus is read, tokenised by the model's tokenizer and cut, as in
`benchmarks.data`; the others are a training step of a net from scratch, the faster one of two: 16 sequences of 128
tokens, a vocabulary of 30,522 and 4 layers of 256, but for what grows, and 4 sequences where the parameters do. The
exponent is the slope of the logarithm of the time over that of what grows: 1 is proportional.
"""

import math
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import AutoModelForMaskedLM, BertConfig

from benchmarks import data
from benchmarks.sides import Benchmark, Figures, Runs, measuring, read_memory
from benchmarks.sparse_step import make_batch, make_step

SIZES = {"BERT-mini": (4, 256), "BERT-medium": (8, 512), "DistilBERT": (6, 768), "BERT-base": (12, 768)}
"""Layers and width of nets."""

TOKENS = 2048
"""Of a batch."""


class Point(NamedTuple):
    """A training step: tokens of a batch, length of a sequence, vocabulary, layers and width."""

    tokens: int = TOKENS
    length: int = 128
    vocabulary: int = 30_522
    layers: int = 4
    width: int = 256

    def count_parameters(self) -> int:
        """The parameters of the layers, which most operations are of."""
        return 12 * self.layers * self.width**2


NETS = [Point(512, layers=layers, width=width) for layers, width in SIZES.values()]
POINTS: dict[str, dict[float, Point]] = {
    "length": {length: Point(length=length) for length in (64, 128, 256, 512, 1024)},
    "tokens": {tokens: Point(tokens) for tokens in (1024, 2048, 4096, 8192)},
    "vocabulary": {size: Point(vocabulary=size) for size in (30_522, 60_000, 120_000, 250_000)},
    "parameters": {point.count_parameters(): point for point in NETS},
}
"""The steps by what grows and its value."""

DOCUMENTS = (1000, 2000, 4000, 8000)
"""Sizes of the corpus."""


def add_options(parser: ArgumentParser) -> None:
    """Adds the options of all points."""
    data.add_options(parser)
    parser.add_argument("--picture", type=Path, help="SVG or PNG of the curves")


def run_step(options: Namespace, point: Point) -> Figures:
    """The figures of the faster one of two training steps."""
    torch.manual_seed(options.seed)
    config = BertConfig(
        vocab_size=point.vocabulary,
        num_hidden_layers=point.layers,
        hidden_size=point.width,
        num_attention_heads=point.width // 64,
        intermediate_size=4 * point.width,
        max_position_embeddings=max(512, point.length),
    )
    net: Any = AutoModelForMaskedLM.from_config(config)
    step = make_step(net.train(), torch.float32)
    batch = make_batch(point.vocabulary, point.tokens // point.length, point.length, "cpu")
    before = read_memory("VmRSS")
    step(batch)  # the first one is slower
    found: tuple[Figures, Figures] = ({}, {})
    for figures in found:
        with measuring(figures, "step"):
            step(batch)
    best = min(found, key=lambda figures: figures["step cpu"])
    return best | {"peak MiB": read_memory("VmHWM") - before}


def run_corpus(options: Namespace, num_documents: int) -> Figures:
    """The figures of `prepare` for that many documents."""
    options.num_documents = num_documents
    found = data.run_ours(options, finds_words=False)
    return {name: found[name] for name in ("prepare cpu", "prepare wall", "peak MiB")}


STEPS = {f"{value} {axis}": point for axis, points in POINTS.items() for value, point in points.items()}
SIDES: dict[str, Callable[[Any], Figures]] = {
    **{f"{num} documents": partial(run_corpus, num_documents=num) for num in DOCUMENTS},
    **{name: partial(run_step, point=point) for name, point in STEPS.items()},
}
BENCHMARK = Benchmark("benchmarks.growth", __doc__, SIDES, add_options)


def list_curves(runs: Runs) -> dict[str, list[tuple[float, float, float]]]:
    """For what grows its values, the CPU seconds, the least of all seeds, and the MiB."""
    curves: dict[str, list[tuple[float, float, float]]] = {}
    for side, found in runs.items():
        value, axis = side.split()
        seconds = min(figures[name] for figures in found for name in figures if name.endswith(" cpu"))
        curves.setdefault(axis, []).append((float(value), seconds, min(figures["peak MiB"] for figures in found)))
    return curves


def format_curves(runs: Runs) -> list[str]:
    """A table of the curves with their exponents."""
    lines = ["| what grows | values | CPU s | exponent | MiB |", "|:---|:---|:---|---:|:---|"]
    for axis, points in list_curves(runs).items():
        values, seconds, memory = zip(*points, strict=True)
        slope = np.polyfit(np.log(values), np.log(seconds), 1)[0] if len(values) > 1 else math.nan
        forms = (values, ",.0f"), (seconds, ".2f"), (memory, ",.0f")
        sizes, times, peaks = (", ".join(format(number, form) for number in each) for each, form in forms)
        lines.append(f"| {axis} | {sizes} | {times} | {slope:.2f} | {peaks} |")
    return lines


def draw_curves(runs: Runs, path: Path) -> None:
    """Writes a picture: seconds against what grows, each relative to its first point."""
    from matplotlib import pyplot as plt

    plt.rcParams["svg.fonttype"] = "none"  # text stays text
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for axis, points in list_curves(runs).items():
        values, seconds, _ = np.array(points).T
        axes.plot(values / values[0], seconds / seconds[0], "o-", label=axis)
    axes.set(xscale="log", yscale="log", xlabel="size against the first", ylabel="CPU seconds against the first")
    limits = axes.get_xlim()
    axes.plot(limits, limits, ":", color="gray", label="proportional")
    axes.legend()
    figure.savefig(path)


if __name__ == "__main__":
    if "--side" in sys.argv:
        BENCHMARK.main()
    else:
        runs = BENCHMARK.run(sys.argv[1:])
        print("\n".join(format_curves(runs)))
        if (picture := BENCHMARK.parse().picture) is not None:
            draw_curves(runs, picture)
