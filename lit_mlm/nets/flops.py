"""Floating point operations of training a net, for the model FLOP utilisation."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from lit_mlm.nets.packing import run_net
from lit_mlm.nets.trial import draw_tokens, undisturbed

NUM_TOKENS = 8
"""Of the sequence whose operations are counted."""


@dataclass(frozen=True)
class NetFlops:
    """Floating point operations of a forward pass, two for a multiplication and its addition.

    Attributes:
        encoder: of the matrices below the head, per token.
        head: of those of the head, per token that it scores.
        attention: of the products of queries, keys and values, per squared length of a sequence.
    """

    encoder: float
    head: float
    attention: float

    def count_step(self, num_tokens: float, num_scored: float, squared_lengths: float) -> float:
        """Counts a training step: the backward pass takes twice the operations of the forward pass.

        That is 6 N per token and 12 x layers x width x length for attention (Chowdhery et al. 2022, PaLM, appendix B).
        Padding, recomputed activations and the optimizer count for nothing.

        Args:
            num_tokens: without padding.
            num_scored: tokens that the head scores.
            squared_lengths: sum of the squared lengths of the sequences.
        """
        return 3 * (self.encoder * num_tokens + self.head * num_scored + self.attention * squared_lengths)


def measure_flops(net: PreTrainedModel) -> NetFlops:
    """Counts the operations of a net by the matrices that a forward pass of a short sequence uses.

    A matrix that several layers share counts once per use. Embeddings, norms and activations are left out. The random
    state and the mode of the net stay as they are.
    """
    inside = set(net.base_model.modules())
    flops = {True: 0.0, False: 0.0}

    def count(module: nn.Module, _args: Any, output: Any) -> None:
        matrix: Any = module.weight
        flops[module in inside] += 2 * matrix.numel() * output[..., 0].numel() / NUM_TOKENS

    # Conv1D is the linear layer of GPT-2 and its like in `transformers`.
    linear = [module for module in net.modules() if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"]
    hooks = [module.register_forward_hook(count) for module in linear]
    ids = draw_tokens(net, (1, NUM_TOKENS)).to(net.device)
    try:
        with undisturbed(net), torch.compiler.set_stance("force_eager"):
            run_net(net, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    finally:
        for hook in hooks:
            hook.remove()
    config: Any = net.config
    width = getattr(config, "num_hidden_layers", 0) * getattr(config, "hidden_size", 0)
    return NetFlops(flops[True], flops[False], 4.0 * width)
