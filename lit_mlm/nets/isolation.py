"""Verifies on the net itself that it keeps the sequences of packed rows apart."""

import numpy as np
import torch
from transformers import PreTrainedModel

from lit_mlm.errors import InputError
from lit_mlm.nets import pretrained
from lit_mlm.nets.packing import run_net
from lit_mlm.nets.trial import draw_tokens, undisturbed
from lit_mlm.text.packing import PackedRows, place_tokens
from lit_mlm.upstream import get_attention

TOLERANCE = 5e-5
"""The largest accepted difference between logits in packed rows and of single sequences, relative to the largest logit.

On the base sizes of BERT, DistilBERT, RoBERTa and ModernBERT, on 24 layers of BERT and on a trained MiniLM, float32
leaves 5e-7 to 2.4e-6 under ``eager`` and ``sdpa``. The smallest bug, ModernBERT's window one token too wide, leaves
1.9e-3, a lost window 1.2e-2, attention to neighbours or wrong positions 5e-2 to 1.3.
"""

IMPLEMENTATIONS = ("eager", "sdpa")
"""Attention implementations that take a float mask. Others can't be tried: an unexpected argument, such as to
``flex_attention`` on a CPU, may kill the process."""

WIDTH = 256
"""Tokens of the test rows, plus twice the reach of a sliding window."""


def require_isolation(net: PreTrainedModel) -> float:
    """Compares the logits of random tokens in packed rows with those of each sequence alone.

    The net, with weights in float32, and all random states are left unchanged. All ranks must call it if the net is
    sharded.

    Returns:
        The largest difference, relative to the largest logit.

    Raises:
        InputError: if it exceeds `TOLERANCE`, or the net does not take the arguments of packed rows.
    """
    implementation = get_attention(net.config)
    net_name = f"this net, {net.config.model_type} with the attention {implementation}"
    if implementation not in IMPLEMENTATIONS:
        raise InputError(f"{net_name}: only {' and '.join(IMPLEMENTATIONS)} take the mask that keeps sequences apart")
    with undisturbed(net):
        try:
            difference = _measure_difference(net)
        except Exception as error:  # the net's own code may raise anything
            text = " ".join(str(error).split())[:200]
            found = f"it does not accept packed rows ({type(error).__name__}: {text})"
        else:
            if difference <= TOLERANCE:
                return difference
            found = (
                f"its logits in packed rows differ from those of single sequences by {difference:.1e} (relative), "
                f"more than the {TOLERANCE:.0e} of float32"
            )
    raise InputError(f"{net_name}: {found}")


def _measure_difference(net: PreTrainedModel) -> float:
    """Returns the largest difference of logits, relative to the largest logit of single sequences.

    Of sequences in two rows, one of which exceeds the reach of a sliding window; the logits are of tokens, or of
    sequences.
    """
    config = net.config.get_text_config()
    width = WIDTH + 2 * (getattr(config, "sliding_window", None) or 0)
    width = min(width, pretrained.get_max_length(net) or width)
    part = max(1, width // 16)
    lengths = np.array([part, width - 6 * part, 3 * part, 6 * part, 1, 4 * part])
    rows = PackedRows(np.arange(6), np.array([0, 3, 6]), int(lengths.sum()), width)
    mask = (torch.arange(int(lengths.max())) < torch.from_numpy(lengths)[:, None]).long().to(net.device)
    ids = draw_tokens(net, mask.shape).to(net.device)
    packing = torch.from_numpy(place_tokens(rows, lengths, mask.shape[1])).to(net.device)
    packed = run_net(net, {"input_ids": ids, "attention_mask": mask, "packing": packing}).logits
    difference = size = torch.zeros((), device=ids.device)
    for row_ids, length, row_logits in zip(ids, lengths.tolist(), packed, strict=True):
        alone = row_ids[None, :length]
        logits = run_net(net, {"input_ids": alone, "attention_mask": torch.ones_like(alone)}).logits[0]
        found = row_logits[:length] if logits.dim() > 1 else row_logits
        difference = torch.maximum(difference, (found - logits).abs().max())
        size = torch.maximum(size, logits.abs().max())
    return float(difference / size)
