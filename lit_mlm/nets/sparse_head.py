"""Runs the vocabulary head on scored positions only.

A masked language model scores about one position in seven, but runs its widest layer on all of them. A forward hook on
the encoder (`net.base_model`) passes only the hidden states of scored positions to the head, so net, parameters and
checkpoint stay those of `transformers`.

Shapes: B sequences, T tokens, H hidden size, V vocabulary, N scored positions.
"""

from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.nets.packing import run_net


def compute_scored_logits(net: PreTrainedModel, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Returns logits, shape (N, V), and labels, shape (N,), at the scored positions.

    Logits and gradients equal those of the dense net. The net runs densely where hidden states do not have one row per
    token or the head splits its input itself (Reformer's `chunk_size_lm_head`).

    Args:
        net: any `AutoModelForMaskedLM`.
        batch: as in `lit_mlm.batch`.
    """
    scored = batch["labels"] != IGNORE_INDEX
    is_sparse = False

    def keep_scored(_encoder: Any, _args: Any, output: Any) -> Any:
        nonlocal is_sparse
        hidden = output[0]
        if hidden.shape[:2] != scored.shape:
            return output
        is_sparse = True
        rows = hidden[scored].unsqueeze(0)  # (1, N, H)
        if isinstance(output, tuple):
            return (rows, *output[1:])
        output[next(iter(output))] = rows  # by index: Perceiver names it differently
        return output

    needs_all_rows = net.base_model is net or getattr(net.config, "chunk_size_lm_head", 0) > 0
    hook = None if needs_all_rows else net.base_model.register_forward_hook(keep_scored)
    try:
        logits: Tensor = run_net(net, batch)[0]
    finally:
        if hook is not None:
            hook.remove()
    rows = logits.squeeze(0) if is_sparse else logits[:, : scored.shape[1]][scored]
    return rows, batch["labels"][scored]
