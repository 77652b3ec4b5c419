"""Runs the vocabulary head on scored positions only.

A masked language model scores about one position in seven, but runs its widest layer on all of them. Hooks pass on the
hidden states of scored positions alone, so net, parameters and checkpoint stay those of `transformers`.

Shapes: B sequences, T tokens, V vocabulary, N scored positions.
"""

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
    (scored,) = (batch["labels"].flatten() != IGNORE_INDEX).nonzero(as_tuple=True)
    needs_all_rows = net.base_model is net or getattr(net.config, "chunk_size_lm_head", 0) > 0
    logits: Tensor = run_net(net, batch, None if needs_all_rows else scored[None])[0]
    is_sparse = logits.shape[:2] == (1, len(scored))
    rows = logits[0] if is_sparse else logits[:, : batch["labels"].shape[1]].flatten(0, 1)[scored]
    return rows, batch["labels"].flatten()[scored]
