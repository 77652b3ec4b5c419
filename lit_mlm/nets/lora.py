"""Low-rank adaptation of a net by peft: the layers' matrices stay, and small ones beside them are trained."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from lit_mlm.errors import InputError, shorten
from lit_mlm.nets.depths import find_depths
from lit_mlm.options import Amount, Count, Part, check_options


@dataclass(frozen=True)
class Lora:
    """Options of low-rank adaptation (Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models", ICLR).

    A matrix W becomes W + alpha / r x B A. Only A, B and the head are trained; the model that is written has the sum.

    Args:
        r: rank of A and B.
        alpha: scale of their product, times r.
        dropout: of their input, in [0, 1).
        target_modules: ends of the names of the matrices, or a regular expression for whole names; by default all
            matrices of the layers.
    """

    r: Count = 8
    alpha: Amount = 16.0
    dropout: Part = 0.0
    target_modules: list[str] | str | None = None

    def __post_init__(self) -> None:
        check_options("model.lora", type(self), vars(self))
        if find_spec("peft") is None:
            raise InputError("model.lora needs peft: pip install 'lit-mlm[lora]'")


def add_lora(net: PreTrainedModel, options: Mapping[str, Any]) -> None:
    """Adds matrices to a net in place, and freezes all others but those of its head (depth 0 of `find_depths`).

    At the start B is 0, so the net computes what it did. Its parameters keep their names, those of an adapted matrix
    with ``base_layer`` in it.

    Args:
        net: before its optimizer is created.
        options: the fields of `Lora`.
    """
    from peft import LoraConfig, inject_adapter_in_model  # slow to import
    from peft.utils.error import NoMatchingPeftModuleError

    lora = Lora(**options)
    depths, names = find_depths(net, net.base_model, "model.lora"), _name_parameters(net)
    is_trained = {parameter: parameter.requires_grad and depth == 0 for parameter, depth in depths.items()}
    bottom, targets = max(depths.values()), lora.target_modules
    linear: dict[str, Any] = {n: part for n, part in net.named_modules() if isinstance(part, nn.Linear | Conv1D)}
    if targets is None:
        targets = [name for name, module in linear.items() if 0 < depths[module.weight] < bottom]
    alpha: Any = lora.alpha  # declared as an integer
    config = LoraConfig(r=lora.r, lora_alpha=alpha, lora_dropout=lora.dropout, target_modules=targets)
    try:
        inject_adapter_in_model(config, net)
    except NoMatchingPeftModuleError as error:
        there = ", ".join(sorted({name.rpartition(".")[2] for name in linear}))
        raise InputError(f"model.lora.target_modules: no module of the net is named so; there are {there}") from error
    except ValueError as error:
        raise InputError(f"model.lora.target_modules: {shorten(error)}") from error
    for name, module in net.named_modules():
        adapted = getattr(module, "base_layer", None)
        shared = [] if adapted is None else names[adapted.weight]
        if len(shared) > 1:  # peft's `ensure_weight_tying` knows of some names of embeddings alone
            raise InputError(
                f"model.lora.target_modules: {name} can't be adapted, as {' and '.join(shared)} are the same weights, "
                "which a merged model would lose; leave it out"
            )
    for parameter, trained in is_trained.items():
        parameter.requires_grad |= trained


def merge_lora(net: PreTrainedModel) -> PreTrainedModel:
    """Returns a copy of a net of `add_lora`, in eval mode, as one of `transformers` with the sums of its matrices."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    merged: PreTrainedModel = copy.deepcopy(net).eval()
    for name, module in list(merged.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge(safe_merge=True)
            merged.set_submodule(name, module.get_base_layer())
    del merged.peft_config
    return merged


def _name_parameters(net: nn.Module) -> dict[nn.Parameter, list[str]]:
    """All names of each parameter."""
    names: dict[nn.Parameter, list[str]] = {}
    for name, parameter in net.named_parameters(remove_duplicate=False):
        names.setdefault(parameter, []).append(name)
    return names
