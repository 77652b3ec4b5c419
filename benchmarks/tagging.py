"""Tagging sentences of mixed lengths, against the `token-classification` pipeline of `transformers`.

    OMP_NUM_THREADS=1 python -m benchmarks.tagging --model DIR_OR_NAME --data FOLDER

Both sides tag the same sentences with the same net; a model without a head gets a random one. The label of a word is
that of its first token (``aggregation_strategy="first"``). Without a batch size `tag` fills batches by tokens.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from transformers import AutoModelForTokenClassification, pipeline

from benchmarks.collating import find_texts
from lit_mlm.inference.tag import tag_texts
from lit_mlm.nets import pretrained

LABELS = ["O", *(f"{prefix}-{kind}" for kind in ("PER", "LOC", "ORG", "MISC") for prefix in "BI")]


def read_sentences(folder: str, num: int) -> list[str]:
    """Lines of the documents of a folder, of 2 to 80 words, in random order."""
    texts = (file.read_text("utf-8", errors="replace") for file in find_texts(folder, 100))
    lines = (line.strip() for text in texts for line in text.split("\n"))
    kept = sorted({line for line in lines if 2 <= len(line.split()) <= 80})
    return random.Random(0).sample(kept, num)


def measure(sides: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[tuple[float, float]]]:
    """CPU and wall seconds of each side, in turn; the first round warms up."""
    times: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    for _ in range(repeats + 1):
        for side, run in sides.items():
            cpu, wall = time.process_time(), time.perf_counter()
            run()
            times[side].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {side: found[1:] for side, found in times.items()}


def benchmark_tag(model: str, sentences: Sequence[str], repeats: int) -> None:
    """Prints a table of both sides: CPU and wall seconds, and CPU seconds against the pipeline's best batch size."""
    torch.manual_seed(0)
    net, _ = pretrained.load_net(AutoModelForTokenClassification, model, labels=LABELS)
    tokenizer = pretrained.load_tokenizer(model, None)
    net.eval()
    make_pipeline: Any = pipeline
    tagger = make_pipeline("token-classification", model=net, tokenizer=tokenizer, aggregation_strategy="first")
    sides: dict[str, Callable[[], object]] = {"lit-mlm": lambda: tag_texts(net, tokenizer, sentences)}
    for size in (8, 32):
        sides[f"pipeline, batch_size {size}"] = partial(tagger, list(sentences), batch_size=size)
    times = measure(sides, repeats)
    medians = {side: statistics.median(cpu for cpu, _ in found) for side, found in times.items()}
    best = min(medians[side] for side in list(sides)[1:])
    print("| side | CPU s (lowest to highest) | wall s | pipeline's best / this |")
    print("|---|---|---|---|")
    for side, found in times.items():
        cpu, wall = ([pair[i] for pair in found] for i in range(2))
        print(
            f"| {side} | {medians[side]:.2f} ({min(cpu):.2f} to {max(cpu):.2f}) | {statistics.median(wall):.2f} "
            f"| {best / medians[side]:.2f} x |"
        )


def main() -> None:
    """Parses the options and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="name on the Hub, or folder")
    parser.add_argument("--data", required=True, help="folder with *.txt files, a sentence a line")
    parser.add_argument("--sentences", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    benchmark_tag(args.model, read_sentences(args.data, args.sentences), args.repeats)


if __name__ == "__main__":
    main()
