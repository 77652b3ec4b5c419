"""Training and evaluation of a masked language model against `transformers.Trainer`.

    python -m benchmarks.mlm --model DIR_OR_NAME --data FOLDER [--precision bf16] [--seeds 1 2 3 4 5]

The folder is laid out as ``aclImdb/``. Both sides train the same net on the same blocks of its reviews, with the same
batch size, precision, AdamW, linear decay and clipping at 1.0, and evaluate it on others; the loss of an untrained net
on a given batch must be the same. The side ``recipe`` masks by `DataCollatorForLanguageModeling`. The share of the peak
is that of the floating point operations of a whole net (6 per parameter and token, attention by squared lengths, the
head for scored tokens alone) in what square products of the same precision reach; lit-mlm leaves out a part of them.
Reading and cutting the blocks again, from the cache, is in the figures of lit-mlm. Needs the package `accelerate`.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from datasets import Dataset
from torch.nn import functional as F
from transformers import AutoModelForMaskedLM, DataCollatorForLanguageModeling, Trainer, TrainingArguments, set_seed

from benchmarks.sides import Benchmark, Figures, measuring, save_model
from lit_mlm import IMDBDataModule, MaskedLM
from lit_mlm.batch import BATCH_KEYS
from lit_mlm.data.batches import BatchKey
from lit_mlm.nets.flops import measure_flops
from lit_mlm.nets.pretrained import load_net
from lit_mlm.nets.sparse_head import compute_scored_logits
from lit_mlm.runs.hardware import measure_peak

PRECISIONS: dict[str, Any] = {"fp32": "32-true", "bf16": "bf16-mixed"}


def add_options(parser: ArgumentParser) -> None:
    """Adds the options of both sides."""
    parser.add_argument("--model", required=True, help="name on the Hub, or folder")
    parser.add_argument("--data", required=True, help="folder in the layout of aclImdb/")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--length", type=int, default=128, help="tokens of a block")
    parser.add_argument("--steps", type=int, default=4, help="of training; as many batches are evaluated")


def load_data(options: Namespace, folder: str) -> IMDBDataModule:
    """The blocks of both sides, read and cut."""
    num = options.batch_size * options.steps
    data = IMDBDataModule(
        data_dir=options.data,
        tokenizer=options.model,
        block_size=options.length,
        num_train_blocks=num,
        num_val_blocks=num,
        batch_size=options.batch_size,
        cache_dir=folder,
        num_workers=0,
    )
    data.setup("fit")
    return data


def get_blocks(data: IMDBDataModule, split: str) -> dict[str, torch.Tensor]:
    """All blocks of a split with masks."""
    examples = data.examples[split]
    return examples[BatchKey(0, np.arange(len(examples)))]


def add_shares(figures: Figures, net: Any, options: Namespace) -> Figures:
    """Adds the share of the measured peak."""
    tokens = options.steps * options.batch_size * options.length
    flops = measure_flops(net).count_step(tokens, 0.15 * tokens, tokens * options.length)
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    peak = max(measure_peak(torch.device("cpu"), dtype) for _ in range(5))
    shares = {"training": flops / peak, "evaluation": flops / 3 / peak}
    return figures | {f"{name} share": seconds / figures[f"{name} cpu"] for name, seconds in shares.items()}


def run_recipe(options: Namespace) -> Figures:
    """The figures of `Trainer`."""
    figures: Figures = {}
    with TemporaryDirectory() as folder:
        model = save_model(options.model, AutoModelForMaskedLM, Path(folder, "model"), options.seed)
        data = load_data(options, folder)
        found = {split: get_blocks(data, split) for split in ("train", "val")}
        rows = {
            split: Dataset.from_dict({"input_ids": torch.where(b["labels"] < 0, b["input_ids"], b["labels"]).tolist()})
            for split, b in found.items()
        }
        set_seed(options.seed)
        net = AutoModelForMaskedLM.from_pretrained(model)
        with torch.no_grad():
            first = {name: found["val"][name][: options.batch_size] for name in BATCH_KEYS}
            figures["same first loss"] = float(net.eval()(**first).loss)
        arguments = TrainingArguments(
            str(Path(folder, "out")),
            learning_rate=5e-5,
            max_steps=options.steps,
            weight_decay=0.01,
            per_device_train_batch_size=options.batch_size,
            per_device_eval_batch_size=options.batch_size,
            bf16=options.precision == "bf16",
            seed=options.seed,
            save_strategy="no",
            prediction_loss_only=True,
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
        )
        trainer = Trainer(net, arguments, DataCollatorForLanguageModeling(data.tokenizer), rows["train"], rows["val"])
        with measuring(figures, "training"):
            trainer.train()
        with measuring(figures, "evaluation"):
            trainer.evaluate()
        return add_shares(figures, net, options)


def compute_loss(model: str, blocks: dict[str, torch.Tensor], batch_size: int) -> float:
    """The mean loss of the first batch, in nats a token, by the sparse head."""
    net, _ = load_net(AutoModelForMaskedLM, model)
    with torch.no_grad():
        batch = {name: tensor[:batch_size] for name, tensor in blocks.items()}
        return float(F.cross_entropy(*compute_scored_logits(net.eval(), batch)))


def run_ours(options: Namespace) -> Figures:
    """The figures of lit-mlm."""
    figures: Figures = {}
    with TemporaryDirectory() as folder:
        model = save_model(options.model, AutoModelForMaskedLM, Path(folder, "model"), options.seed)
        data = load_data(options, folder)
        pl.seed_everything(options.seed, verbose=False)
        module = MaskedLM(model, lr=5e-5)
        quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        trainer = pl.Trainer(
            accelerator="cpu",
            max_steps=options.steps,
            precision=PRECISIONS[options.precision],
            gradient_clip_val=1.0,
            limit_val_batches=0,
            enable_checkpointing=False,
            **quiet,
        )
        figures["same first loss"] = compute_loss(model, get_blocks(data, "val"), options.batch_size)
        with measuring(figures, "training"):
            trainer.fit(module, data)
        trainer.limit_val_batches = 1.0
        with measuring(figures, "evaluation"):
            trainer.validate(module, data, verbose=False)
        return add_shares(figures, module.net, options)


BENCHMARK = Benchmark("benchmarks.mlm", __doc__, {"recipe": run_recipe, "lit-mlm": run_ours}, add_options)

if __name__ == "__main__":
    BENCHMARK.main()
