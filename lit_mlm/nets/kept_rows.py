"""Runs nets on the hidden states that are needed, from the last layer on.

Behind the attention of its last layer a net works on each token alone: projection, feed-forward and head of the other
tokens are left out. Logits, gradients and random numbers stay those of the whole net.

Shapes: B rows, T tokens, H hidden size, K positions that are kept.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

LAST_LAYERS = {
    "bert": "encoder",
    "camembert": "encoder",
    "distilbert": "transformer",
    "electra": "encoder",
    "roberta": "encoder",
    "xlm-roberta": "encoder",
}
"""Where nets have their layers, by ``model_type``: those whose last layer is known, and that label a text by its first
token."""


@contextmanager
def selecting(net: PreTrainedModel, shape: Sequence[int], kept: Tensor) -> Iterator[None]:
    """Has the head, and if it can the end of the last layer, run on some positions alone.

    Args:
        net: any net with a body of its own.
        shape: of the rows that the body runs on, (B, T).
        kept: positions in the flattened rows, shape (..., K).
    """
    body: Any = net.base_model
    is_early, is_done = can_select(net) and kept.numel() < math.prod(shape), False

    def select(hidden: Tensor) -> Tensor:
        return hidden.flatten(0, 1).index_select(0, kept.flatten()).view(*kept.shape, hidden.shape[-1])

    def select_inputs(_module: Any, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        nonlocal is_done
        is_done = True
        return tuple(map(select, args))

    def select_output(_body: Any, _args: Any, output: Any) -> Any:
        if is_done or output[0].shape[:2] != tuple(shape):
            return output
        if isinstance(output, tuple):
            return (select(output[0]), *output[1:])
        output[next(iter(output))] = select(output[0])  # by index: Perceiver names it differently
        return output

    def select_input(_pooler: Any, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        is_whole = args[0].shape[:2] == tuple(shape)
        return (select(args[0]), *args[1:]) if is_whole and kept.numel() else args  # a pooler needs a first token

    with ExitStack() as stack:
        if is_early:
            first, *others = _find_end(body)
            dropouts = [each for part in (first, *others) for each in part.modules() if isinstance(each, nn.Dropout)]
            stack.callback(first.register_forward_pre_hook(select_inputs).remove)
            for dropout in dropouts:
                dropout.__dict__["forward"] = _drop(dropout, shape, select)
                stack.callback(dropout.__dict__.pop, "forward")
        stack.callback(body.register_forward_hook(select_output).remove)
        if not is_early and isinstance(getattr(body, "pooler", None), nn.Module):
            stack.callback(body.pooler.register_forward_pre_hook(select_input).remove)
        yield


def is_stock(net: PreTrainedModel) -> bool:
    """Whether a net has the code of `transformers`, unlike nets with code of their own and sharded ones."""
    return type(net).__module__.startswith("transformers.models.")


def can_select(net: PreTrainedModel) -> bool:
    """Whether the last layer is known, and layers run once, whole and as they are written."""
    is_known = net.config.model_type in LAST_LAYERS and is_stock(net)
    is_chunked = getattr(net.config, "chunk_size_feed_forward", 0) > 0
    is_changed = net.is_activation_checkpointing or getattr(net, "has_compiled_layers", False)
    return is_known and not (is_chunked or is_changed)


def _find_end(body: Any) -> list[nn.Module]:
    """The modules of the last layer that work on single tokens, in their order."""
    layer = getattr(body, LAST_LAYERS[body.config.model_type]).layer[-1]
    if body.config.model_type == "distilbert":
        return [layer.sa_layer_norm, layer.ffn]
    return [layer.attention.output, layer.intermediate, layer.output]


def _drop(dropout: nn.Dropout, shape: Sequence[int], select: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Dropout of kept positions with the random numbers that they have among all."""

    def drop(hidden: Tensor) -> Tensor:
        if not dropout.training or dropout.p == 0:
            return hidden
        return hidden * select(F.dropout(hidden.new_ones(*shape, hidden.shape[-1]), dropout.p))

    return drop
