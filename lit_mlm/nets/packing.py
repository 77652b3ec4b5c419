"""Runs `transformers` nets on packed rows: sequences attend to themselves alone, and their positions restart at 0.

Shapes: B sequences, T tokens; R packed rows, W tokens per row.
"""

import inspect
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from lit_mlm.nets.kept_rows import selecting


def run_net(net: PreTrainedModel, batch: dict[str, Tensor], kept: Tensor | None = None) -> Any:
    """Runs a net on a batch of `lit_mlm.batch`, packed or not, with the same output; labels are not passed on.

    Only the body of the net runs on packed rows: hidden states are put back to (B, T) before the head.

    Args:
        net: any net.
        batch: with ``input_ids`` of shape (B, T).
        kept: positions in the flattened batch, shape (..., K): the head gets their hidden states alone, (..., K, H),
            unless hidden states don't have one row per token.
    """
    names = ("input_ids", "attention_mask", "token_type_ids")
    inputs = {name: batch[name] for name in names if name in batch}
    if "packing" not in batch:
        if kept is None:
            return net(**inputs)
        with selecting(net, inputs["input_ids"].shape, kept):
            return net(**inputs)
    packing, (num_rows, num_columns) = batch["packing"], inputs.pop("attention_mask").shape
    segments = torch.where(packing < 0, 0, packing // num_columns + 1)
    positions = packing.clamp(min=0)  # padding repeats a token, which no other position attends to
    inputs = {name: values.flatten()[positions] for name, values in inputs.items()}
    places = invert(packing, num_rows * num_columns)
    with selecting(net, packing.shape, places.view(num_rows, num_columns) if kept is None else places[kept]):
        return net(**inputs, **isolate_segments(net, segments))


def invert(packing: Tensor, num_positions: int) -> Tensor:
    """Returns the position in the flattened packed rows of each padded position, 0 of padding, shape (B x T,).

    Examples:
        >>> invert(torch.tensor([[3, 4, 0], [5, 6, -1]]), 9)
        tensor([2, 0, 0, 0, 1, 3, 4, 0, 0])
    """
    found = packing.new_zeros(num_positions + 1)  # the last takes the padding of rows, without a wait for the device
    targets = torch.where(packing < 0, num_positions, packing).flatten()
    return found.scatter_(0, targets, torch.arange(packing.numel(), device=packing.device))[:-1]


def isolate_segments(net: PreTrainedModel, segments: Tensor) -> dict[str, Any]:
    """Returns the `forward` arguments that keep the sequences of packed rows apart.

    The mask is a 4D float bias: ``eager`` adds it to the scores, so booleans would hide nothing. Nets with several
    kinds of layers, such as ModernBERT, get one mask per kind. Padding attends to padding, as a fully masked row has no
    softmax.

    Args:
        net: any net; `lit_mlm.nets.isolation` tests whether it respects the arguments.
        segments: 0 on padding, and a number above 0 on each sequence of a row, shape (R, W).

    Returns:
        ``attention_mask``, shape (R, 1, W, W) or a dict of such, and ``position_ids``, shape (R, W), if the net takes
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
    """Returns the position of each token in its sequence, shape (R, W); 0 on padding.

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
