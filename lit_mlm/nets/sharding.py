"""Sharded training by FSDP2 (Zhao et al. 2023, "PyTorch FSDP"; `torch.distributed.fsdp.fully_shard`)."""

import itertools

import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer


def shard_net(net: PreTrainedModel, device: torch.device) -> None:
    """Shards each parameter of a net over all processes, in place; does nothing if that is done.

    The net must be whole on every rank and without gradients; it is moved to `device` first. Each layer is gathered
    when it runs; the rest, whose weights may be tied, is gathered as one unit, as is a net without
    `GradientCheckpointingLayer`. The first rank's weights are broadcast, as a new head is random.
    """
    if isinstance(net, FSDPModule):
        return
    net.to(device)  # type: ignore[arg-type]
    for tensor in itertools.chain(net.parameters(), net.buffers()):
        distributed.broadcast(tensor.detach(), src=0)
    mesh = init_device_mesh(device.type, (distributed.get_world_size(),))
    layers = [module for module in net.modules() if isinstance(module, GradientCheckpointingLayer)]
    for layer in reversed(layers):  # nested ones first
        fully_shard(layer, mesh=mesh)
    fully_shard(net, mesh=mesh)


def gather(tensor: torch.Tensor) -> torch.Tensor:
    """Returns a tensor whole; a collective call if it is sharded."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
