"""From text files to masked batches, against the tokenizer's own time and the published recipe.

    python -m benchmarks.data --model DIR_OR_NAME --data FOLDER [--num_documents 4000]

The folder holds text files at any depth, a document each, which are repeated under new ids.

- ``prepare``, from files to blocks in the cache. ``recipe``: the Hugging Face course, chapter 7.3: `datasets.map` with
  ``word_ids`` kept, then `datasets.map` with ``group_texts``. ``tokenizer``: `Tokenizer.encode_batch` on batches of
  1,000 texts that are in memory already, nothing kept. The others: a data module's whole path, from files to blocks
  that a loader reads, without word starts and with them.
- ``again``: the same of lit-mlm, which finds the tokens in the cache.
- ``mask tokens``, ``mask words``: 30 batches of blocks read, collated and masked, in the recipe by
  `DataCollatorForLanguageModeling` and the course's collator, whose rows lie in an Arrow table in memory.

The peak is the memory that a process must keep, its anonymous memory (RssAnon of Linux, looked at every 10 ms), over
what the imports take; pages of mapped files, which the system takes back when memory is short, are not in it.
"""

import itertools
import threading
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from datasets import Dataset

from benchmarks.collating import find_texts, make_sides, read
from benchmarks.sides import Benchmark, Figures, measuring, read_memory
from lit_mlm.data.masked.module import BlocksDataModule
from lit_mlm.data.reading.files import OnBad
from lit_mlm.nets.pretrained import load_tokenizer
from lit_mlm.text.masking.strategies import TokenMasking, WordMasking

MAP_BATCH_SIZE, NUM_BATCHES = 1000, 30


def add_options(parser: ArgumentParser) -> None:
    """Adds the options of all sides."""
    parser.add_argument("--model", required=True, help="whose tokenizer it is: name on the Hub, or folder")
    parser.add_argument("--data", required=True, help="folder with text files")
    parser.add_argument("--num_documents", type=int, default=4000)
    parser.add_argument("--batch_size", type=int, default=64, help="blocks that are collated at once")
    parser.add_argument("--length", type=int, default=128, help="tokens of a block")


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


def run_tokenizer(options: Namespace) -> Figures:
    """The figures of `encode_batch` alone."""
    figures: Figures = {}
    backend = load_tokenizer(options.model, None).backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    texts, peak = [*read(find_texts(options.data, options.num_documents))], watch_memory()
    with measuring(figures, "prepare"):
        num_tokens = 0
        for i in range(0, len(texts), MAP_BATCH_SIZE):
            num_tokens += sum(map(len, backend.encode_batch(texts[i : i + MAP_BATCH_SIZE])))
    return figures | {"peak MiB": next(peak), "same tokens": num_tokens}


def run_ours(options: Namespace, finds_words: bool) -> Figures:
    """The figures of a data module."""
    figures: Figures = {}
    files, peak = find_texts(options.data, options.num_documents), watch_memory()
    with TemporaryDirectory() as folder:
        for operation in ("prepare", "again"):
            masking = WordMasking() if finds_words else TokenMasking()
            data = Files(tokenizer=options.model, block_size=options.length, cache_dir=folder, masking=masking)
            data.files = files
            with measuring(figures, operation):
                data.setup("fit")
            figures["peak MiB"] = next(peak)
            figures["same tokens"] = int(data.texts["train"].tokens.document_lengths.sum())
            del data
    kind = "words" if finds_words else "tokens"
    return figures | collate(options, f"ours, {kind}", f"mask {kind}")


def run_recipe(options: Namespace) -> Figures:
    """The figures of the course's path."""
    figures: Figures = {}
    files, tokenizer = find_texts(options.data, options.num_documents), load_tokenizer(options.model, None)
    size, peak = options.length, watch_memory()

    def tokenize(examples: dict[str, list[str]]) -> Any:
        result = tokenizer(examples["text"])
        result["word_ids"] = [result.word_ids(i) for i in range(len(result["input_ids"]))]
        return result

    def group_texts(examples: dict[str, list[list[int]]]) -> dict[str, list[list[int]]]:
        joined = {name: sum(examples[name], []) for name in examples}  # noqa: RUF017 (as published)
        total = len(joined["input_ids"]) // size * size
        result = {n: [t[i : i + size] for i in range(0, total, size)] for n, t in joined.items()}
        result["labels"] = result["input_ids"].copy()
        return result

    with TemporaryDirectory() as folder, measuring(figures, "prepare"):
        documents = Dataset.from_dict({"text": [*read(files)]})
        cache = {"batched": True, "load_from_cache_file": False}
        tokens = documents.map(tokenize, remove_columns=["text"], cache_file_name=f"{folder}/tokens.arrow", **cache)
        tokens.map(group_texts, cache_file_name=f"{folder}/blocks.arrow", **cache)
    figures |= {"peak MiB": next(peak), "same tokens": sum(map(len, tokens["input_ids"]))}
    figures |= collate(options, "transformers, tokens", "mask tokens")
    return figures | collate(options, "course, words", "mask words")


def collate(options: Namespace, side: str, operation: str) -> Figures:
    """The figures of masked batches."""
    figures: Figures = {}
    get_rows, mask = make_sides(options, options.batch_size, options.length)[side]
    mask(get_rows())  # the first one is slower
    with measuring(figures, operation):
        for _ in range(NUM_BATCHES):
            mask(get_rows())
    return figures


def watch_memory(seconds: float = 0.01) -> Iterator[float]:
    """Begins to look at the anonymous memory of this process again and again; gives the most so far, in MiB."""
    first = read_memory("RssAnon")
    highest = [first]

    def watch() -> None:
        while True:
            highest[0] = max(highest[0], read_memory("RssAnon"))
            time.sleep(seconds)

    threading.Thread(target=watch, daemon=True).start()
    return (highest[0] - first for _ in itertools.count())


SIDES: dict[str, Callable[[Any], Figures]] = {
    "recipe": run_recipe,
    "tokenizer": run_tokenizer,
    "lit-mlm": partial(run_ours, finds_words=False),
    "lit-mlm, word starts": partial(run_ours, finds_words=True),
}
BENCHMARK = Benchmark("benchmarks.data", __doc__, SIDES, add_options)

if __name__ == "__main__":
    BENCHMARK.main()
