"""The sparse training step against the dense one, for every architecture that `AutoModelForMaskedLM` lists.

    python -m benchmarks.sparse_step

The largest difference of loss and gradient between both, from the tiny nets of the tests.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedModel

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.modules.base import LOSS_UNIT
from lit_mlm.modules.optim import group_parameters, rescale_gradients
from lit_mlm.modules.optimizers import make_optimizer
from lit_mlm.nets.cross_entropy import sum_cross_entropy
from lit_mlm.nets.loading import quiet
from lit_mlm.nets.sparse_head import compute_scored_logits

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def make_batch(vocab_size: int, batch_size: int, length: int, device: str) -> dict[str, Tensor]:
    """Random tokens, 15 % of them scored."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1000, vocab_size, (batch_size, length), generator=generator)
    labels = torch.where(torch.rand(ids.shape, generator=generator) < 0.15, ids, IGNORE_INDEX)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
    return {name: tensor.to(device) for name, tensor in batch.items()}


def make_step(net: PreTrainedModel, dtype: torch.dtype) -> Callable[[dict[str, Tensor]], Tensor]:
    """A training step of lit-mlm: takes a batch, returns the mean loss in nats a token."""
    optimizer = make_optimizer(group_parameters(net.named_parameters(), 0.01), {"lr": 1e-5}, scaled=False)
    device = net.device.type

    def step(batch: dict[str, Tensor]) -> Tensor:
        optimizer.zero_grad()
        with torch.autocast(device, dtype, enabled=dtype != torch.float32):
            logits, labels = compute_scored_logits(net, batch)
            loss = sum_cross_entropy(logits, labels) / LOSS_UNIT
        loss.backward()
        factor = torch.tensor(LOSS_UNIT / len(labels), device=device)
        rescale_gradients(net.parameters(), factor)
        optimizer.step()
        return (loss * factor).detach()

    return step


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


if __name__ == "__main__":
    compare_architectures()
