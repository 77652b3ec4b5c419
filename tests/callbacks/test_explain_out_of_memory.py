from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lit_mlm.callbacks.explain_out_of_memory import _advise
from lit_mlm.cli.main import main
from lit_mlm.errors import InputError, is_out_of_memory
from lit_mlm.modules.masked_lm import MaskedLM
from tests.conftest import imdb_args

ON_CPU = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
    "8000000000000 bytes. Error code 12 (Cannot allocate memory)"
)
ON_GPU = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee the documentation")


@pytest.mark.parametrize(
    ("error", "method", "expected"),
    [
        (ON_GPU, "sum_loss", ["CUDA out of memory", "training batch of 8 x 32 tokens", "data.batch_size below 8"]),
        (ON_CPU, "sum_loss", ["tried to allocate", "accumulate_grad_batches above 1", "gradient_checkpointing true"]),
        (ON_GPU, "update_metrics", ["validation batch of 4 x 32 tokens", "data.eval_batch_size below 8", "block_size"]),
    ],
)
def test_message_names_the_batch_and_the_options(
    error: Exception,
    method: str,
    expected: list[str],
    tiny_bert: str,
    cache_dir: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*args: object) -> Any:
        raise type(error)(str(error))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["lit_mlm"])
    monkeypatch.setattr(MaskedLM, method, fail)
    with pytest.raises(SystemExit) as stop:
        main(["fit", *imdb_args(tiny_bert, cache_dir)])
    assert stop.value.code == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("error: ")
    assert all(part in message for part in [*expected, "trainer.precision bf16-mixed"])
    assert ("gradient_checkpointing" in message) == (method == "sum_loss")


def test_rows_that_are_packed_are_shortened() -> None:
    trainer: Any = SimpleNamespace(accumulate_grad_batches=1, precision="bf16-mixed", world_size=1)
    for kind, split, option in (("block_size", "test", "pack_length"), ("window", "test", "window")):
        data = {"batch_size": 8, "pack_length": 64, kind: 32}
        assert f"a smaller data.{option}" in _advise(trainer, {}, data, f"a {split} batch of 8 x 64 tokens")
        assert "a smaller data.pack_length" in _advise(trainer, {}, data, "a training batch of 8 x 64 tokens")


def test_torch_s_own_error_on_the_cpu_is_one() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(InputError("memory"))
