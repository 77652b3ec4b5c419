"""A run that is told to stop saves at the end of a step, and the same command goes on from there."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

from lit_mlm import MaskedLM
from lit_mlm.callbacks.stop_on_signal import StopOnSignal, handle_signals, requeue_job
from lit_mlm.data.base import TextDataModule
from lit_mlm.runs.checkpoints import read_checkpoint
from tests.conftest import imdb_args
from tests.ranks import name_rank, run_ranks
from tests.resumed_runs import NO_DIFFERENCES, find_differences

Run = Callable[..., Path]


@pytest.fixture
def args(tiny_bert: str, cache_dir: str) -> list[str]:
    """One epoch of 6 steps, each of 2 batches, and 2 batches of validation."""
    split = ("--data.batch_size", "4", "--trainer.accumulate_grad_batches", "2", "--data.eval_batch_size", "2")
    return [*imdb_args(tiny_bert, cache_dir), *split, "--trainer.max_epochs", "1", "--run_dir", "run"]


@pytest.fixture
def whole(args: list[str], run_cli: Run) -> Path:
    return run_cli("fit", *args, "--run_dir", "whole") / "whole"


@pytest.fixture
def send(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has signals sent to this process at a call of a method, counted from 1."""

    def prepare(owner: type, name: str, call: int, *numbers: signal.Signals) -> None:
        method, count = getattr(owner, name), [0]

        def call_it(*args: Any, **kwargs: Any) -> Any:
            count[0] += 1
            if count[0] == call:
                for number in numbers:
                    os.kill(os.getpid(), number)
            return method(*args, **kwargs)

        monkeypatch.setattr(owner, name, call_it)

    return prepare


def read_last(folder: Path) -> tuple[int, bool]:
    """The step of the last checkpoint, and whether a validation is due."""
    checkpoint = read_checkpoint(folder / "checkpoints" / "last.ckpt")
    return checkpoint["global_step"], checkpoint["callbacks"]["SaveCheckpoints"]["is_due"]


SANITY = 2
"""Batches of the validation before the first step."""


