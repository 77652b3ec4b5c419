import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from lit_mlm.cli.main import main
from lit_mlm.runs import ranks
from tests.conftest import imdb_args
from tests.faults.rank_deaths import DEATHS, check_death
from tests.ranks import FORKS


def observe(codes: list[str], log: Path) -> None:
    """The first rank, whose children run `codes`, waits for them forever."""
    os.dup2(os.open(log, os.O_CREAT | os.O_WRONLY), sys.stderr.fileno())
    ranks.REQUEST_SECONDS = 1.0
    children = [subprocess.Popen([sys.executable, "-c", code]) for code in codes]
    log.with_suffix(".pids").write_text(" ".join(str(child.pid) for child in children))
    ranks.watch_ranks(children)
    time.sleep(60)


@pytest.mark.parametrize(
    ("code", "status", "message"),
    [
        ("import os; os.kill(os.getpid(), 9)", 1, "error: rank 2 was killed by signal 9, SIGKILL"),
        ("import os; os.kill(os.getpid(), 11)", 1, "error: rank 2 was killed by signal 11, SIGSEGV"),
        ("raise SystemExit(1)", 1, "error: rank 2 ended with the exit status 1"),
        ("raise SystemExit(2)", 2, "error: rank 2 ended with the exit status 2"),
        ("raise SystemExit(143)", 1, "error: rank 2 ended with the exit status 143"),
    ],
)
def test_a_rank_that_fails_ends_all(code: str, status: int, message: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = FORKS.Process(target=observe, args=(["import time; time.sleep(60)", code], log))
    process.start()
    process.join(30)
    assert process.exitcode == status
    assert log.read_text().startswith(message)
    assert len(log.read_text().splitlines()) == 1
    assert not any(is_alive(int(pid)) for pid in log.with_suffix(".pids").read_text().split())


def test_ranks_that_end_well_are_no_fault(tmp_path: Path) -> None:
    process = FORKS.Process(target=observe, args=(["pass", "pass"], tmp_path / "log"))
    process.start()
    process.join(3)
    assert process.exitcode is None
    process.kill()
    assert (tmp_path / "log").read_text() == ""


def is_alive(pid: int) -> bool:
    """Whether a process runs; one whose end nobody has taken note of doesn't."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_further_ranks_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    child = (
        "import pathlib, time; from lit_mlm.runs.ranks import end_with_launcher; end_with_launcher()\n"
        f"pathlib.Path({str(tmp_path / 'ready')!r}).touch(); time.sleep(60)"
    )
    parent = (
        "import os, subprocess, sys, time; from lit_mlm.runs.ranks import end_with_launcher; end_with_launcher()\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], env=os.environ | {{'LOCAL_RANK': '1'}})\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    wait_until((tmp_path / "ready").exists)
    process.kill()
    process.wait()
    process.stdout.close()
    wait_until(lambda: not is_alive(pid))


def wait_until(holds: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(("variable", "rank"), [("LOCAL_RANK", 0), ("LOCAL_RANK", 1), ("SLURM_LOCALID", 2)])
def test_other_ranks_show_their_mistake_after_a_pause(
    variable: str, rank: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, str(rank))
    pause = Mock(side_effect=lambda _: print("paused"))
    monkeypatch.setattr("lit_mlm.runs.ranks.time.sleep", pause)
    with pytest.raises(SystemExit) as stop:
        main(["fti"])
    assert stop.value.code == 2
    assert pause.call_count == bool(rank)
    assert "there is no command fti" in capsys.readouterr().err


@pytest.mark.parametrize(("message", "seconds"), [("of another kind", 1.5), ("gloo/pair.cc: Connection closed", 30)])
def test_an_error_of_the_first_rank_ends_the_others(
    message: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost connection is the fault of a rank that the observer will name, unless it never ends."""
    sleep = Mock()
    monkeypatch.setattr("lit_mlm.runs.ranks.time.sleep", sleep)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    procs = [child]
    trainer = SimpleNamespace(strategy=SimpleNamespace(launcher=SimpleNamespace(procs=procs)))
    ranks.end_children(trainer, RuntimeError(message))
    sleep.assert_called_once_with(seconds)
    assert child.wait() == -signal.SIGKILL
    assert procs == []
    assert child.stdin is not None
    child.stdin.close()
    ranks.end_children(None, RuntimeError(message))


def test_a_rank_killed_in_training_is_named(tiny_bert: str, cache_dir: str, tmp_path: Path) -> None:
    check_death(DEATHS[0], imdb_args(tiny_bert, cache_dir), tmp_path / "run")
