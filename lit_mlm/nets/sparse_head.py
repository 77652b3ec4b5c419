"""The vocabulary head on scored positions only.

A masked language model scores about one position in seven, but its head, by far the widest layer, is run on all of
them. A forward hook on the encoder (`net.base_model`) hands the head the hidden states of the scored positions alone,
so that the net itself, its parameters and its checkpoint stay those of `transformers`.

Shapes: B sequences, T tokens, H hidden size, V vocabulary, N scored positions.
"""

from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.nets.packing import run_net


def compute_scored_logits(net: PreTrainedModel, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Logits at the scored positions, equal to those of the whole batch there, gradients included.

    Where the hidden states don't have one row a token, or the head cuts its input into chunks of its own (Reformer's
    `chunk_size_lm_head`), the net runs densely and its logits are picked afterwards.

    Args:
        net: any `AutoModelForMaskedLM`.
        batch: as in `lit_mlm.text`.

    Returns:
        Logits, shape (N, V), and the labels of the same positions, shape (N,).
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
        output[next(iter(output))] = rows  # by place: Perceiver's first entry is not called last_hidden_state
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
