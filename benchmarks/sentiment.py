"""Sentiment of film reviews, against the `Trainer` of `transformers` on the same net, texts, options and seeds.

    OMP_NUM_THREADS=1 python -m benchmarks.sentiment --model DIR_OR_NAME --data FOLDER

The folder is laid out as ``aclImdb/``. Both sides train on the same reviews, cut to their first or last tokens, with
linear decay and clipping at 1.0, and are scored on all test reviews. The order of training and the weights of the head
are drawn by each side from its seed. Prints a row for each side and seed, and the paired difference over seeds and
reviews.
"""

import argparse
import json
import random
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from datasets import Dataset
from lightning.pytorch import Trainer, seed_everything

from lit_mlm import LabelledFilesDataModule, TextClassification
from lit_mlm.data.sets.imdb_sentiment import find_reviews
from lit_mlm.metrics.classes import ClassMetrics
from lit_mlm.metrics.paired import METRICS, compare_sides
from lit_mlm.nets import pretrained

LABELS = ["neg", "pos"]
Texts = list[dict[str, str]]


def read_reviews(folder: Path, split: str, num: int | None = None) -> Texts:
    """The reviews of a split; `num` of them at random, half of them of each label."""
    rng, texts = random.Random(0), []
    for label, files in find_reviews(folder, split).items():
        chosen = files if num is None else rng.sample(files, num // 2)
        texts += [{"text": file.read_text("utf-8"), "label": label} for file in chosen]
    return texts


def run_ours(model: str, folder: Path, options: Any, seed: int) -> tuple[torch.Tensor, float]:
    """Trains and scores; returns the logits of the test reviews and the CPU seconds of training."""
    seed_everything(seed)
    files = {f"{split}_files": str(folder / f"{split}.jsonl") for split in ("train", "val", "test")}
    rows = {"window": options.length, "long_texts": options.keep, "batch_size": options.batch_size}
    data = LabelledFilesDataModule(**files, **rows, cache_dir=str(folder / "cache"), num_workers=0)
    module = TextClassification(model, lr=options.lr, weight_decay=0.01)
    quiet: dict[str, Any] = {"enable_progress_bar": False, "logger": False, "enable_checkpointing": False}
    trainer = Trainer(accelerator="cpu", max_epochs=options.epochs, gradient_clip_val=1.0, limit_val_batches=0, **quiet)
    start = time.process_time()
    trainer.fit(module, data)
    seconds = time.process_time() - start
    logits: dict[int, torch.Tensor] = {}
    data.setup("test")
    net: Any = module.net
    net.eval()
    for batch in data.test_dataloader():
        with torch.no_grad():
            logits |= dict(zip(batch["texts"].tolist(), module.compute_logits(batch), strict=True))
    return torch.stack([logits[i] for i in range(len(logits))]), seconds


def run_theirs(model: str, train: Texts, test: Texts, options: Any, seed: int) -> tuple[torch.Tensor, float]:
    """The same by the `Trainer`."""
    transformers.set_seed(seed)
    net = transformers.AutoModelForSequenceClassification.from_pretrained(model, num_labels=2)
    tokenizer = pretrained.load_tokenizer(model)
    tokenizer.truncation_side = {"head": "right", "tail": "left"}[options.keep]

    def encode(texts: Texts) -> Dataset:
        rows = Dataset.from_list([{"text": row["text"], "label": LABELS.index(row["label"])} for row in texts])
        limit = {"truncation": True, "max_length": options.length}
        return rows.map(lambda batch: tokenizer(batch["text"], **limit), batched=True, remove_columns=["text"])

    with tempfile.TemporaryDirectory() as folder:
        args = transformers.TrainingArguments(
            folder,
            num_train_epochs=options.epochs,
            per_device_train_batch_size=options.batch_size,
            learning_rate=options.lr,
            weight_decay=0.01,
            seed=seed,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
        )
        trainer = transformers.Trainer(net, args, train_dataset=encode(train), processing_class=tokenizer)
        start = time.process_time()
        trainer.train()
        seconds = time.process_time() - start
        logits = trainer.predict(encode(test)).predictions
    return torch.from_numpy(np.asarray(logits)), seconds


def main() -> None:
    """Parses the options and compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="name on the Hub, or folder")
    parser.add_argument("--data", required=True, type=Path, help="folder in the layout of aclImdb/")
    parser.add_argument("--reviews", type=int, help="to train on; default all")
    parser.add_argument("--length", type=int, default=128, help="tokens of a review")
    parser.add_argument("--keep", choices=["head", "tail"], default="tail", help="its start or end; default the end")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args()
    train, test = read_reviews(options.data, "train", options.reviews), read_reviews(options.data, "test")
    gold = torch.tensor([LABELS.index(row["label"]) for row in test])
    right: dict[str, list[Any]] = {"Trainer": [], "lit-mlm": []}
    print("| side | seed | accuracy | macro F1 | calibration error | CPU s |\n|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for split, texts in {"train": train, "val": test, "test": test}.items():
            (Path(folder) / f"{split}.jsonl").write_text("\n".join(map(json.dumps, texts)))
        for seed in options.seeds:
            sides = {
                "lit-mlm": partial(run_ours, options.model, Path(folder), options, seed),
                "Trainer": partial(run_theirs, options.model, train, test, options, seed),
            }
            for side, run in sides.items():
                logits, seconds = run()
                metrics = ClassMetrics(LABELS)
                metrics.update(logits, gold, torch.arange(len(gold)))
                found = metrics.compute()
                low, high = found["accuracy_low"], found["accuracy_high"]
                print(
                    f"| {side} | {seed} | {found['accuracy']:.3f} ({low:.3f} to {high:.3f}) | {found['f1_macro']:.3f} "
                    f"| {found['calibration_error']:.3f} | {seconds:.0f} |",
                    flush=True,
                )
                right[side].append((logits.argmax(dim=-1) == gold).numpy())
    sums = {side: np.stack([np.array(rows), np.ones_like(rows)], axis=-1, dtype=float) for side, rows in right.items()}
    for side, each in sums.items():
        print(f"{side}: mean accuracy {each[..., 0].mean():.4f}")
    change = compare_sides(sums["Trainer"], sums["lit-mlm"], METRICS["accuracy"])
    low, high = f"{change.low:+.4f}", f"{change.high:+.4f}"
    print(f"lit-mlm - Trainer: {change.value:+.4f}, 95 % interval {low} to {high}, p {change.p:.3f}")


if __name__ == "__main__":
    main()