@pytest.mark.parametrize(
    ("place", "call", "number", "expected"),
    [
        ("training_step", 3, signal.SIGTERM, (2, False)),  # the first batch of a step: it is done to its end
        ("training_step", 4, signal.SIGINT, (2, False)),
        ("training_step", 11, signal.SIGTERM, (6, True)),
        ("validation_step", SANITY + 1, signal.SIGTERM, (6, True)),
        ("validation_step", SANITY + 2, signal.SIGINT, (6, True)),
    ],
)
def test_signal_in_a_training(
    place: str,
    call: int,
    number: signal.Signals,
    expected: tuple[int, bool],
    args: list[str],
    whole: Path,
    run_cli: Run,
    send: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    send(MaskedLM, place, call, number)
    with pytest.raises(SystemExit) as end:
        run_cli("fit", *args)
    assert end.value.code == 128 + number
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == before
    assert (
        f"stopped by {number.name} at step {expected[0]}; resume with the same command and --run_dir run" in caplog.text
    )
    assert read_last(whole.with_name("run")) == expected
    run_cli("fit", *args)
    assert find_differences(whole, whole.with_name("run")) == NO_DIFFERENCES


def test_signal_in_the_validation_that_a_resumed_run_begins_with(
    args: list[str], run_cli: Run, send: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is still due then, and what follows has the random numbers of the step before it."""
    args = [*args, "--trainer.val_check_interval", "4"]
    whole = run_cli("fit", *args, "--run_dir", "whole") / "whole"
    for call in (SANITY + 1, 1):
        with monkeypatch.context() as patch:
            patch.setattr(MaskedLM, "validation_step", MaskedLM.validation_step)
            send(MaskedLM, "validation_step", call, signal.SIGTERM)
            with pytest.raises(SystemExit):
                run_cli("fit", *args)
        assert read_last(whole.with_name("run")) == (2, True)
    run_cli("fit", *args)
    assert find_differences(whole, whole.with_name("run")) == NO_DIFFERENCES


@pytest.mark.parametrize(
    ("owner", "place", "command"),
    [
        (TextDataModule, "prepare_data", "fit"),
        (TextDataModule, "setup", "fit"),
        (MaskedLM, "validation_step", "fit"),  # the one before the first step
        (MaskedLM, "validation_step", "validate"),
        (MaskedLM, "test_step", "test"),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_where_nothing_is_trained(
    owner: type,
    place: str,
    command: str,
    number: signal.Signals,
    args: list[str],
    run_cli: Run,
    send: Callable[..., None],
    tmp_path: Path,
) -> None:
    """It ends at once and leaves nothing."""
    send(owner, place, 1, number)
    with pytest.raises(SystemExit) as end:
        run_cli(command, *args)
    assert end.value.code == 128 + number
    assert list(tmp_path.iterdir()) == []


def test_second_interrupt_stops_at_once(args: list[str], run_cli: Run, send: Callable[..., None]) -> None:
    send(MaskedLM, "training_step", 3, signal.SIGINT, signal.SIGINT)
    with pytest.raises(SystemExit) as end:
        folder = run_cli("fit", *args)
    assert end.value.code == 130
    folder = Path.cwd() / "run"
    assert not (folder / "checkpoints" / "last.ckpt").exists()
    run_cli("fit", *args)
    assert read_last(folder) == (6, False)


def test_signal_of_slurm_requeues_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """On the first rank, once the checkpoint is written."""
    script = tmp_path / "scontrol"
    script.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name, value in {"SLURM_JOB_ID": "17", "SLURM_LOCALID": "0"}.items():
        monkeypatch.setenv(name, value)
    environment = SLURMEnvironment(auto_requeue=True, requeue_signal=signal.SIGUSR1)
    trainer = Mock(world_size=1, callbacks=[], global_step=3, log_dir=str(tmp_path), is_global_zero=True)
    trainer.strategy.cluster_environment = environment
    trainer.strategy.root_device = "cpu"
    trainer.fit_loop.epoch_loop._should_accumulate.return_value = False
    callback = StopOnSignal()
    with handle_signals():
        callback.on_train_start(trainer, Mock())
        os.kill(os.getpid(), signal.SIGUSR1)
        callback.on_train_batch_end(trainer, Mock())
        with pytest.raises(SystemExit) as end:
            callback.on_train_batch_start(trainer, Mock())
    assert end.value.code == 128 + signal.SIGUSR1
    assert (tmp_path / "called").read_text() == "requeue 17\n"
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "16")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    requeue_job()
    assert (tmp_path / "called").read_text() == "requeue 17\nrequeue 16_2\n"
    script.write_text("#!/bin/sh\nexit 1\n")
    requeue_job()
    assert "the job 16_2 could not be requeued" in caplog.text


# Processes of their own


def start(args: Sequence[object], folder: Path) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[2]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "lit_mlm", "fit", *map(str, args)]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)


def wait_for(path: Path, process: subprocess.Popen[bytes], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        is_running = process.poll() is None and time.monotonic() < deadline
        assert is_running, (path.parents[2] / "log").read_text()
        time.sleep(0.02)


def is_running(process: Path, group: int) -> bool:
    """Whether what a folder of /proc is of runs in a group of processes; one that has ended has no command line."""
    try:
        return os.getpgid(int(process.name)) == group and (process / "cmdline").read_bytes() != b""
    except OSError:  # it has ended, and has been waited for
        return False


def end(process: subprocess.Popen[bytes], folder: Path, seconds: float = 60) -> int:
    try:
        return process.wait(seconds)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


ENDLESS = ("--trainer.max_epochs", "5000", "--save_every_n_steps", "5", "--trainer.limit_val_batches", "0")


def test_signal_to_all_processes_of_a_run_with_workers(tiny_bert: str, cache_dir: str, tmp_path: Path) -> None:
    """As SLURM's, and as that of a terminal."""
    args = [*imdb_args(tiny_bert, cache_dir), *ENDLESS, "--data.num_workers", "2", "--run_dir", "run"]
    process = start(args, tmp_path)
    wait_for(tmp_path / "run" / "checkpoints" / "last.ckpt", process)
    os.killpg(process.pid, signal.SIGTERM)
    assert end(process, tmp_path) == 143, (tmp_path / "log").read_text()
    assert "stopped by SIGTERM at step" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("strategy", ["ddp", "ddp_fork", "ddp_spawn"])
def test_signal_to_the_first_of_two_processes(strategy: str, tiny_bert: str, cache_dir: str, tmp_path: Path) -> None:
    """All of them save the same step and end."""
    ddp = ("--config", "overlays/ddp.yaml", "--trainer.strategy", strategy, "--trainer.devices", "2")
    process = start([*imdb_args(tiny_bert, cache_dir), *ENDLESS, *ddp, "--run_dir", "run"], tmp_path)
    wait_for(tmp_path / "run" / "checkpoints" / "last.ckpt", process)
    os.kill(process.pid, signal.SIGTERM)
    assert end(process, tmp_path) == 143, (tmp_path / "log").read_text()
    assert (tmp_path / "log").read_text().count("stopped by SIGTERM at step") == 1
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert len(read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["progress"]["random_states"]) == 2
    time.sleep(1)
    assert not [path for path in Path("/proc").glob("[0-9]*") if is_running(path, process.pid)]


def test_two_processes_that_one_of_them_stops_go_on_exactly(tiny_bert: str, cache_dir: str, tmp_path: Path) -> None:
    ddp = ("--config", "overlays/ddp.yaml", "--trainer.devices", 2, "--data.batch_size", 4)
    args = ["fit", *imdb_args(tiny_bert, cache_dir), *ddp, "--trainer.max_epochs", 1]
    stop = ("--trainer.callbacks+=tests.faults.failing.Stop", "--trainer.callbacks.rank", 1, "--run_dir", "run")
    ranks = [name_rank(rank, 2) for rank in range(2)]
    output = run_ranks(tmp_path, [*args, *stop], ranks, status=143)
    assert output.count("stopped by SIGTERM at step 4; resume with the same command and --run_dir run") == 1
    assert read_last(tmp_path / "run") == (4, False)
    run_ranks(tmp_path, [*args, *stop], ranks)
    run_ranks(tmp_path, [*args, "--run_dir", "whole"], ranks)
    assert find_differences(tmp_path / "whole", tmp_path / "run") == NO_DIFFERENCES
