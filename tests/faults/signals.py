"""A run is told to stop, in each of its phases."""

import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.conftest import read_reviews
from tests.faults.runs import SHORT, Lab, Run, compare_runs, read_step
from tests.faults.table import Fault
from tests.test_bad_input import is_whole

PAUSE = ("--trainer.callbacks+=tests.faults.failing.Pause", "--trainer.callbacks.seconds", "0.3")
DDP = ("--config", "overlays/ddp.yaml", "--trainer.devices", "2")


def make_faults(lab: Lab) -> Iterator[Fault]:
    goes_on = "in time, with a checkpoint at a step; the same command ends as the uninterrupted run, bit for bit"
    for number in (signal.SIGTERM, signal.SIGINT):
        yield Fault(
            f"{number.name} in training",
            f"exit status {128 + number} {goes_on}",
            partial(stop_in_training, lab, number, SHORT),
        )
    yield Fault(
        "SIGTERM in training, on the first of 2 ranks",
        f"exit status 143 {goes_on}",
        lambda: stop_in_training(lab, signal.SIGTERM, (*SHORT, *DDP)),
    )
    yield Fault("SIGTERM in validation", f"exit status 143 {goes_on}", lambda: stop_in_validation(lab))
    for name, workers in (("in one process", ()), ("in two processes", ("--data.num_proc", "2"))):
        yield Fault(
            f"SIGTERM in preprocessing, {name}",
            "exit status 143 in time, no process, no run and no half-written cache; the same command trains",
            partial(stop_in_preprocessing, lab, workers),
        )


def stop_in_training(lab: Lab, number: signal.Signals, options: tuple[str, ...]) -> str:
    run = lab.name_run(f"stopped-{number.name}", options)
    process, rng = lab.start(run, *lab.args(*options)), lab.draw(run.name)
    process.wait_for_saves(rng.randint(2, 16))
    time.sleep(rng.uniform(0, 0.03))
    return stop_and_finish(lab, process, number, options)


def stop_in_validation(lab: Lab) -> str:
    options = (*SHORT, *PAUSE)
    process = lab.start(lab.folder / "stopped-validation", *lab.args(*options))
    process.wait(lambda: "validating" in process.read_log())
    return stop_and_finish(lab, process, signal.SIGTERM, options)


def stop_and_finish(lab: Lab, process: Run, number: signal.Signals, options: tuple[str, ...]) -> str:
    happened, run = process.stop(number), process.folder
    step = read_step(run)
    expected = f"stopped by {number.name} at step {step}; resume with the same command and --run_dir {run}"
    assert process.read_log().count(expected) == 1, process.read_log()[-300:]
    lab.finish(run, *options)
    return f"{happened}, at step {step}; all is equal"


def stop_in_preprocessing(lab: Lab, workers: tuple[str, ...]) -> str:
    """The text is long enough to be tokenised for some seconds."""
    folder = lab.folder / f"stopped-preprocessing-{len(workers)}"
    folder.mkdir()
    text = folder / "text.txt"
    lines = [" ".join(review.split()) for review in read_reviews()]
    text.write_text("".join(f"{number} {line}\n" for number in range(2500) for line in lines))
    args = [
        *("--model", "MaskedLM", "--model.model", lab.get_model(), "--config", "overlays/cpu.yaml"),
        *("--data", "TextFilesDataModule", "--data.train_files", str(text), "--data.document_per", "line"),
        *("--data.block_size", "32", "--data.num_train_blocks", "16", "--data.num_val_blocks", "4"),
        *("--data.batch_size", "4", "--trainer.max_steps", "4", *workers),
    ]
    process = lab.start(folder / "run", *args, "--data.cache_dir", str(folder / "cache"))
    process.wait(lambda: any((folder / "cache" / "tokens").glob(".*.unfinished")))
    time.sleep(lab.draw(folder.name).uniform(0, 0.5))
    happened = process.stop(signal.SIGTERM)
    left = [str(path.relative_to(folder)) for path in folder.rglob("*") if path != text]
    assert all(map(is_whole, left)), f"left behind: {left}"
    assert not find_processes(folder), f"{len(find_processes(folder))} processes are left"
    lab.start(folder / "run", *args, "--data.cache_dir", str(folder / "cache")).end(0)
    lab.start(folder / "whole", *args, "--data.cache_dir", str(folder / "cache-whole")).end(0)
    compare_runs(folder / "run", folder / "whole")
    return f"{happened}; {len(left)} whole files left; trained then, all is equal"


def find_processes(folder: Path) -> list[Path]:
    """The processes whose command line names a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (path / "cmdline").read_bytes():
                found.append(path)
        except OSError:  # it has ended
            continue
    return found
