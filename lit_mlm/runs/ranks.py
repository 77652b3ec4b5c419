"""The processes of a training: if one fails, all end, and the reason is reported once.

Lightning's launcher starts the other ranks of a machine as children of the first, and its observer kills all of them
silently when a child fails. `torchrun` and SLURM end all ranks and report by themselves.
"""

import ctypes
import math
import os
import signal
import subprocess
import sys
import time
from typing import Any

from lit_mlm.errors import escape_controls

LAUNCHER = "LIT_MLM_LAUNCHER_PID"
"""Environment variable: the process that started this one as another rank."""

WATCH_SECONDS = 0.5
"""Interval at which the first rank polls the others."""

LOST_CONNECTION = ("gloo", "NCCL")
"""Words in torch's errors when another rank is gone."""

LOST_SECONDS = 30.0
"""Time for that rank to end."""

REPORT_SECONDS = 5.0
"""Delay before other ranks report an error: the first one mostly has the same, and ends them."""

REQUEST_SECONDS = 60.0
"""Time for the first rank to end after a child with a status above 128, as all ranks got that signal."""

PR_SET_PDEATHSIG = 1
"""`prctl` option (Linux): the signal that a process gets when its parent ends."""


def get_local_rank() -> int:
    """Returns the rank of this process on its machine, as set by Lightning, `torchrun` or SLURM."""
    return int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0")))


def wait_for_first_rank() -> None:
    """Delays ranks other than the first of a machine before they report an error."""
    if get_local_rank():
        time.sleep(REPORT_SECONDS)


def end_with_launcher() -> None:
    """Makes the kernel kill this process when the rank that launched it ends (Linux)."""
    launcher = os.environ.get(LAUNCHER)
    os.environ[LAUNCHER] = str(os.getpid())  # for its children
    if not get_local_rank() or launcher in (None, str(os.getpid())) or sys.platform != "linux":
        return  # `srun` may start tasks from a short-lived thread, whose end would count
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if str(os.getppid()) != launcher:  # it has ended already
        os.kill(os.getpid(), signal.SIGKILL)


def describe_end(rank: int, code: int) -> str:
    """Describes how a rank ended, given its `subprocess.Popen.returncode`."""
    if code < 0:
        hint = " (possibly by the kernel, out of memory)" if -code == signal.SIGKILL else ""
        return f"rank {rank} was killed by signal {-code}, {signal.Signals(-code).name}{hint}"
    return f"rank {rank} ended with the exit status {code}; see its error above"


def watch_ranks(children: list[subprocess.Popen[Any]]) -> None:
    """Polls the other ranks of this machine until all have ended; once one has failed, reports it and ends all."""
    asked_since = math.inf
    while any(codes := [process.poll() for process in children]) or None in codes:
        failed = [(rank, code) for rank, code in enumerate(codes, start=1) if code]
        asked_since = min(asked_since, time.monotonic()) if failed else math.inf
        is_asked = all(code > 128 for _, code in failed) and time.monotonic() - asked_since < REQUEST_SECONDS
        if failed and not is_asked:
            rank, code = min(failed, key=lambda end: end[1])  # signals first, as they cause errors elsewhere
            print(escape_controls(f"error: {describe_end(rank, code)}; all ranks end"), file=sys.stderr, flush=True)
            kill_children(children)
            os._exit(2 if code == 2 else 1)  # 2 for a user error, which that rank has reported
        time.sleep(WATCH_SECONDS)


def end_children(trainer: Any, error: Exception) -> None:
    """Ends the other ranks after an error of the first; if another rank failed first, the observer reports that one."""
    children = getattr(getattr(getattr(trainer, "strategy", None), "launcher", None), "procs", [])
    if children:  # the observer may end this process meanwhile
        is_lost = any(word in str(error) for word in LOST_CONNECTION)
        time.sleep(LOST_SECONDS if is_lost else 3 * WATCH_SECONDS)
        kill_children(children)


def leave_group() -> None:
    """Destroys the process group, as gloo's threads abort the process if they outlive the interpreter."""
    from torch import distributed  # late, as `lit_mlm.cli.main` imports this file for every command

    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def kill_children(children: list[subprocess.Popen[Any]]) -> None:
    """Kills processes, as a rank that waits for others ignores other signals, and empties the observer's list."""
    while children:
        children.pop().kill()
