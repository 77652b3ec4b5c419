"""Packed rows in a `transformers` net: a sequence attends to itself alone, and its positions start anew.

Shapes: B rows, T tokens.
"""

import inspect
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel


def run_net(net: PreTrainedModel, batch: dict[str, Tensor]) -> Any:
    """What a net returns for a batch, packed or not.

    Args:
        net: any net of `transformers`.
        batch: as in `lit_mlm.text`; its labels are not passed on.
    """
    if "segments" not in batch:
        return net(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    return net(input_ids=batch["input_ids"], **isolate_segments(net, batch["segments"]))


def isolate_segments(net: PreTrainedModel, segments: Tensor) -> dict[str, Any]:
    """The arguments of a net's forward that keep the sequences of packed rows apart.

    A mask has four dimensions and is of floats: ``eager`` adds it to the scores, where one of booleans would hide
    nothing, and ``sdpa`` takes either. A net whose layers are of several kinds, such as ModernBERT, gets one for each
    kind. Padding sees padding, as a row of scores that are all hidden has no softmax.

    Args:
        net: any net; whether it does as it is told here only `lit_mlm.nets.isolation` shows.
        segments: as in `lit_mlm.text`, shape (B, T).

    Returns:
        ``attention_mask``, shape (B, 1, T, T) or a dict of such, and ``position_ids``, shape (B, T), if the net takes
        them.
    """
    config = net.config.get_text_config()
    is_seen = segments[:, None, :, None] == segments[:, None, None, :]
    arguments: dict[str, Any] = {"attention_mask": _make_bias(is_seen, net.dtype)}
    if "sliding_attention" in (getattr(config, "layer_types", None) or ()):
        places = torch.arange(segments.shape[1], device=segments.device)
        # Both ends included, as in `transformers.masking_utils.sliding_window_bidirectional_overlay`.
        is_near = (places[:, None] - places).abs() <= config.sliding_window
        arguments["attention_mask"] = {
            "full_attention": arguments["attention_mask"],
            "sliding_attention": _make_bias(is_seen & is_near, net.dtype),
        }
    if "position_ids" in inspect.signature(net.forward).parameters:
        arguments["position_ids"] = count_positions(segments) + find_first_position(net)
    return arguments


def count_positions(segments: Tensor) -> Tensor:
    """The place of each token in its sequence, from 0, shape (B, T); 0 on padding."""
    places = torch.arange(segments.shape[1], device=segments.device).expand_as(segments)
    is_first = torch.ones_like(segments, dtype=torch.bool)
    is_first[:, 1:] = segments[:, 1:] != segments[:, :-1]
    starts = torch.where(is_first, places, 0).cummax(dim=1).values
    return (places - starts) * (segments != 0)


def find_first_position(net: PreTrainedModel) -> int:
    """The position id of a sequence's first token.

    RoBERTa and its relatives count from behind the `padding_idx` of their table of positions, the others from 0.
    """
    for name, module in net.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return int(module.padding_idx) + 1
    return 0


def _make_bias(is_seen: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros(is_seen.shape, dtype=dtype, device=is_seen.device).masked_fill_(~is_seen, torch.finfo(dtype).min)
