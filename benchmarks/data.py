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
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerBase, default_data_collator

from lit_mlm.data.corpus import CorpusDataModule
from lit_mlm.data.masked_blocks import MaskedBlocks, make_masking
from lit_mlm.data.order import BatchKey
from lit_mlm.data.stream import tokenize_batch
from lit_mlm.pretrained import load_tokenizer
from lit_mlm.text.blocks import cut_blocks
from lit_mlm.text.special_tokens import SpecialTokens, find_pad_id
from lit_mlm.text.strategies import MaskingStrategy, SpanMasking, TokenMasking, WordMasking

SIDES = ("tokenizer", "ours", "ours, word starts", "recipe")
BLOCK_SIZE, MAP_BATCH_SIZE = 128, 1000
WORD_PROB = 0.2


def find_texts(folder: str, num: int) -> list[Path]:
    """The files of that many documents, from the first one again where there are fewer."""
    files = sorted(Path(folder).rglob("*.txt"))
    if not files:
        sys.exit(f"--data {folder} holds no *.txt")
    return [files[i % len(files)] for i in range(num)]


def read(files: Iterable[Path]) -> Iterator[str]:
    """Texts, each with a number in front, so that no two are equal."""
    return (f"{i} {file.read_text('utf-8', errors='replace')}" for i, file in enumerate(files))


class Files(CorpusDataModule):
    """The data module of this benchmark."""

    files: Sequence[Path] = ()

    def load_documents(self, splits: Collection[str]) -> dict[str, Dataset]:
        """All files for training, the first one to validate."""
        return {
            split: self.collect_documents(split, read(self.files if split == "train" else self.files[:1]))
            for split in splits
        }


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
    return time.perf_counter() - start, int(data.get_document_lengths("train").sum())


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


def collate_words(features: list[dict[str, Any]], tokenizer: PreTrainedTokenizerBase) -> Any:
    """The course's whole-word collator: probability 0.2 a word, always the mask token."""
    for feature in features:
        word_ids = feature.pop("word_ids")
        mapping = defaultdict(list)
        current_index, current = -1, None
        for i, word_id in enumerate(word_ids):
            if word_id is not None:
                if word_id != current:
                    current = word_id
                    current_index += 1
                mapping[current_index].append(i)
        mask = np.random.binomial(1, WORD_PROB, (len(mapping),))  # noqa: NPY002 (as published)
        labels, new_labels = feature["labels"], [-100] * len(feature["labels"])
        for word_id in np.where(mask)[0]:
            for i in mapping[word_id]:
                new_labels[i] = labels[i]
                feature["input_ids"][i] = tokenizer.mask_token_id
        feature["labels"] = new_labels
    return default_data_collator(features)


def make_sides(
    args: argparse.Namespace, size: int, length: int
) -> dict[str, tuple[Callable[[], Any], Callable[[Any], object]]]:
    """For each side what reads the rows of a batch, and what makes masked tensors of them."""
    tokenizer = load_tokenizer(args.model, None)
    batch = {"text": [*read(find_texts(args.data, max(100, size * length // 200)))]}
    table = tokenize_batch(batch, tokenizer, True, finds_words=True)
    stream = table["input_ids"].combine_chunks().flatten().to_numpy()
    starts = table["word_starts"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    blocks = cut_blocks(np.array([len(stream)]), length, drop_tail=True)
    key = BatchKey(0, np.arange(size))

    def mask(prob: float, mask_token_prob: float, strategy: MaskingStrategy) -> Callable[[Any], object]:
        masking = make_masking(tokenizer, prob, mask_token_prob, (1 - mask_token_prob) / 2, strategy)
        options = (SpecialTokens([], []), masking, 0, find_pad_id(tokenizer), starts)
        examples = MaskedBlocks(stream, blocks, np.arange(len(blocks)), *options)
        return lambda _: examples[key]

    ids = stream[: size * length].reshape(size, length)
    words: Any = (np.cumsum(starts[: size * length]) - 1).reshape(size, length).astype(object)
    words[np.isin(ids, tokenizer.all_special_ids)] = None
    columns = {"input_ids": ids.tolist(), "attention_mask": np.ones_like(ids).tolist()}
    rows = Dataset.from_dict(columns)
    word_rows = Dataset.from_dict(columns | {"labels": ids.tolist(), "word_ids": words.tolist()})
    places, collator = list(range(size)), DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    return {
        "ours, tokens": (int, mask(0.15, 0.8, TokenMasking())),
        "ours, words": (int, mask(WORD_PROB, 1.0, WordMasking())),
        "ours, spans": (int, mask(0.15, 0.8, SpanMasking())),
        "transformers, tokens": (lambda: rows.__getitems__(places), collator),
        "course, words": (lambda: word_rows.__getitems__(places), lambda rows: collate_words(rows, tokenizer)),
    }


def compare_collating(args: argparse.Namespace) -> None:
    """Prints the third table."""
    columns = "collate, ms (lowest to highest)", "read and collate, ms", "transformers' / this", "course's / this"
    print(f"| batch | side | {' | '.join(columns)} |")
    print("|---|---|---|---|---|---|")
    for size, length in ((64, 128), (64, 512)):
        sides = make_sides(args, size, length)
        times: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
        for _ in range(args.batches):
            for side, (get_rows, collate) in sides.items():
                start = time.perf_counter()
                rows = get_rows()
                middle = time.perf_counter()
                collate(rows)
                end = time.perf_counter()
                times[side].append((1000 * (end - middle), 1000 * (end - start)))
        medians = {side: np.median(found[1:], axis=0) for side, found in times.items()}
        for side, found in times.items():
            own = [collate for collate, _ in found[1:]]
            ratios = [medians[other] / medians[side] for other in ("transformers, tokens", "course, words")]
            cells = [f"{collate:.1f} x ({both:.1f} x with reading)" for collate, both in ratios]
            print(
                f"| {size} x {length} | {side} | {medians[side][0]:.2f} ({min(own):.2f} to {max(own):.2f}) "
                f"| {medians[side][1]:.2f} | {cells[0]} | {cells[1]} |"
            )


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
