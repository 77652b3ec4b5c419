"""The processors of a run: their names and power limits."""

import ctypes
import platform
import subprocess
import time
from pathlib import Path
from typing import Any, TypedDict

import torch

CPU_WATTS_PER_CORE = 10.0
"""Assumed for a core at full load: CPUs of servers and desktops take 5 to 15 W per core by their data sheets."""


MALLOC_OPTIONS = {-3: 2**30, -1: 2**31 - 1}
"""Options of glibc's `mallopt`: M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, in bytes."""


class Hardware(TypedDict):
    """A processor: its name, and the watts that it takes at most; None if unknown."""

    device: str
    watts: float | None


def describe_device(device: torch.device) -> Hardware:
    """Describes a GPU, with the power limit that its driver reports, or the cores of a CPU that torch uses."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        return {"device": name, "watts": _ask_power_limit(str(torch.cuda.get_device_properties(device).uuid))}
    if device.type == "cpu":
        cores = torch.get_num_threads()
        cores_of = f"{cores} core{'s' if cores > 1 else ''} of {_find_cpu_name()}"
        return {"device": cores_of, "watts": CPU_WATTS_PER_CORE * cores}
    return {"device": device.type.upper(), "watts": None}


def reuse_memory() -> None:
    """Lets a process keep freed memory for its next tensors, where the C library is glibc.

    By default tensors of 32 MiB or more, such as the gradient of the embeddings, get new pages from the system in each
    step, which it fills with zeros one by one.
    """
    library: Any = ctypes.CDLL(None) if platform.system() == "Linux" else None
    if hasattr(library, "mallopt"):
        for name, value in MALLOC_OPTIONS.items():
            library.mallopt(name, value)


def choose_dtype(precision: str) -> torch.dtype:
    """Returns the type of the matrix products of a Trainer's precision, such as ``bf16-mixed``."""
    if precision.startswith("bf16"):
        return torch.bfloat16
    return torch.float16 if precision.startswith("16") else torch.float64 if precision[:2] == "64" else torch.float32


def measure_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Measures the floating point operations per second of square matrix products, the best of several.

    Takes about 0.1 s. Global random state is left alone; on a GPU, `measure_memory` begins anew.
    """
    size, repeats = (8192, 20) if device.type == "cuda" else (768, 4)
    generator = torch.Generator(device).manual_seed(0)
    # Random, as GPUs are faster on constant values.
    one, other = (torch.randn(size, size, generator=generator, device=device).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        one @ other
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - began)
    if device.type == "cuda":  # the matrices are no memory of the training
        del one, other
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    return 2 * size**3 / min(seconds)


def measure_memory(device: torch.device) -> float | None:
    """Returns the most memory in use, in GiB: torch's of a GPU since `measure_peak`, else the process's; or None."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.is_file() else []
    return next((int(line.split()[1]) / 2**20 for line in lines if line.startswith("VmHWM:")), None)


def _find_cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine() or "a CPU"


def _ask_power_limit(uuid: str) -> float | None:
    """Asks nvidia-smi for the power limit of a GPU, in watts; None where it has none."""
    command = ["nvidia-smi", f"--id=GPU-{uuid}", "--query-gpu=power.limit", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
        return float(answer)
    except (OSError, subprocess.SubprocessError, ValueError):  # no tool, no such GPU, or "[N/A]"
        return None
