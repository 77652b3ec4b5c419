"""Training and evaluation of a tagger against the recipe of `transformers.Trainer` (Hugging Face course, chapter 7.2).

    OMP_NUM_THREADS=1 python -m benchmarks.ner --model DIR_OR_NAME --data FOLDER --seeds 1 2 3 [--batch_size 32]

The folder holds column files `train.txt` and `valid.txt`: a model is trained for an epoch of the first sentences of the
one, and evaluated on the other. Each side runs in a process of its own, one after the other for each seed: ``recipe``,
``packed`` (the default), ``padded`` (``pack_batches false``) and ``by length`` (``group_by_length true``). Tables show
CPU seconds of the process, its peak memory, F1 counted over tokens as in the recipe, and its difference to the recipe.
The recipe needs the package `accelerate`.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer, set_seed

from lit_mlm import CoNLLDataModule, TokenClassification
from lit_mlm.data.tagged.columns import read_columns
from lit_mlm.data.tagged.labels import find_labels
from lit_mlm.data.tagged.sentences import TaggedSentence

SIDES = {
    "recipe": None,
    "packed": {},
    "padded": {"pack_batches": False},
    "by length": {"group_by_length": True},
}


def run_recipe(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """The recipe's seconds of training and evaluation, and its F1."""
    from datasets import Dataset
    from seqeval.metrics import f1_score
    from transformers import DataCollatorForTokenClassification, Trainer, TrainingArguments

    sentences = {split: list(read_columns(folder / f"{split}.txt")) for split in ("train", "valid")}
    labels = find_labels(sentences["train"], "IOB2")
    ids = {label: i for i, label in enumerate(labels)}
    inside = [ids[f"I-{label[2:]}"] if label.startswith("B-") else i for i, label in enumerate(labels)]
    make_tokenizer: Any = AutoTokenizer.from_pretrained
    tokenizer = make_tokenizer(options.model)
    set_seed(options.seed)
    net = AutoModelForTokenClassification.from_pretrained(options.model, id2label=dict(enumerate(labels)), label2id=ids)

    def encode(sentence: TaggedSentence) -> dict[str, Any]:
        encoded = tokenizer(sentence.words, truncation=True, is_split_into_words=True)
        numbers = [ids[tag] for tag in sentence.tags]
        words = encoded.word_ids()
        pairs = zip(words, [None, *words], strict=False)
        found = [-100 if i is None else numbers[i] if i != before else inside[numbers[i]] for i, before in pairs]
        return dict(encoded) | {"labels": found}

    def compute_metrics(prediction: Any) -> dict[str, float]:
        logits, gold = prediction
        best, kept = np.argmax(logits, axis=-1), gold != -100
        names = [
            [[labels[i] for i in row[keep]] for row, keep in zip(side, kept, strict=True)] for side in (gold, best)
        ]
        return {"f1": float(f1_score(*names))}

    rows = {split: Dataset.from_list([encode(sentence) for sentence in found]) for split, found in sentences.items()}
    arguments = TrainingArguments(
        str(folder / "out"),
        learning_rate=options.lr,
        num_train_epochs=1,
        weight_decay=0.01,
        per_device_train_batch_size=options.batch_size,
        per_device_eval_batch_size=options.batch_size,
        seed=options.seed,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
    )
    collate = DataCollatorForTokenClassification(tokenizer)
    trainer = Trainer(
        net,
        arguments,
        collate,
        rows["train"],
        rows["valid"],
        processing_class=tokenizer,
        compute_metrics=compute_metrics,
    )
    began = time.process_time()
    trainer.train()
    trained = time.process_time()
    metrics = trainer.evaluate()
    return {"train": trained - began, "evaluate": time.process_time() - trained, "f1": metrics["eval_f1"]}


