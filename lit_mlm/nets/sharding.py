"""Sharded training: FSDP2 (Zhao et al. 2023, "PyTorch FSDP"; `torch.distributed.fsdp.fully_shard`)."""

import itertools

import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer


def shard_net(net: PreTrainedModel, device: torch.device) -> None:
    """Cuts each parameter of a net into one piece a process, in place; does nothing if that has been done.

    Each layer is gathered when it is run, and the rest, in which weights may be tied, as one; a net that does not mark
    its layers as `transformers` does is gathered whole. The ranks start from the weights of the first one, as those of
    a new head may differ.

    Args:
        net: whole on every rank; it is moved to `device` first, so each must hold it once, without gradients.
        device: of this process.
    """
    if isinstance(net, FSDPModule):
        return
    net.to(device)  # type: ignore[arg-type]
    for tensor in itertools.chain(net.parameters(), net.buffers()):
        distributed.broadcast(tensor.detach(), src=0)
    mesh = init_device_mesh(device.type, (distributed.get_world_size(),))
    layers = [module for module in net.modules() if isinstance(module, GradientCheckpointingLayer)]
    for layer in reversed(layers):  # those within others first
        fully_shard(layer, mesh=mesh)
    fully_shard(net, mesh=mesh)


def gather(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor whole; a collective call if it is sharded."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
