"""Fill, tag and score against the pipelines of transformers and minicons.

    python -m benchmarks.inference --model DIR_OR_NAME --file TEXTS.txt [--only fill tag score] [--num_texts 400]

Both sides read the same lines of the file, in turn within one run, theirs with the fastest of `--batch_sizes`. A table
shows CPU seconds of one thread and wall time, each the median of the repeats, and the ratio of the CPU times. Heads
that the model lacks are random; they cost the same. Results of `fill` and `score` that differ between
the sides end the run; the tests compare those of `tag`.
minicons is optional.
"""

import argparse
import importlib.util
import random
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForMaskedLM, AutoModelForTokenClassification, AutoTokenizer, pipeline

from lit_mlm.inference.fill import fill_masks
from lit_mlm.inference.score import score_texts
from lit_mlm.inference.tag import tag_texts
from lit_mlm.nets.loading import quiet

LABELS = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"]
Run = Callable[[], Any]


class Comparison(NamedTuple):
    """Two sides that do the same: theirs by name, one run for each batch size, and ours."""

    task: str
    peer: str
    theirs: Mapping[int, Run]
    ours: Run
    agrees: Callable[[Any, Any], bool]


def read_texts(path: Path, num_texts: int) -> list[str]:
    """Draws lines of 3 to 200 words, by a fixed seed."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if 3 <= len(line.split()) <= 200]
    return random.Random(0).sample(lines, num_texts)


def save_model(name: str, auto_class: Any, folder: Path, **options: Any) -> str:
    """Saves the model with a head for the task, random where it has none, as both sides load folders."""
    torch.manual_seed(0)
    with quiet():
        auto_class.from_pretrained(name, config=AutoConfig.from_pretrained(name, **options)).save_pretrained(folder)
        AutoTokenizer.from_pretrained(name).save_pretrained(folder)
    return str(folder)


def compare_fill(folder: str, texts: list[str], batch_sizes: list[int]) -> Comparison:
    """The fill-mask pipeline, with one word of each text masked."""
    draw = random.Random(1)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    masked = []
    for text in texts:
        words = text.split()
        words[draw.randrange(len(words))] = tokenizer.mask_token
        masked.append(" ".join(words))
    theirs: Any = pipeline("fill-mask", folder, device="cpu")
    net = AutoModelForMaskedLM.from_pretrained(folder)

    def agrees(found: Any, ours: Any) -> bool:
        pairs = zip(found, ours, strict=True)
        return all(abs(a[0]["score"] - b[0][0]["score"]) < 1e-5 for a, b in pairs)

    runs = {size: partial(theirs, masked, batch_size=size) for size in batch_sizes}
    return Comparison("fill", "pipeline", runs, lambda: fill_masks(net, tokenizer, masked), agrees)


def compare_tag(folder: str, texts: list[str], batch_sizes: list[int]) -> Comparison:
    """The token-classification pipeline, by the first token of each word as ours."""
    theirs: Any = pipeline("token-classification", folder, device="cpu", aggregation_strategy="first")
    net, tokenizer = AutoModelForTokenClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)

    def agrees(found: Any, ours: Any) -> bool:
        return len(found) == len(ours)  # words and groups differ by design

    runs = {size: partial(theirs, texts, batch_size=size) for size in batch_sizes}
    return Comparison("tag", "pipeline", runs, lambda: tag_texts(net, tokenizer, texts), agrees)


def compare_score(folder: str, texts: list[str], batch_sizes: list[int]) -> Comparison:
    """minicons, by within-word left-to-right scores."""
    from minicons import scorer

    net, tokenizer = AutoModelForMaskedLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    theirs = scorer.MaskedLMScorer(net.eval(), "cpu", tokenizer=tokenizer)

    def run(size: int) -> list[float]:
        scores: list[float] = []
        for first in range(0, len(texts), size):
            # Encoded here, as minicons calls a method that tokenizers no longer have.
            batch = tokenizer(texts[first : first + size], padding=True, return_tensors="pt")
            scores += theirs.sequence_score(batch, reduction=lambda x: x.sum().item(), PLL_metric="within_word_l2r")
        return scores

    def agrees(found: list[float], ours: Any) -> bool:
        return all(abs(a - b.score) < 1e-3 * abs(a) + 1e-3 for a, b in zip(found, ours, strict=True))

    runs = {size: partial(run, size) for size in batch_sizes}
    return Comparison("score", "minicons", runs, lambda: score_texts(net, tokenizer, texts), agrees)


def measure(run: Run) -> tuple[float, float, Any]:
    """Returns CPU seconds, wall seconds and the result."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = run()
    return time.process_time() - cpu, time.perf_counter() - wall, result


def format_rows(comparison: Comparison, repeats: int) -> Iterator[str]:
    """Runs both sides in turn and yields the rows of the table."""
    first = {size: measure(run) for size, run in comparison.theirs.items()}
    size = min(first, key=lambda size: first[size][0])
    if not comparison.agrees(first[size][2], measure(comparison.ours)[2]):
        raise SystemExit(f"{comparison.task}: the two sides differ")
    pairs = [(measure(comparison.theirs[size])[:2], measure(comparison.ours)[:2]) for _ in range(repeats)]
    theirs, ours = (np.median(side, axis=0).tolist() for side in zip(*pairs, strict=True))
    yield f"| {comparison.task} | {comparison.peer}, batches of {size} | {theirs[0]:.1f} | {theirs[1]:.1f} | 1.0 |"
    yield f"| {comparison.task} | lit-mlm | {ours[0]:.1f} | {ours[1]:.1f} | {theirs[0] / ours[0]:.1f} |"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--file", required=True, type=Path)
    parser.add_argument("--only", nargs="+", choices=("fill", "tag", "score"), default=["fill", "tag", "score"])
    parser.add_argument("--num_texts", type=int, default=400)
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    texts = read_texts(args.file, args.num_texts)
    print("| task | side | CPU s | wall s | times as fast |\n|---|---|---|---|---|", flush=True)
    with TemporaryDirectory() as folder:
        masked = save_model(args.model, AutoModelForMaskedLM, Path(folder, "masked"))
        labels = {"id2label": dict(enumerate(LABELS)), "label2id": {label: i for i, label in enumerate(LABELS)}}
        tagger = save_model(args.model, AutoModelForTokenClassification, Path(folder, "tagger"), **labels)
        for task, compare, model in (
            ("fill", compare_fill, masked),
            ("tag", compare_tag, tagger),
            ("score", compare_score, masked),
        ):
            if task == "score" and importlib.util.find_spec("minicons") is None:
                print("| score | minicons is not installed | | | |")
            elif task in args.only:
                for row in format_rows(compare(model, texts, args.batch_sizes), args.repeats):
                    print(row, flush=True)


if __name__ == "__main__":
    main()
