"""The sparse training step against the dense one.

    python -m benchmarks.sparse_step --model DIR_OR_NAME [--device cuda] [--precision bf16] [--batch_size 32]

Two tables. Speed: seconds a training step (forward, backward, AdamW) and peak memory of three steps on the same net,
data and precision, in turn within one run: `dense` as the published recipes run it (labels into the net, its own mean
loss, AdamW without fusing), `dense fused` the same with fused AdamW, and `sparse`, the step of lit-mlm. With
``--architectures`` instead: the largest difference of loss and gradient between both paths, for every architecture
that `AutoModelForMaskedLM` lists, from the tiny nets of the tests.

Peak memory on the CPU is that of a fresh process for each step (Linux), imports and weights included.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedModel

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.modules.base import LOSS_UNIT
from lit_mlm.modules.optim import group_parameters, rescale_gradients
from lit_mlm.modules.optimizers import make_optimizer
from lit_mlm.nets import pretrained
from lit_mlm.nets.loading import quiet
from lit_mlm.nets.sparse_head import compute_scored_logits

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
VARIANTS = ("dense", "dense fused", "sparse")


def make_batch(vocab_size: int, batch_size: int, length: int, device: str) -> dict[str, Tensor]:
    """Random tokens, 15 % of them scored."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1000, vocab_size, (batch_size, length), generator=generator)
    labels = torch.where(torch.rand(ids.shape, generator=generator) < 0.15, ids, IGNORE_INDEX)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
    return {name: tensor.to(device) for name, tensor in batch.items()}


def make_step(net: PreTrainedModel, variant: str, dtype: torch.dtype) -> Callable[[dict[str, Tensor]], Tensor]:
    """A training step: takes a batch, returns the mean loss in nats a token."""
    groups = group_parameters(net.named_parameters(), 0.01)
    optimizer = make_optimizer(groups, {"lr": 1e-5}, scaled=variant == "dense")
    device = net.device.type

    def step(batch: dict[str, Tensor]) -> Tensor:
        optimizer.zero_grad()
        with torch.autocast(device, dtype, enabled=dtype != torch.float32):
            if variant == "sparse":
                logits, labels = compute_scored_logits(net, batch)
                loss = F.cross_entropy(logits.float(), labels, reduction="sum") / LOSS_UNIT
            else:
                loss = net(**batch).loss
        loss.backward()
        if variant == "sparse":
            factor = torch.tensor(LOSS_UNIT / len(labels), device=device)
            rescale_gradients(net.parameters(), factor)
            loss = loss * factor
        optimizer.step()
        return loss.detach()

    return step


def measure_peak(args: argparse.Namespace, variant: str) -> float:
    """Peak memory of three steps, in MiB: the device's, or that of a process of its own on the CPU."""
    command = [sys.executable, "-m", "benchmarks.sparse_step", "--peak_of", variant, "--model", args.model]
    command += ["--device", args.device, "--precision", args.precision]
    command += ["--batch_size", str(args.batch_size), "--length", str(args.length)]
    return float(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def print_peak(args: argparse.Namespace) -> None:
    """What `measure_peak` reads: the peak over that of a loaded net."""
    net, _ = pretrained.load_net(AutoModelForMaskedLM, args.model)
    net.to(args.device).train()
    step, batch = make_step(net, args.peak_of, DTYPES[args.precision]), make_batch_for(net, args)
    for _ in range(3):
        step(batch)
    if args.device == "cuda":
        print(torch.cuda.max_memory_allocated() / 2**20)
    else:
        # Not getrusage: its peak outlives exec, so it would be that of the parent process.
        (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        print(int(peak) / 2**10)


def make_batch_for(net: PreTrainedModel, args: argparse.Namespace) -> dict[str, Tensor]:
    """The batch that the options describe."""
    return make_batch(net.config.vocab_size, args.batch_size, args.length, args.device)


def compare_speed(args: argparse.Namespace) -> None:
    """Prints seconds a step, peak memory and the first loss of each variant."""
    steps, losses = {}, {}
    seconds: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for variant in VARIANTS:
        torch.manual_seed(0)  # a model without a head gets the same random one each time
        net, _ = pretrained.load_net(AutoModelForMaskedLM, args.model)
        net.to(args.device).train()
        batch = make_batch_for(net, args)
        steps[variant] = make_step(net, variant, DTYPES[args.precision])
        torch.manual_seed(0)
        losses[variant] = float(steps[variant](batch))
    for _ in range(args.repeats):
        for variant in VARIANTS:
            synchronize(args.device)
            start = time.perf_counter()
            steps[variant](batch)
            synchronize(args.device)
            seconds[variant].append(time.perf_counter() - start)
    print("| step | s a step (median) | lowest to highest | against dense | peak MiB | first loss |")
    print("|---|---|---|---|---|---|")
    dense = statistics.median(seconds["dense"])
    for variant in VARIANTS:
        times = seconds[variant]
        median, peak = statistics.median(times), measure_peak(args, variant)
        print(
            f"| {variant} | {median:.4f} | {min(times):.4f} to {max(times):.4f} | {dense / median:.2f} x "
            f"| {peak:,.0f} | {losses[variant]:.6f} |"
        )


def synchronize(device: str) -> None:
    """Waits for the device, so that a clock read measures it."""
    if device == "cuda":
        torch.cuda.synchronize()


def compare_architectures() -> None:
    """Prints the largest difference of loss and gradient of each architecture."""
    from tests.nets.architectures import TINY
    from tests.nets.test_sparse_head import make_batch as make_tiny_batch
    from tests.nets.test_sparse_head import run_step

    print("| architecture | loss, relative | gradient, relative to the largest |")
    print("|---|---|---|")
    for model_type in sorted(TINY):
        torch.manual_seed(0)
        with quiet():
            net = AutoModelForMaskedLM.from_config(AutoConfig.for_model(model_type, **TINY[model_type])).train()
            batch = make_tiny_batch(net)
            dense_loss, dense = run_step(net, batch, sparse=False)
            sparse_loss, sparse = run_step(net, batch, sparse=True)
        largest = max(float(gradient.abs().max()) for gradient in dense.values())
        gradient = max(float((sparse[name] - dense[name]).abs().max()) for name in dense) / largest
        print(f"| {model_type} | {float((sparse_loss - dense_loss).abs() / dense_loss):.1e} | {gradient:.1e} |")


def main() -> None:
    """Parses the options and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="name on the Hub, or folder")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--precision", default="fp32", choices=sorted(DTYPES))
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--length", type=int, default=128, help="tokens a sequence")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--architectures", action="store_true", help="compare loss and gradients instead of speed")
    parser.add_argument("--peak_of", choices=VARIANTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.architectures:
        compare_architectures()
    elif args.model is None:
        parser.error("--model is required")
    elif args.peak_of:
        print_peak(args)
    else:
        compare_speed(args)


if __name__ == "__main__":
    main()
