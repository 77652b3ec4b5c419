"""The processes of a training: when one ends by a fault, all end, and what happened is said once.

Lightning's launcher starts the other ranks of its machine as children of the first one, and its observer kills all of
them when a child has failed, the first one too, without a word. `torchrun` and SLURM end all ranks by themselves, and
say which one failed.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from typing import Any

LAUNCHER = "LIT_MLM_LAUNCHER_PID"
"""Environment variable: which process started this one as a further rank."""

WATCH_SECONDS = 0.5
"""How often the first rank looks after the others."""

LOST_CONNECTION = ("gloo", "NCCL")
"""What stands in torch's errors where another rank has gone."""

LOST_SECONDS = 30.0
"""How long that rank may take to end, once nobody reaches it any more."""

REPORT_SECONDS = 5.0
"""How long other ranks keep an error to themselves: the first one mostly has the same, and ends them."""

REQUEST_SECONDS = 60.0
"""How long the first rank may go on after one that ended with a status above 128: it was asked to, and all were."""

PR_SET_PDEATHSIG = 1
"""Of `prctl` (Linux): which signal a process gets when its parent ends."""


def get_local_rank() -> int:
    """The number of this process on its machine, from 0, as Lightning's launcher, `torchrun` or SLURM give it."""
    return int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0")))


def wait_for_first_rank() -> None:
    """Pauses on every rank of a machine but the first, before an error is shown."""
    if get_local_rank():
        time.sleep(REPORT_SECONDS)


def end_with_launcher() -> None:
    """Has this process killed when the one ends that started it as a further rank, however that ends (Linux)."""
    launcher = os.environ.get(LAUNCHER)
    os.environ[LAUNCHER] = str(os.getpid())  # for those that this one starts
    if not get_local_rank() or launcher in (None, str(os.getpid())) or sys.platform != "linux":
        return  # `srun` may start tasks from a thread that ends before them, which would count as the parent
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if str(os.getppid()) != launcher:  # it has ended already
        os.kill(os.getpid(), signal.SIGKILL)


def describe_end(rank: int, code: int) -> str:
    """How a rank ended.

    Args:
        rank: on its machine, from 0.
        code: as `subprocess.Popen.returncode`: the exit status, or minus the number of the signal.
    """
    if code < 0:
        hint = " (the kernel's, where memory runs out)" if -code == signal.SIGKILL else ""
        return f"rank {rank} was killed by signal {-code}, {signal.Signals(-code).name}{hint}"
    return f"rank {rank} ended with the exit status {code}; its error stands above"


def watch_ranks() -> None:
    """Puts an observer into Lightning's launcher that says which rank failed, and ends this process with a status."""
    from lightning.fabric.strategies.launchers import subprocess_script as launcher

    class RankObserver(launcher._ChildProcessObserver):
        """Ends all ranks of this machine once a child has failed, within a second."""

        def __init__(self, main_pid: int, child_processes: list[subprocess.Popen[Any]]) -> None:
            super().__init__(main_pid, child_processes, WATCH_SECONDS)  # type: ignore[arg-type]
            self._is_asked_since: float | None = None

        def _run(self) -> bool:
            codes = [process.poll() for process in self._child_processes]
            failed = [(rank, code) for rank, code in enumerate(codes, start=1) if code]
            if failed and all(code > 128 for _, code in failed):
                self._is_asked_since = self._is_asked_since or time.monotonic()
                if time.monotonic() - self._is_asked_since < REQUEST_SECONDS:
                    return False
            if failed:
                rank, code = min(failed, key=lambda end: end[1])  # a signal before an error that it led to
                print(f"error: {describe_end(rank, code)}; all ranks end", file=sys.stderr, flush=True)
                kill_children(self._child_processes)
                os._exit(2 if code == 2 else 1)  # 2 for a mistake of the user, which that rank has said
            return all(code == 0 for code in codes)

    launcher._ChildProcessObserver = RankObserver  # type: ignore[assignment,misc]


def end_children(trainer: Any, error: Exception) -> None:
    """Ends the other ranks after an error of the first; if it is one of them that ended first, the observer says so.

    Args:
        trainer: Lightning's, or None.
        error: of the first rank.
    """
    children = getattr(getattr(getattr(trainer, "strategy", None), "launcher", None), "procs", [])
    if children:  # else the observer ends this process while it sleeps
        is_lost = any(word in str(error) for word in LOST_CONNECTION)
        time.sleep(LOST_SECONDS if is_lost else 3 * WATCH_SECONDS)
        kill_children(children)


def leave_group() -> None:
    """Ends the connections between the ranks: gloo's threads, if they outlive the interpreter, abort the process."""
    from torch import distributed  # not at the top: `lit_mlm.cli.main` imports this file before it knows the command

    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def kill_children(children: list[subprocess.Popen[Any]]) -> None:
    """Kills processes, as a rank that waits for others takes no other signal, and leaves the observer none to watch."""
    while children:
        children.pop().kill()
