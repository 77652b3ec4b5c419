"""What only a GPU shows; skipped where there is none."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lit_mlm.nets.isolation import TOLERANCE, require_isolation
from lit_mlm.runs.checkpoints import read_checkpoint
from lit_mlm.runs.hardware import measure_memory, measure_peak
from tests.conftest import imdb_args
from tests.nets.packing_table import IMPLEMENTATIONS, SHOWN, build

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_training_learns_in_every_precision(
    precision: str, tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path]
) -> None:
    """Fused AdamW with clipping in bf16, and a gradient scaler with clipping in fp16."""
    options = ("--trainer.accelerator", "gpu", "--trainer.precision", precision, "--trainer.gradient_clip_val", "1.0")
    folder = run_cli("fit", *imdb_args(tiny_bert, cache_dir), *options, "--data.num_workers", "2", "--run_dir", "out")
    metrics = json.loads((folder / "out" / "metrics.json").read_text())
    assert metrics["val/perplexity"] < 0.9 * metrics["start/val/perplexity"]
    groups = read_checkpoint(folder / "out" / "checkpoints" / "last.ckpt")["optimizer_states"][0]["param_groups"]
    assert all(group["fused"] is (precision != "16-mixed") for group in groups)


def test_validation_equals_the_cpu_s(tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path]) -> None:
    for device in ("cpu", "gpu"):
        folder = run_cli(
            *("validate", *imdb_args(tiny_bert, cache_dir), "--trainer.accelerator", device, "--run_dir", device)
        )
    cpu, gpu = (json.loads((folder / device / "metrics.json").read_text()) for device in ("cpu", "gpu"))
    assert gpu["val/perplexity"] == pytest.approx(cpu["val/perplexity"], rel=1e-4)
    assert gpu["val/mask_fingerprint"] == cpu["val/mask_fingerprint"]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("model_type", SHOWN)
def test_packed_rows_are_isolated(model_type: str, implementation: str) -> None:
    """With the kernels of the device, and where matrices are otherwise multiplied in TF32."""
    torch.set_float32_matmul_precision("high")
    try:
        assert require_isolation(build(model_type, implementation).cuda()) < TOLERANCE / 10  # type: ignore[call-arg]
    finally:
        torch.set_float32_matmul_precision("highest")


def test_memory_of_a_run_is_without_that_of_the_measured_peak() -> None:
    device = torch.device("cuda", 0)
    before = torch.cuda.memory_allocated(device)
    measure_peak(device, torch.float32)
    assert (measure_memory(device) or 0.0) * 2**30 == pytest.approx(before, abs=2**20)
