"""Whether a net keeps the sequences of packed rows apart: shown on the net itself, not believed of its kind.

Shapes: T tokens of a row.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from lit_mlm.errors import InputError
from lit_mlm.nets import pretrained
from lit_mlm.nets.packing import run_net

TOLERANCE = 5e-5
"""The largest difference of packed logits from those of each sequence alone, relative to the largest of these.

On the base sizes of BERT, DistilBERT, RoBERTa and ModernBERT and 24 layers of BERT, untrained, and on a trained MiniLM,
float32 leaves between 5e-7 and 2.4e-6 under ``eager`` and ``sdpa``. The smallest fault, ModernBERT's window one
token too wide, leaves 1.9e-3, a lost window 1.2e-2, attention to neighbours or wrong positions 5e-2 to 1.3.
"""

IMPLEMENTATIONS = ("eager", "sdpa")
"""The kinds of attention that take a mask of floats; kernels that get what they don't expect, as that of
``flex_attention`` on a CPU, may end the process, so that they can't be tried."""

WIDTH = 256
"""Tokens of the rows that are tried, beside twice the reach of a sliding window."""


def require_isolation(net: PreTrainedModel) -> float:
    """Runs random tokens through a net in packed rows, and each sequence by itself, and compares the logits.

    The net is left as it was, and so are all random numbers. One that is sharded is tried by all ranks at once. Returns
    the largest difference, relative to the largest logit.

    Args:
        net: with weights in float32, on any device.

    Raises:
        InputError: if the logits are not the same, or the net doesn't take the arguments of packed rows.
    """
    implementation = net.config._attn_implementation
    net_name = f"this net, {net.config.model_type} with the attention {implementation}"
    if implementation not in IMPLEMENTATIONS:
        raise InputError(
            f"data.pack_length can't be used with {net_name}: only {' and '.join(IMPLEMENTATIONS)} take the mask that "
            "keeps sequences apart; take model.attn_implementation sdpa, or leave data.pack_length out"
        )
    with _undisturbed(net):
        try:
            difference = _measure_difference(net, *_draw_rows(net))
        except Exception as error:  # of any kind: it is the net's own code that meets what it doesn't expect
            text = " ".join(str(error).split())[:200]
            found = f"it doesn't take packed rows ({type(error).__name__}: {text})"
        else:
            if difference <= TOLERANCE:
                return difference
            found = (
                f"its logits in packed rows differ from those of each sequence alone by {difference:.1e} of their "
                f"size, where float32 leaves at most {TOLERANCE:.0e}"
            )
    raise InputError(f"data.pack_length can't be used with {net_name}: {found}; leave data.pack_length out")


def _draw_rows(net: PreTrainedModel) -> tuple[Tensor, Tensor]:
    """Segments of two rows, the longest beyond the reach of a sliding window, and ids, both of shape (2, T).

    No id is special: that of padding would shift the positions of RoBERTa when its sequence stands alone.
    """
    config = net.config.get_text_config()
    width = WIDTH + 2 * (getattr(config, "sliding_window", None) or 0)
    width = min(width, pretrained.get_max_length(net) or width)
    part = max(1, width // 16)
    lengths = [[part, width - 6 * part, 3 * part], [6 * part, 1, 4 * part]]
    rows = [[number for number, size in enumerate(sizes, 1) for _ in range(size)] for sizes in lengths]
    segments = torch.tensor([row + [0] * (width - len(row)) for row in rows], device="cpu")
    special = {value for name, value in config.to_dict().items() if name.endswith("_token_id")}
    num_ids = len(net.get_input_embeddings().weight)  # type: ignore[arg-type]
    ordinary = torch.tensor([i for i in range(num_ids) if i not in special], device="cpu")
    generator = torch.Generator(device="cpu").manual_seed(0)
    drawn = torch.randint(len(ordinary), segments.shape, generator=generator, device="cpu")
    return segments.to(net.device), ordinary[drawn].to(net.device)


def _measure_difference(net: PreTrainedModel, segments: Tensor, ids: Tensor) -> float:
    """The largest difference of logits, relative to the largest of those of the sequences alone."""
    batch = {"input_ids": ids, "attention_mask": (segments != 0).long(), "segments": segments}
    packed = run_net(net, batch)[0]
    difference = size = torch.zeros((), device=ids.device)
    for row_ids, row_segments, row_logits in zip(ids, segments, packed, strict=True):
        for number in range(1, int(row_segments.max()) + 1):
            places = row_segments == number
            alone = row_ids[places][None]
            logits = run_net(net, {"input_ids": alone, "attention_mask": torch.ones_like(alone)})[0][0]
            difference = torch.maximum(difference, (row_logits[: len(places)][places] - logits).abs().max())
            size = torch.maximum(size, logits.abs().max())
    return float(difference / size)


@contextmanager
def _undisturbed(net: PreTrainedModel) -> Iterator[None]:
    """Runs a net exactly, in eval mode and without gradients, and leaves everything as it was."""
    modes = {module: module.training for module in net.modules()}
    precision, dtype = torch.get_float32_matmul_precision(), torch.get_default_dtype()
    torch.set_float32_matmul_precision("highest")  # or the noise would be as large as faults
    torch.set_default_dtype(torch.float32)  # another one where the run is to have no float32 at all
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
