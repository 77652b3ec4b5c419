"""How far packed rows are from their sequences alone, as a table: ``python -m tests.nets.packing_table``."""

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedModel

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.nets.packing import run_net
from lit_mlm.nets.sparse_head import compute_scored_logits
from tests.nets.architectures import TINY

SHOWN = ("bert", "distilbert", "roberta", "modernbert", "electra", "albert", "camembert", "xlm-roberta")
IMPLEMENTATIONS = ("eager", "sdpa")

LENGTHS = [[3, 30, 12, 1], [17, 25], [56]]
"""Of the sequences of three rows of 56 tokens; ModernBERT's window here is 4 tokens to either side."""


def build(model_type: str, implementation: str) -> PreTrainedModel:
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, **TINY[model_type])
    net: PreTrainedModel = AutoModelForMaskedLM.from_config(config, attn_implementation=implementation)
    net.train()
    return net


def make_batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    segments = torch.zeros(len(LENGTHS), max(map(sum, LENGTHS)), dtype=torch.int64)
    for row, sizes in zip(segments, LENGTHS, strict=True):
        row[: sum(sizes)] = torch.repeat_interleave(torch.arange(1, len(sizes) + 1), torch.tensor(sizes))
    ids = torch.randint(6, 95, segments.shape, generator=generator)
    is_scored = (torch.rand(ids.shape, generator=generator) < 0.3) & (segments > 0)
    return {
        "input_ids": torch.where(segments > 0, ids, 1),
        "attention_mask": (segments > 0).long(),
        "labels": torch.where(is_scored, ids, IGNORE_INDEX),
        "segments": segments,
    }


def part(batch: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """Each sequence by itself, without padding and without `segments`."""
    names = ("input_ids", "attention_mask", "labels")
    pairs = [(row, number) for row, sizes in enumerate(LENGTHS) for number in range(1, len(sizes) + 1)]
    return [{name: batch[name][row, batch["segments"][row] == number][None] for name in names} for row, number in pairs]


def compute_gradients(net: PreTrainedModel, batches: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Of the summed loss of all batches, by the sparse head."""
    net.zero_grad(set_to_none=True)
    for batch in batches:
        logits, labels = compute_scored_logits(net, batch)
        F.cross_entropy(logits, labels, reduction="sum").backward()
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


def compare(net: PreTrainedModel) -> tuple[float, float]:
    """The largest difference of logits, and of gradients, each relative to the largest of them."""
    batch = make_batch()
    alone = part(batch)
    with torch.no_grad():
        packed = run_net(net, batch)[0][batch["segments"] > 0]
        expected = torch.cat([net(one["input_ids"])[0][0] for one in alone])
    logits = float((packed - expected).abs().max() / expected.abs().max())
    found, reference = compute_gradients(net, [batch]), compute_gradients(net, alone)
    assert found.keys() == reference.keys()
    largest = max(float(gradient.abs().max()) for gradient in reference.values())
    return logits, max(float((found[name] - reference[name]).abs().max()) for name in reference) / largest


def main() -> None:
    print(f"{'net':14}{'attention':12}{'logits':>10}{'gradients':>12}")
    for model_type in SHOWN:
        for implementation in IMPLEMENTATIONS:
            logits, gradients = compare(build(model_type, implementation))
            print(f"{model_type:14}{implementation:12}{logits:10.1e}{gradients:12.1e}")


if __name__ == "__main__":
    main()
