"""Tokenising, cutting, collating and masking against the tokenizer's own time and the published recipe.

    python -m benchmarks.data --data DIR --model DIR_OR_NAME [--num_documents 1000 4000 16000] [--repeats 3]

DIR holds text files at any depth, a document each, which are repeated under new ids. Three tables, the sides of each in
turn within one run:

- From files to blocks in the cache. ``tokenizer``: `Tokenizer.encode_batch` on batches of 1,000 texts that are in
  memory already, nothing kept. ``ours``: a data module's whole path, from files to blocks that a loader reads, without
  word starts and with them. ``recipe``: the Hugging Face course, chapter 7.3: `datasets.map` with ``word_ids`` kept,
  then `datasets.map` with ``group_texts``. Each side in a process of its own, so peak memory is its own, over what it
  held before; seconds leave imports out. ``peak MiB`` is what a process must keep: its anonymous memory (RssAnon of
  Linux, looked at every 10 ms). ``with mapped`` counts the pages of mapped files too (VmHWM), which the system gives
  to others when memory is short.
- A second run of ours, which finds the tokens in the cache.
- Collating and masking a batch: ours against `DataCollatorForLanguageModeling` and the course's whole-word collator.
  ``collate`` starts from rows as Python lists for theirs, and from the cached stream for ours, which has no rows;
  ``read and collate`` starts from the cache for all: theirs read rows of an Arrow table in memory.
"""

import argparse
import itertools
import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from benchmarks.collating import compare_collating, find_texts, read
from lit_mlm.data.masked.module import BlocksDataModule
from lit_mlm.data.reading.files import OnBad
from lit_mlm.nets.pretrained import load_tokenizer
from lit_mlm.text.masking.strategies import TokenMasking, WordMasking

SIDES = ("tokenizer", "ours", "ours, word starts", "recipe")
BLOCK_SIZE, MAP_BATCH_SIZE = 128, 1000


def read_all(files: Sequence[Path], on_bad: OnBad) -> Iterator[str]:
    """The texts of files."""
    return read(files)


class Files(BlocksDataModule):
    """The data module of this benchmark."""

    files: Sequence[Path] = ()

    def load_documents(self, splits: Collection[str]) -> dict[str, Dataset]:
        """All files for training, the first one to validate."""
        files = {"train": self.files, "val": self.files[:1], "test": self.files[:1]}
        return {split: self.collect_documents(split, partial(read_all, files[split])) for split in splits}


def run_tokenizer(files: Sequence[Path], tokenizer: PreTrainedTokenizerBase) -> tuple[float, int]:
    """Seconds and tokens of `encode_batch`."""
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    texts, seconds, num_tokens = [*read(files)], 0.0, 0
    for i in range(0, len(texts), MAP_BATCH_SIZE):
        start = time.perf_counter()
        encodings = backend.encode_batch(texts[i : i + MAP_BATCH_SIZE])
        seconds += time.perf_counter() - start
        num_tokens += sum(map(len, encodings))
        start = time.perf_counter()
        del encodings  # freeing them is part of it
        seconds += time.perf_counter() - start
    return seconds, num_tokens


def run_ours(files: Sequence[Path], model: str, finds_words: bool, folder: str) -> tuple[float, int]:
    """Seconds and tokens of a data module that is set up."""
    masking = WordMasking() if finds_words else TokenMasking()
    data = Files(tokenizer=model, block_size=BLOCK_SIZE, cache_dir=folder, masking=masking)
    data.files = files
    start = time.perf_counter()
    data.setup("fit")
    return time.perf_counter() - start, int(data.texts["train"].tokens.document_lengths.sum())


def run_recipe(files: Sequence[Path], tokenizer: PreTrainedTokenizerBase, folder: str) -> tuple[float, int]:
    """Seconds and tokens of the course's path, its cache in a folder."""

    def tokenize(examples: dict[str, list[str]]) -> Any:
        result = tokenizer(examples["text"])
        result["word_ids"] = [result.word_ids(i) for i in range(len(result["input_ids"]))]
        return result

    def group_texts(examples: dict[str, list[list[int]]]) -> dict[str, list[list[int]]]:
        joined = {name: sum(examples[name], []) for name in examples}  # noqa: RUF017 (as published)
        total = len(joined["input_ids"]) // BLOCK_SIZE * BLOCK_SIZE
        result = {n: [t[i : i + BLOCK_SIZE] for i in range(0, total, BLOCK_SIZE)] for n, t in joined.items()}
        result["labels"] = result["input_ids"].copy()
        return result

    start = time.perf_counter()
    documents = Dataset.from_dict({"text": [*read(files)]})
    cache = {"batched": True, "load_from_cache_file": False}
    tokens = documents.map(tokenize, remove_columns=["text"], cache_file_name=f"{folder}/tokens.arrow", **cache)
    blocks = tokens.map(group_texts, cache_file_name=f"{folder}/blocks.arrow", **cache)
    seconds = time.perf_counter() - start
    return seconds, sum(map(len, tokens["input_ids"])) if len(blocks) else 0


