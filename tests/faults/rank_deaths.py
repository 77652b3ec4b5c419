"""One of several ranks fails in training: all end within a minute, and the cause stands once.

    python -m tests.faults.rank_deaths

runs all cases and prints a table.
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from lit_mlm.data.tokens.training import train_tokenizer
from tests.conftest import TINY_BERT, imdb_args, read_reviews, save_model

TIMEOUT = 60.0


@dataclass(frozen=True)
class Death:
    """What is injected, and what must be seen.

    Attributes:
        rank: that fails, of two.
        how: as in `tests.faults.failing.Fail`.
        status: the exit status.
        lines: each stands exactly once in what is printed.
    """

    rank: int
    how: str
    status: int
    lines: tuple[str, ...]


DEATHS = (
    Death(1, "kill", 1, ("error: rank 1 was killed by signal 9, SIGKILL",)),
    Death(1, "error", 1, ("OSError: injected into rank 1", "error: rank 1 ended with the exit status 1")),
    Death(1, "mistake", 2, ("error: injected into rank 1", "error: rank 1 ended with the exit status 2")),
    Death(0, "kill", -9, ()),
    Death(0, "error", 1, ("OSError: injected into rank 0",)),
    Death(0, "mistake", 2, ("error: injected into rank 0",)),
)


def check_death(death: Death, args: list[str], folder: Path) -> str:
    """Injects a fault; returns what was seen.

    Args:
        death: the case.
        args: options of a quick training.
        folder: for the run.
    """
    command = [
        *(sys.executable, "-m", "lit_mlm", "fit", *args, "--run_dir", str(folder), "--data.batch_size", "2"),
        *("--config", "overlays/ddp.yaml", "--trainer.devices", "2", "--trainer.num_sanity_val_steps", "0"),
        *("--trainer.callbacks+=tests.faults.failing.Fail", "--trainer.callbacks.rank", str(death.rank)),
        *("--trainer.callbacks.how", death.how),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=5 * TIMEOUT)
    seconds = time.monotonic() - float(result.stderr.partition("injected at ")[2].split()[0])
    assert result.returncode == death.status, result.stderr
    assert [result.stderr.count(line) for line in death.lines] == [1] * len(death.lines), result.stderr
    assert result.stderr.count("Traceback") == (death.how == "error"), result.stderr
    assert seconds < TIMEOUT
    time.sleep(0.5)
    left = [pid for pid in Path("/proc").glob("[0-9]*") if str(folder).encode() in _read_command(pid)]
    assert not left, f"{len(left)} processes are left"
    return f"exit status {result.returncode} after {seconds:.0f} s, no process left; {'; '.join(death.lines)}"


def _read_command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:  # it has ended
        return b""


def main() -> None:
    """Runs all cases."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = save_model(folder / "model", TINY_BERT, train_tokenizer(iter(read_reviews()), "wordpiece", 150))
        for number, death in enumerate(DEATHS):
            seen = check_death(death, imdb_args(model, str(folder / "cache")), folder / str(number))
            print(f"rank {death.rank} of 2, {death.how:8}| {seen}", flush=True)


if __name__ == "__main__":
    main()
