"""Runs `transformers` nets on packed rows: sequences attend to themselves alone, and their positions restart at 0.

Shapes: B rows, T tokens.
"""

import inspect
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel


def run_net(net: PreTrainedModel, batch: dict[str, Tensor]) -> Any:
    """Runs a net on a batch, packed or not (`lit_mlm.batch`); labels are not passed on."""
    if "segments" not in batch:
        names = ("input_ids", "attention_mask", "token_type_ids")
        return net(**{name: batch[name] for name in names if name in batch})
    return net(input_ids=batch["input_ids"], **isolate_segments(net, batch["segments"]))


def isolate_segments(net: PreTrainedModel, segments: Tensor) -> dict[str, Any]:
    """Returns the `forward` arguments that keep the sequences of packed rows apart.

    The mask is a 4D float bias: ``eager`` adds it to the scores, so booleans would hide nothing. Nets with several
    kinds of layers, such as ModernBERT, get one mask per kind. Padding attends to padding, as a fully masked row has no
    softmax.

    Args:
        net: any net; `lit_mlm.nets.isolation` tests whether it respects the arguments.
        segments: as in `lit_mlm.batch`, shape (B, T).

    Returns:
        ``attention_mask``, shape (B, 1, T, T) or a dict of such, and ``position_ids``, shape (B, T), if the net takes
        them.
    """
    config = net.config.get_text_config()
    is_seen = segments[:, None, :, None] == segments[:, None, None, :]
    arguments: dict[str, Any] = {"attention_mask": _make_bias(is_seen, net.dtype)}
    if "sliding_attention" in (getattr(config, "layer_types", None) or ()):
        columns = torch.arange(segments.shape[1], device=segments.device)
        # Both ends included, as in `transformers.masking_utils.sliding_window_bidirectional_overlay`.
        is_near = (columns[:, None] - columns).abs() <= config.sliding_window
        arguments["attention_mask"] = {
            "full_attention": arguments["attention_mask"],
            "sliding_attention": _make_bias(is_seen & is_near, net.dtype),
        }
    if "position_ids" in inspect.signature(net.forward).parameters:
        arguments["position_ids"] = count_positions(segments) + find_first_position(net)
    return arguments


def count_positions(segments: Tensor) -> Tensor:
    """Returns the position of each token in its sequence, shape (B, T); 0 on padding.

    Examples:
        >>> count_positions(torch.tensor([[1, 1, 1, 2, 2, 0]]))
        tensor([[0, 1, 2, 0, 1, 0]])
    """
    columns = torch.arange(segments.shape[1], device=segments.device).expand_as(segments)
    is_first = torch.ones_like(segments, dtype=torch.bool)
    is_first[:, 1:] = segments[:, 1:] != segments[:, :-1]
    starts = torch.where(is_first, columns, 0).cummax(dim=1).values
    return (columns - starts) * (segments != 0)


def find_first_position(net: PreTrainedModel) -> int:
    """Returns the first position id: RoBERTa and its relatives count from `padding_idx` + 1, others from 0."""
    for name, module in net.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return int(module.padding_idx) + 1
    return 0


def _make_bias(is_seen: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros(is_seen.shape, dtype=dtype, device=is_seen.device).masked_fill_(~is_seen, torch.finfo(dtype).min)
