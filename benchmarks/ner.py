"""Training and evaluation of a tagger against the recipe of `transformers.Trainer` (Hugging Face course, chapter 7.2).

    python -m benchmarks.ner --model DIR_OR_NAME --data FOLDER --seeds 1 2 3 [--batch_size 32]

The folder holds column files `train.txt` and `valid.txt`: a model is trained for an epoch of the first sentences of the
one, and evaluated on the other. The sides are ``recipe``, ``packed`` (the default), ``padded`` (``pack_batches false``)
and ``by length`` (``group_by_length true``). F1 is counted over tokens as in the recipe, which needs the package
`accelerate`. Reading and tokenising are in the figures of lit-mlm, not in those of the recipe.
"""

import argparse
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning.pytorch as pl
import numpy as np
from datasets import Dataset
from seqeval.metrics import f1_score
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    Trainer,
    TrainingArguments,
    set_seed,
)

from benchmarks.sides import Benchmark, Figures, measuring
from lit_mlm import CoNLLDataModule, TokenClassification
from lit_mlm.data.tagged.columns import read_columns
from lit_mlm.data.tagged.labels import find_labels
from lit_mlm.data.tagged.sentences import TaggedSentence

BATCHES: dict[str, dict[str, bool]] = {
    "packed": {},
    "padded": {"pack_batches": False},
    "by length": {"group_by_length": True},
}
"""The sides of lit-mlm, with options of the data."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of all sides."""
    parser.add_argument("--model", required=True, help="name on the Hub, or folder")
    parser.add_argument("--data", required=True, type=Path, help="folder with train.txt and valid.txt")
    parser.add_argument("--sentences", type=int, default=1600, help="to train on")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=5e-4)


def run_recipe(options: argparse.Namespace) -> Figures:
    """The recipe's seconds of training and evaluation, and its F1."""
    with TemporaryDirectory() as folder:
        return train_recipe(copy_sentences(options, Path(folder)), options)


def train_recipe(folder: Path, options: argparse.Namespace) -> Figures:
    """`run_recipe` on a folder."""
    figures: Figures = {}
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
    with measuring(figures, "training"):
        trainer.train()
    with measuring(figures, "evaluation"):
        metrics = trainer.evaluate()
    return figures | {"f1": metrics["eval_f1"]}


def run_ours(options: argparse.Namespace, batches: dict[str, bool]) -> Figures:
    """The same of lit-mlm."""
    with TemporaryDirectory() as folder:
        return train_ours(copy_sentences(options, Path(folder)), options, **batches)


def train_ours(folder: Path, options: argparse.Namespace, **batches: Any) -> Figures:
    """`run_ours` on a folder."""
    figures: Figures = {}
    pl.seed_everything(options.seed, verbose=False)
    module = TokenClassification(options.model, lr=options.lr)
    data = CoNLLDataModule(
        data_dir=str(folder), batch_size=options.batch_size, cache_dir=str(folder / "cache"), num_workers=0, **batches
    )
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=1, gradient_clip_val=1.0, limit_val_batches=0, enable_checkpointing=False, **quiet
    )
    with measuring(figures, "training"):
        trainer.fit(module, data)
    trainer.limit_val_batches = 1.0
    with measuring(figures, "evaluation"):
        trainer.validate(module, data, verbose=False)
    return figures | {"f1": module.results["val"]["f1_pieces"]}


def copy_sentences(options: argparse.Namespace, folder: Path) -> Path:
    """Writes the first sentences of the training file, and the validation file."""
    sentences = islice(read_columns(options.data / "train.txt"), options.sentences)
    texts = ("".join(f"{w}\t{t}\n" for w, t in zip(each.words, each.tags, strict=True)) for each in sentences)
    (folder / "train.txt").write_text("\n".join(texts), encoding="utf-8")
    (folder / "valid.txt").write_bytes((options.data / "valid.txt").read_bytes())
    return folder


SIDES: dict[str, Callable[[Any], Figures]] = {
    "recipe": run_recipe,
    **{side: partial(run_ours, batches=batches) for side, batches in BATCHES.items()},
}
BENCHMARK = Benchmark("benchmarks.ner", __doc__, SIDES, add_options)

if __name__ == "__main__":
    BENCHMARK.main()
