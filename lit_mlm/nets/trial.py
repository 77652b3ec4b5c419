"""Runs a net on random tokens to check it, and leaves all as it was."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel


def draw_tokens(net: PreTrainedModel, shape: Sequence[int]) -> Tensor:
    """Draws token ids of a net, the same each time.

    Special ids are left out, as padding ids would shift RoBERTa's positions.
    """
    special = {value for name, value in net.config.get_text_config().to_dict().items() if name.endswith("_token_id")}
    embeddings: Any = net.get_input_embeddings()
    num_ids = len(getattr(embeddings, "weight", embeddings))  # Perceiver's are a parameter
    ordinary = torch.tensor([i for i in range(num_ids) if i not in special], device="cpu")
    generator = torch.Generator(device="cpu").manual_seed(0)
    return ordinary[torch.randint(len(ordinary), tuple(shape), generator=generator, device="cpu")]


@contextmanager
def undisturbed(net: PreTrainedModel) -> Iterator[None]:
    """Runs a net in eval mode, float32 and without gradients, and restores all global state."""
    modes = {module: module.training for module in net.modules()}
    precision, dtype = torch.get_float32_matmul_precision(), torch.get_default_dtype()
    torch.set_float32_matmul_precision("highest")  # lower precision would hide bugs in noise
    torch.set_default_dtype(torch.float32)  # may be another one under "bf16-true"
    net.eval()
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        devices = [net.device] if net.device.type == "cuda" else []
        no_autocast = torch.autocast(net.device.type, enabled=False)
        with torch.random.fork_rng(devices), torch.no_grad(), no_autocast:
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002 (some nets seed it)
        for module, mode in modes.items():
            module.training = mode
        torch.set_float32_matmul_precision(precision)
        torch.set_default_dtype(dtype)
