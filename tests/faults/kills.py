"""One run is killed again and again."""

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from tests.data.streams.streams import write_stream
from tests.faults.runs import LONG, SEED, SHORT, Lab, Run, compare_runs, read_step
from tests.faults.table import Fault

NUM_KILLS = 20


def make_faults(lab: Lab) -> Iterator[Fault]:
    yield Fault(
        f"{NUM_KILLS} SIGKILLs of one run, at moments drawn with seed {SEED}",
        "the weights and figures of the uninterrupted run, no file left, hf/ loads",
        lambda: kill_often(lab),
    )
    for num_workers in (0, 2):
        yield Fault(
            f"SIGKILLs of a run that streams its text, {num_workers} workers",
            "the weights and figures of the uninterrupted run",
            lambda num_workers=num_workers: kill_stream(lab, num_workers),  # type: ignore[misc]
        )

    yield Fault(
        "SIGKILL in a learning rate finder",
        "nothing of the run is left; the same command ends as the uninterrupted run",
        lambda: kill_finder(lab),
    )


def kill_finder(lab: Lab) -> str:
    """Kills a run while the finder tries learning rates, and gives the command again."""
    finder = ("--trainer.callbacks+", "LearningRateFinder", "--trainer.callbacks.num_training_steps", "200")
    args, run, whole = lab.args(*SHORT, *finder), lab.folder / "killed-finder", lab.folder / "whole-finder"
    lab.start(whole, *args).end(0)
    process = lab.start(run, *args)
    process.wait(lambda: "Finding best initial lr" in process.read_log())
    process.process.kill()
    process.end(-signal.SIGKILL)
    assert not (run / "checkpoints" / "last.ckpt").exists()
    lab.start(run, *args).end(0)
    compare_runs(run, whole)
    return "killed before the first step; all is equal"


def kill_stream(lab: Lab, num_workers: int) -> str:
    """Kills a run of 40 steps within its first and its second pass through the text, and gives the command again."""
    folder = lab.make_once("stream", lambda folder: write_stream(folder, lab.get_model(), str(lab.folder / "cache")))
    trainer = ("--trainer.max_steps", "40", "--trainer.val_check_interval", "13")
    workers = ("--data.num_workers", str(num_workers), "--trainer.accumulate_grad_batches", "1")
    args = ("--config", str(folder / "stream.yaml"), *trainer, *workers, "--save_every_n_steps", "1")
    run, whole = (lab.folder / f"{name}-stream-{num_workers}" for name in ("killed", "whole"))
    lab.start(whole, *args).end(0)
    rng, steps = lab.draw(f"stream {num_workers}"), []
    for _ in range(3):
        process = lab.start(run, *args)
        process.wait_for_saves(rng.randint(3, 11))
        time.sleep(rng.uniform(0, 0.03))
        process.process.kill()
        process.end(-signal.SIGKILL)
        steps.append(read_step(run))
    lab.start(run, *args).end(0)
    compare_runs(run, whole)
    return f"killed after steps {' '.join(map(str, steps))} of 40; all is equal"


def kill_often(lab: Lab) -> str:
    """Kills the processes of one run in its start-up, its steps, its saves and its export."""
    run, num_steps = lab.folder / "killed", read_step(lab.train(*LONG))
    rng, steps, orphans = lab.draw("kills"), [], []
    for number in range(NUM_KILLS):
        left = num_steps - read_step(run)
        process = lab.start(run, *lab.args(*LONG))
        wait_for_moment(rng, process, number, left)
        process.process.kill()
        process.end(-signal.SIGKILL)
        steps.append(read_step(run))
        orphans += [path.name for path in run.rglob(".*unfinished")]
    lab.finish(run, *LONG)
    return (
        f"killed after steps {' '.join(map(str, steps))} of {num_steps}; {len(orphans)} left a half-written file, "
        "which is gone; all is equal"
    )


def wait_for_moment(rng: random.Random, process: Run, number: int, left: int) -> None:
    """Waits for the moment of a kill.

    Args:
        rng: draws it.
        process: to be killed.
        number: of the kill, from 0; the last two are in the export, every fifth in the start-up, every third in a save.
        left: optimizer steps until the run's end.
    """
    kills_left = NUM_KILLS - 2 - number
    if kills_left <= 0:
        process.wait(lambda: is_exporting(process.folder))
    elif number % 5 == 4:
        time.sleep(rng.uniform(0, 4))
    else:
        process.wait_for_saves(rng.randint(1, max(1, 2 * left // (kills_left + 1) - 1)))
        if number % 3 == 0:
            unfinished = process.folder / "checkpoints" / ".last.ckpt.unfinished"
            process.wait(unfinished.exists, poll_seconds=0)
        else:
            time.sleep(rng.uniform(0, 0.03))


def is_exporting(folder: Path) -> bool:
    """Whether the folder `hf` is being written."""
    return any(folder.glob(".hf*"))
