"""How far packed rows are from padded sequences, as a table: ``python -m tests.nets.packing_table``."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedModel

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.nets.packing import run_net
from lit_mlm.nets.sparse_head import compute_scored_logits
from lit_mlm.text.packing import PackedRows, place_tokens
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
    lengths = np.concatenate(LENGTHS)
    ends = np.cumsum([len(sizes) for sizes in LENGTHS])
    rows = PackedRows(np.arange(len(lengths)), np.append(0, ends), int(lengths.sum()), max(map(sum, LENGTHS)))
    is_token = torch.arange(int(lengths.max())) < torch.from_numpy(lengths)[:, None]
    ids = torch.randint(6, 95, is_token.shape, generator=generator)
    is_scored = (torch.rand(ids.shape, generator=generator) < 0.3) & is_token
    return {
        "input_ids": torch.where(is_token, ids, 1),
        "attention_mask": is_token.long(),
        "labels": torch.where(is_scored, ids, IGNORE_INDEX),
        "packing": torch.from_numpy(place_tokens(rows, lengths, is_token.shape[1])),
    }


def pad(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same batch without packing."""
    return {name: values for name, values in batch.items() if name != "packing"}


def compute_gradients(net: PreTrainedModel, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Of the summed loss of a batch, by the sparse head."""
    net.zero_grad(set_to_none=True)
    logits, labels = compute_scored_logits(net, batch)
    F.cross_entropy(logits, labels, reduction="sum").backward()
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


def compare(net: PreTrainedModel) -> tuple[float, float]:
    """The largest difference of logits, and of gradients, each relative to the largest of them."""
    batch = make_batch()
    padded, is_token = pad(batch), batch["attention_mask"] == 1
    with torch.no_grad():
        packed, expected = (run_net(net, each)[0][is_token] for each in (batch, padded))
    logits = float((packed - expected).abs().max() / expected.abs().max())
    found, reference = compute_gradients(net, batch), compute_gradients(net, padded)
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
