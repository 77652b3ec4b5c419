"""The description of the processors."""

import subprocess
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from lit_mlm.runs import hardware
from lit_mlm.runs.hardware import CPU_WATTS_PER_CORE, choose_dtype, describe_device, measure_memory, measure_peak


def test_cpu_has_the_cores_that_torch_uses() -> None:
    found = describe_device(torch.device("cpu"))
    assert found["device"].startswith(f"{torch.get_num_threads()} core")
    assert found["watts"] == torch.get_num_threads() * CPU_WATTS_PER_CORE


def make_gpu(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Mock(uuid="ab-cd"))
    monkeypatch.setattr(subprocess, "run", answer)


def test_gpu_has_the_power_limit_of_its_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    make_gpu(monkeypatch, lambda command, **options: Mock(stdout="700.00\n" if "--id=GPU-ab-cd" in command else ""))
    assert describe_device(torch.device("cuda", 0)) == {"device": "NVIDIA H200", "watts": 700.0}


@pytest.mark.parametrize(
    "answer",
    [Mock(side_effect=FileNotFoundError), Mock(return_value=Mock(stdout="[N/A]\n"))],
    ids=["no tool", "unknown"],
)
def test_unknown_power_is_not_invented(monkeypatch: pytest.MonkeyPatch, answer: Mock) -> None:
    make_gpu(monkeypatch, answer)
    assert describe_device(torch.device("cuda", 0))["watts"] is None


def test_other_devices_are_named() -> None:
    assert hardware.describe_device(torch.device("meta")) == {"device": "META", "watts": None}


def test_peak_is_measured_without_random_numbers_of_the_training() -> None:
    state = torch.random.get_rng_state()
    assert 1e8 < measure_peak(torch.device("cpu"), torch.float32) < 1e13
    assert torch.equal(state, torch.random.get_rng_state())


def test_products_are_of_the_type_of_the_precision() -> None:
    names = "32-true", "bf16-mixed", "bf16-true", "16-mixed", "64-true"
    types = torch.float32, torch.bfloat16, torch.bfloat16, torch.float16, torch.float64
    assert tuple(map(choose_dtype, names)) == types


def test_memory_of_the_process_is_its_maximum() -> None:
    before = measure_memory(torch.device("cpu"))
    assert before is None or 0.05 < before <= (measure_memory(torch.device("cpu")) or 0)