def run_ours(folder: Path, options: argparse.Namespace, **batches: Any) -> dict[str, float]:
    """The same of lit-mlm."""
    pl.seed_everything(options.seed, verbose=False)
    module = TokenClassification(options.model, lr=options.lr)
    data = CoNLLDataModule(
        data_dir=str(folder), batch_size=options.batch_size, cache_dir=str(folder / "cache"), num_workers=0, **batches
    )
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=1, gradient_clip_val=1.0, limit_val_batches=0, enable_checkpointing=False, **quiet
    )
    began = time.process_time()
    trainer.fit(module, data)
    trained = time.process_time()
    trainer.limit_val_batches = 1.0
    trainer.validate(module, data, verbose=False)
    metrics = module.results["val"]
    return {"train": trained - began, "evaluate": time.process_time() - trained, "f1": metrics["f1_pieces"]}


def run_side(options: argparse.Namespace) -> None:
    """Runs one side in this process and prints what it measured."""
    torch.set_num_threads(1)
    batches, folder = SIDES[options.side], Path(options.data)
    found = run_recipe(folder, options) if batches is None else run_ours(folder, options, **batches)
    found["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(json.dumps(found))


def copy_sentences(data: Path, folder: Path, num_sentences: int) -> None:
    """Writes the first sentences of the training file, and the validation file."""
    sentences = islice(read_columns(data / "train.txt"), num_sentences)
    texts = ("".join(f"{w}\t{t}\n" for w, t in zip(each.words, each.tags, strict=True)) for each in sentences)
    (folder / "train.txt").write_text("\n".join(texts), encoding="utf-8")
    (folder / "valid.txt").write_bytes((data / "valid.txt").read_bytes())


def measure(options: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """Runs all sides for each seed, and prints each result."""
    found: dict[str, list[dict[str, float]]] = {side: [] for side in options.sides}
    with TemporaryDirectory() as folder:
        copy_sentences(Path(options.data), Path(folder), options.sentences)
        for seed in options.seeds:
            for side in options.sides:
                command = [sys.executable, "-m", "benchmarks.ner", "--model", options.model, "--data", folder]
                command += ["--side", side, "--seed", str(seed), "--lr", str(options.lr)]
                command += ["--batch_size", str(options.batch_size)]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                found[side].append(json.loads(output.splitlines()[-1]))
                print(f"seed {seed}, {side}: {output.splitlines()[-1]}", file=sys.stderr, flush=True)
    return found


def print_table(found: dict[str, list[dict[str, float]]]) -> None:
    """Prints the median of each side, its ratio to the recipe, and F1 of all seeds."""
    first = next(iter(found))

    def show(side: str, name: str) -> str:
        ratios = [a[name] / b[name] for a, b in zip(found[first], found[side], strict=True)]
        median = statistics.median(each[name] for each in found[side])
        return f"{median:.1f} | {statistics.median(ratios):.2f} x ({min(ratios):.2f} to {max(ratios):.2f})"

    print(f"| side | training, CPU s | {first} / this | evaluation, CPU s | {first} / this | peak MiB |\n|{'---|' * 6}")
    for side, runs in found.items():
        memory = statistics.median(run["memory"] for run in runs)
        print(f"| {side} | {show(side, 'train')} | {show(side, 'evaluate')} | {memory:,.0f} |")
    print(f"\n| side | F1 by seed | mean | difference to {first}, its standard error |\n|---|---|---|---|")
    for side, runs in found.items():
        values = np.array([run["f1"] for run in runs])
        differences = values - [run["f1"] for run in found[first]]
        error = differences.std(ddof=1) / len(runs) ** 0.5 if len(runs) > 1 else float("nan")
        each = " ".join(f"{value:.3f}" for value in values)
        print(f"| {side} | {each} | {values.mean():.3f} | {differences.mean():+.3f} ({error:.3f}) |")


def main() -> None:
    """Parses the options and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--sentences", type=int, default=1600)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side is not None:
        run_side(options)
    else:
        print_table(measure(options))


if __name__ == "__main__":
    main()
