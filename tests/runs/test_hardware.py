"""The description of the processors."""

import subprocess
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from lit_mlm.runs import hardware
from lit_mlm.runs.hardware import CPU_WATTS_PER_CORE, describe_device


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
