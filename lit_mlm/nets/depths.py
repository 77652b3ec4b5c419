"""Depths of a net's parameters, and what is frozen by them."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from lit_mlm.errors import InputError


def find_depths(module: nn.Module, encoder: nn.Module, option: str = "model.layer_decay") -> dict[nn.Parameter, int]:
    """Returns the depth of each parameter: head 0, last layer 1, embeddings the number of layers + 1.

    Layers are the encoder's `nn.ModuleList`; several lists of equal length side by side (XLM) are one stack, and shared
    layers (ALBERT) are one layer. Embeddings are the parameters that the encoder registers before its layers or names
    so, even if tied to the head. Anything else, such as a final norm, counts as the head.

    Args:
        module: whose parameters are returned.
        encoder: its part with the layers, `base_model` of `transformers` nets.
        option: that needs the depths, for the error message.
    """
    stacks: dict[str, nn.ModuleList] = {}
    for name, part in encoder.named_modules():
        is_inside = any(name.startswith(f"{stack}.") for stack in stacks)
        if isinstance(part, nn.ModuleList) and not is_inside and next(part.parameters(), None) is not None:
            stacks[name] = part
    if len({(name.rpartition(".")[0], len(stack)) for name, stack in stacks.items()}) != 1:
        raise InputError(
            f"{option} needs a net with one stack of layers, but {type(encoder).__name__} has "
            f"{', '.join(stacks) or 'none'}; leave it out"
        )
    layers = {
        p: len(stack) - i for stack in stacks.values() for i, layer in enumerate(stack) for p in layer.parameters()
    }
    depths = dict.fromkeys(module.parameters(), 0)
    is_before = True
    # All names of a tied weight count: in some nets the first one is the head's.
    for name, parameter in encoder.named_parameters(remove_duplicate=False):
        is_before = is_before and parameter not in layers
        if is_before or "embed" in name:
            depths[parameter] = max(layers.values()) + 1
    return depths | layers


def freeze(module: nn.Module, encoder: nn.Module, options: Mapping[str, Any]) -> None:
    """Freezes the `freeze_layers` lowest layers, and with `freeze_embeddings` everything below the layers."""
    num_layers = options["freeze_layers"]
    if not (num_layers or options["freeze_embeddings"]):
        return
    depths = find_depths(module, encoder, "model.freeze_layers" if num_layers else "model.freeze_embeddings")
    bottom = max(depths.values())  # of the embeddings
    if num_layers >= bottom:
        raise InputError(f"model.freeze_layers is {num_layers}, but the net has {bottom - 1} layers")
    for parameter, depth in depths.items():
        if options["freeze_embeddings"] if depth == bottom else depth >= bottom - num_layers:
            parameter.requires_grad = False
