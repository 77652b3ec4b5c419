"""Compiles nets by `torch.compile`."""

from torch import nn
from transformers import PreTrainedModel


def compile_layers(net: PreTrainedModel) -> None:
    """Compiles each layer of a net in place, for sequences of any length; names of weights stay the same.

    Layers of one kind share their code, so compiling takes as long for 24 layers as for one, and hooks of the net, such
    as the sparse head's, need no new code.
    """
    net.__dict__["has_compiled_layers"] = True  # which `lit_mlm.nets.kept_rows` leaves alone
    stacks: list[str] = []
    for name, module in net.named_modules():
        if isinstance(module, nn.ModuleList) and not any(name.startswith(f"{stack}.") for stack in stacks):
            stacks.append(name)
            for layer in module:
                layer.compile(dynamic=True)