def print_side(args: argparse.Namespace) -> None:
    """What `measure_side` reads: seconds, tokens and both MiB of one side, over what the imports take."""
    files, folder = find_texts(args.data, args.num_documents[0]), args.folder
    tokenizer = load_tokenizer(args.model, None)
    before, peak = {name: read_memory(name) for name in ("RssAnon", "VmRSS")}, watch_memory("RssAnon")
    if args.side == "tokenizer":
        seconds, num_tokens = run_tokenizer(files, tokenizer)
    elif args.side == "recipe":
        seconds, num_tokens = run_recipe(files, tokenizer, folder)
    else:
        seconds, num_tokens = run_ours(files, args.model, args.side == SIDES[2], folder)
    memory = next(peak) - before["RssAnon"], read_memory("VmHWM") - before["VmRSS"]
    print(json.dumps([seconds, num_tokens, *memory]))


def read_memory(name: str) -> float:
    """A figure of this process on Linux, in MiB; not getrusage, whose peak outlives exec."""
    (size,) = re.findall(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(size) / 2**10


def watch_memory(name: str, seconds: float = 0.01) -> Iterator[float]:
    """Begins to look at a figure of this process again and again; gives the highest one so far."""
    highest = [read_memory(name)]

    def watch() -> None:
        while True:
            highest[0] = max(highest[0], read_memory(name))
            time.sleep(seconds)

    threading.Thread(target=watch, daemon=True).start()
    return (highest[0] for _ in itertools.count())


def measure_side(args: argparse.Namespace, side: str, num: int, folder: str) -> list[float]:
    """Seconds, tokens and both peaks in MiB of one side in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.data", "--side", side, "--data", args.data, "--model", args.model]
    command += ["--num_documents", str(num), "--folder", folder]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    figures: list[float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def compare_paths(args: argparse.Namespace) -> None:
    """Prints the first two tables."""
    columns = "lowest to highest", "tokens/s", "time against tokenizer", "peak MiB", "with mapped"
    print(f"| documents | side | s (median) | {' | '.join(columns)} |")
    print("|---|---|---|---|---|---|---|---|")
    again = ["| documents | tokens | second run, s | peak MiB | with mapped |", "|---|---|---|---|---|"]
    for num in args.num_documents:
        runs: dict[str, list[list[float]]] = {side: [] for side in (*SIDES, "again")}
        for _ in range(args.repeats):
            for side in SIDES:
                with tempfile.TemporaryDirectory(dir=args.folder) as folder:
                    runs[side].append(measure_side(args, side, num, folder))
                    if side == SIDES[2]:
                        runs["again"].append(measure_side(args, side, num, folder))
        seconds = {side: [run[0] for run in found] for side, found in runs.items()}
        medians = {side: statistics.median(times) for side, times in seconds.items()}
        for side in SIDES:
            times, (_, num_tokens, peak, mapped) = seconds[side], runs[side][0]
            print(
                f"| {num:,} | {side} | {medians[side]:.2f} | {min(times):.2f} to {max(times):.2f} "
                f"| {num_tokens / medians[side]:,.0f} | {medians[side] / medians['tokenizer']:.2f} x "
                f"| {peak:,.0f} | {mapped:,.0f} |",
                flush=True,
            )
        _, num_tokens, peak, mapped = runs["again"][0]
        again.append(f"| {num:,} | {num_tokens:,} | {medians['again']:.2f} | {peak:,.0f} | {mapped:,.0f} |")
    print("", *again, sep="\n")


def main() -> None:
    """Parses the options and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with text files")
    parser.add_argument("--model", required=True, help="whose tokenizer it is: name on the Hub, or folder")
    parser.add_argument("--num_documents", type=int, nargs="+", default=[1000, 4000, 16000])
    parser.add_argument("--repeats", type=int, default=3, help="of each side of the first table")
    parser.add_argument(
        "--batches", type=int, default=31, help="of each side of the third table; the first isn't timed"
    )
    parser.add_argument("--folder", default=None, help="for the caches, which are removed; by default the system's")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.side:
        print_side(args)
    else:
        compare_paths(args)
        print()
        compare_collating(args)


if __name__ == "__main__":
    main()
