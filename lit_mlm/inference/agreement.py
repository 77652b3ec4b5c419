"""Checks that what was exported is the checkpoint's net, by its weights and by its logits of random tokens.

Shapes: B rows, T tokens, V vocabulary or labels.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from lit_mlm.errors import InputError
from lit_mlm.nets import pretrained
from lit_mlm.nets.loading import loading, quiet
from lit_mlm.nets.trial import draw_tokens, undisturbed

LENGTHS = (1, 7, 512)
"""Tokens of the sequences that are run; nets that take fewer are run on their limit."""

ROUNDING = 16
"""The largest accepted difference of logits, as a multiple of the dtype's epsilon and of the largest logit."""


class Agreement(NamedTuple):
    """How far what was exported agrees with the checkpoint's net.

    Attributes:
        lengths: of the random sequences, in tokens; those that the net takes.
        difference: the largest one between their logits.
        size: the largest logit of the checkpoint's net.
    """

    lengths: list[int]
    difference: float
    size: float


def require_reload(auto_class: Any, folder: Path, net: PreTrainedModel, dtype: torch.dtype) -> Agreement:
    """Loads an exported folder and compares it with the checkpoint's net: weights bit by bit, logits up to rounding.

    Args:
        auto_class: the `transformers` class that loads it.
        folder: with weights and config.
        net: the checkpoint's, in float32.
        dtype: that the weights were rounded to.

    Raises:
        InputError: names the weights that are missing, unexpected or different.
    """
    with loading(str(folder)):
        reloaded, info = auto_class.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
    weights, found = net.state_dict(), reloaded.state_dict()
    changed = {name for name in found.keys() & weights.keys() if not _is_same(weights[name].to(dtype), found[name])}
    names = info["missing_keys"] | info["unexpected_keys"] | (found.keys() ^ weights.keys()) | changed
    if names:
        raise InputError(f"the written weights are not those of the checkpoint, so none are kept: {_list_some(names)}")
    agreement = measure_agreement(net, lambda batch: reloaded(**batch)[0])
    require_agreement(agreement, dtype)
    return agreement


def require_agreement(agreement: Agreement, dtype: torch.dtype, rounding: int = ROUNDING) -> None:
    """Refuses logits that differ by more than the rounding of a dtype; NaN and infinite ones too."""
    limit = rounding * torch.finfo(dtype).eps * agreement.size
    if not agreement.difference <= limit:
        raise InputError(
            f"the logits of the exported net differ from the checkpoint's by up to {agreement.difference:.2g}, more "
            f"than the {limit:.2g} of {str(dtype).removeprefix('torch.')}"
        )


def measure_agreement(net: PreTrainedModel, run: Callable[[dict[str, Tensor]], Tensor]) -> Agreement:
    """Compares the logits of random tokens by a net with those by what was exported.

    Args:
        net: the checkpoint's, in float32.
        run: returns the logits of ``input_ids`` and ``attention_mask``, shape (B, T) each, by what was exported.
    """
    longest = pretrained.get_max_length(net) or LENGTHS[-1]
    lengths, difference, size = [], 0.0, 0.0
    with quiet(), undisturbed(net):
        for length in sorted({min(length, longest) for length in LENGTHS}, reverse=True):
            batch = draw_batch(net, length)
            try:
                expected = _run_seeded(lambda inputs: net(**inputs)[0], batch)
            except (
                Exception
            ):  # its own code may raise anything where it does not take the length, as Funnel a single token
                continue
            found = _run_seeded(run, batch)
            lengths.append(length)
            difference = _max(difference, (found - expected).abs())
            size = _max(size, expected.abs())
    if not lengths:
        raise InputError("the checkpoint's net runs on no random sequence, so an export can't be compared with it")
    return Agreement(lengths[::-1], difference, size)


def draw_batch(net: PreTrainedModel, length: int) -> dict[str, Tensor]:
    """Draws a sequence of random tokens, and, if that is short, a shorter one beside it, padded."""
    batch = {"input_ids": draw_tokens(net, (2 if 1 < length < 10 else 1, length))}
    batch["attention_mask"] = torch.ones_like(batch["input_ids"])
    batch["input_ids"][1:, length // 2 :] = getattr(net.config.get_text_config(), "pad_token_id", None) or 0
    batch["attention_mask"][1:, length // 2 :] = 0
    return batch


def _run_seeded(run: Callable[[dict[str, Tensor]], Tensor], batch: dict[str, Tensor]) -> Tensor:
    """Returns the logits of the tokens, not of padding, shape (N, V); the same if the net draws in evaluation too.

    Those of whole sequences have the shape (B, V).
    """
    torch.manual_seed(0)
    is_token, logits = batch["attention_mask"] == 1, run(batch).float()
    return logits if logits.ndim == 2 else logits[:, : is_token.shape[1]][is_token]


def _max(largest: float, values: Tensor) -> float:
    """Returns the largest of all, NaN if one is."""
    return float(torch.maximum(torch.tensor(largest), values.max()))


def _is_same(weight: Tensor, found: Tensor) -> bool:
    """Whether two weights are equal, NaN included, as numbers of the first one's dtype."""
    return weight.shape == found.shape and torch.allclose(weight, found.to(weight.dtype), 0, 0, equal_nan=True)


def _list_some(names: set[str]) -> str:
    """Lists up to five names."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(sorted(names)[:5]) + more
