"""Ranks as processes of their own, forked from one that has imported what they need."""

import multiprocessing
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lit_mlm.runs.ranks import LAUNCHER

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.conftest", "lit_mlm.cli.trainer", "transformers.models.bert.modeling_bert"])


def find_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def name_rank(rank: int, num_ranks: int, num_nodes: int = 1) -> dict[str, str]:
    """What `torchrun` says to a process."""
    per_node = num_ranks // num_nodes
    numbers = {
        "RANK": rank,
        "LOCAL_RANK": rank % per_node,
        "GROUP_RANK": rank // per_node,
        "WORLD_SIZE": num_ranks,
        "LOCAL_WORLD_SIZE": per_node,
    }
    return {name: str(number) for name, number in numbers.items()} | {"TORCHELASTIC_RUN_ID": "tests"}


def run_ranks(
    folder: Path, args: Sequence[object], ranks: Sequence[Mapping[str, str]], timeout: float = 120, status: int = 0
) -> str:
    """Runs a command on several ranks, in `folder`; all must end in the same way.

    Args:
        folder: their working directory.
        args: of the command line.
        ranks: what the environment of each has beside its port.
        timeout: in seconds.
        status: that each must exit with.

    Returns:
        What they wrote to the terminal, rank after rank.
    """
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(find_port()), "OMP_NUM_THREADS": "1"}
    logs = [folder / f".rank{rank}.log" for rank in range(len(ranks))]
    processes = [
        FORKS.Process(target=_run_rank, args=(folder, [str(arg) for arg in args], {**place, **rank}, log))
        for rank, log in zip(ranks, logs, strict=True)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout)
        process.kill()
        process.join()
    output = "".join(log.read_text() for log in logs)
    assert [process.exitcode for process in processes] == [status] * len(ranks), output
    return output


def _run_rank(folder: Path, args: list[str], environment: dict[str, str], log: Path) -> None:
    from lit_mlm.cli.main import main

    for stream in (sys.stdout, sys.stderr):
        os.dup2(os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY), stream.fileno())
    os.environ.pop(LAUNCHER, None)
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["lit_mlm", *args]
    main(args)
