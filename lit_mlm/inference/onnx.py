"""Writes nets for ONNX Runtime, in float32 or with int8 weights.

Shapes: B rows, T tokens, V vocabulary or labels.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim
from transformers import PreTrainedModel

from lit_mlm.errors import InputError
from lit_mlm.inference.agreement import Agreement, draw_batch, measure_agreement, require_agreement
from lit_mlm.nets.trial import undisturbed
from lit_mlm.upstream import quiet_exporter

PACKAGES = ("onnx", "onnxscript", "onnxruntime")

INPUTS = ("input_ids", "attention_mask")
"""Of the written nets, int64 tensors of shape (B, T); their output is ``logits``, shape (B, T, V)."""

FLOAT_FILE, INT8_FILE = "model.onnx", "model_quantized.onnx"
"""The names that Optimum and transformers.js look for."""

LARGEST_FILE = 2**31 - 2**20
"""Bytes of weights that one file holds, as a protobuf message is below 2 GiB; more are in a file of their own."""


def require_packages() -> None:
    """Refuses to begin without the packages that write and run ONNX."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise InputError(f"ONNX needs packages that are not installed here: pip install {' '.join(missing)}")


def write_onnx(net: PreTrainedModel, folder: Path) -> Agreement:
    """Writes ``model.onnx`` for any batch and length, with its config, and compares its logits with the net's.

    Args:
        net: the checkpoint's, in float32.
        folder: to write to.
    """
    net.config.architectures = [type(net).__name__]
    net.config.save_pretrained(folder)
    path = folder / FLOAT_FILE
    size = sum(weight.nbytes for weight in net.state_dict().values())
    dynamic = {name: {0: Dim.DYNAMIC, 1: Dim.DYNAMIC} for name in INPUTS}
    with quiet_exporter(), undisturbed(net):
        program: Any = torch.onnx.export(
            _Logits(net).eval(),
            kwargs=draw_batch(net, 7),
            input_names=INPUTS,
            output_names=["logits"],
            dynamic_shapes=dynamic,
            dynamo=True,
            verbose=False,
        )
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # stack traces, with paths of this machine
    program.save(path, external_data=size > LARGEST_FILE)
    agreement = measure_agreement(net, open_session(path))
    require_agreement(agreement, torch.float32)
    return agreement


class _Logits(nn.Module):
    """Makes a net return its logits alone."""

    def __init__(self, net: PreTrainedModel) -> None:
        super().__init__()
        self.net = net

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Returns logits, shape (B, T, V)."""
        logits: Tensor = self.net(input_ids=input_ids, attention_mask=attention_mask)[0]
        return logits


def open_session(path: Path) -> Callable[[dict[str, Tensor]], Tensor]:
    """Opens a model in ONNX Runtime on the CPU, as a function from a batch to its logits."""
    from onnxruntime import InferenceSession

    session = InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(batch: dict[str, Tensor]) -> Tensor:
        (logits,) = session.run(["logits"], {name: batch[name].cpu().numpy() for name in INPUTS})
        return torch.from_numpy(logits)

    return run


def quantise(folder: Path) -> Path:
    """Replaces ``model.onnx`` by ``model_quantized.onnx`` with 8-bit weights, and returns its path.

    Weights have a scale per output channel, activations one per batch. Weights are unsigned: with signed ones products
    overflow on CPUs without VNNI (ONNX Runtime, "Quantize ONNX models", data type selection).
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    source, target, prepared = folder / FLOAT_FILE, folder / INT8_FILE, folder / "prepared.onnx"
    is_large = source.with_name(f"{FLOAT_FILE}.data").exists()
    quant_pre_process(
        source,
        prepared,
        skip_optimization=True,
        skip_symbolic_shape=True,
        save_as_external_data=is_large,
        all_tensors_to_one_file=True,
        external_data_location=f"{prepared.name}.data",
    )
    quantize_dynamic(
        prepared, target, per_channel=True, weight_type=QuantType.QUInt8, use_external_data_format=is_large
    )
    for path in [*folder.glob(f"{FLOAT_FILE}*"), *folder.glob("prepared.onnx*")]:
        path.unlink()
    return target
