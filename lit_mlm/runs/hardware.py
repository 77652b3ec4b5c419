"""The processors of a run: their names and power limits."""

import platform
import subprocess
from pathlib import Path
from typing import TypedDict

import torch

CPU_WATTS_PER_CORE = 10.0
"""Assumed for a core at full load: CPUs of servers and desktops take 5 to 15 W per core by their data sheets."""


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
