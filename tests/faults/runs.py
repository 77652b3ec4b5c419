"""Short trainings in processes of their own, into which faults are injected."""

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForMaskedLM

from lit_mlm.data.tokens.training import train_tokenizer
from lit_mlm.runs.checkpoints import read_checkpoint
from tests.conftest import TINY_BERT, TINY_ROBERTA, imdb_args, read_reviews, save_model

ROOT = Path(__file__).parents[2]

SEED = 20240607
"""Of all that is drawn: moments, steps, bits."""

SHORT = ("--data.batch_size", "2", "--data.eval_batch_size", "1", "--save_every_n_steps", "1")
"""42 steps in two epochs, 22 of 2 processes, four batches in a validation."""

LONG = ("--data.batch_size", "1", "--trainer.max_epochs", "4", "--save_every_n_steps", "1")
"""164 steps in four epochs."""

STOP_SECONDS = 15.0
"""How long a tiny run that is told to stop may take to end."""

OF_THE_MACHINE = re.compile(r"^- (Hardware|Time|Energy)\b.*\n", re.MULTILINE)
"""Lines of a model card that differ between two runs with the same weights."""

TIMEOUT = 120.0
"""Of any wait, in seconds; the process is killed then."""


@dataclass
class Run:
    """A process of a command.

    Attributes:
        process: runs it.
        folder: of the run.
        log: what it has written to the terminal.
    """

    process: "subprocess.Popen[bytes]"
    folder: Path
    log: Path

    def read_log(self) -> str:
        return self.log.read_text(errors="replace")

    def end(self, expected: int) -> str:
        """Waits for its end; returns what it wrote."""
        try:
            self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        status = self.process.returncode
        assert status == expected, f"exit status {status}: {shorten(self.read_log())}"
        return self.read_log()

    def wait(self, condition: Callable[[], Any], poll_seconds: float = 0.0005) -> None:
        """Waits for something that happens while it runs."""
        start = time.monotonic()
        while not condition():
            is_late = time.monotonic() - start > TIMEOUT
            if is_late or self.process.poll() is not None:
                self.process.kill()
                raise AssertionError(f"{'late' if is_late else 'ended too early'}: {shorten(self.read_log())}")
            time.sleep(poll_seconds)

    def wait_for_saves(self, number: int) -> None:
        """Waits for so many more writes of its last checkpoint."""
        last, seen = self.folder / "checkpoints" / "last.ckpt", set[int]()
        if last.exists():
            seen.add(last.stat().st_mtime_ns)
            number += 1

        def has_saved() -> bool:
            if last.exists():
                seen.add(last.stat().st_mtime_ns)
            return len(seen) >= number

        self.wait(has_saved)

    def stop(self, number: signal.Signals) -> str:
        """Sends a signal; it must end in time, with 128 and the signal's number. Returns how long it took."""
        start = time.monotonic()
        self.process.send_signal(number)
        self.end(128 + number)
        seconds = time.monotonic() - start
        assert seconds < STOP_SECONDS, f"ended {seconds:.1f} s after the signal"
        return f"exit status {128 + number} after {seconds:.1f} s"


@dataclass
class Lab:
    """Where the suite makes its runs.

    Attributes:
        folder: for everything.
    """

    folder: Path
    _models: dict[str, str] = field(default_factory=dict)
    _names: Iterator[int] = field(default_factory=count)
    _locks: dict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))

    def __post_init__(self) -> None:
        reviews = read_reviews()
        kinds: tuple[tuple[str, dict[str, Any], Any, int], ...] = (
            ("bert", TINY_BERT, "wordpiece", 150),
            ("roberta", TINY_ROBERTA, "bpe", 380),
        )
        for name, fields, algorithm, size in kinds:
            self._models[name] = save_model(self.folder / name, fields, train_tokenizer(iter(reviews), algorithm, size))

    def get_model(self, name: str = "bert") -> str:
        """The folder of a tiny model."""
        return self._models[name]

    def args(self, *options: str) -> list[str]:
        """Options of a quick training on the fixtures' reviews."""
        return [*imdb_args(self.get_model(), str(self.folder / "cache")), *options]

    def start(self, run: Path, *args: str, environment: Mapping[str, str] | None = None) -> Run:
        """Starts `python -m lit_mlm fit` on a run folder."""
        command = [sys.executable, "-m", "lit_mlm", "fit", *args, "--run_dir", str(run)]
        place = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **(environment or {})}
        log = self.folder / f"{next(self._names):03}-{run.name}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, env=os.environ | place, cwd=self.folder
            )
        return Run(process, run, log)

    def make_once(self, name: str, make: Callable[[Path], object]) -> Path:
        """A folder that several rows need; the first one makes it, and others wait meanwhile."""
        with self._locks[name]:
            if not (self.folder / name).exists():
                make(self.folder / name)
        return self.folder / name

    def draw(self, name: str) -> random.Random:
        """What a row draws from, whatever rows run before it."""
        return random.Random(f"{SEED} {name}")

    def name_run(self, prefix: str, options: tuple[str, ...]) -> Path:
        """The folder of a run with these options."""
        return self.folder / f"{prefix}-{hashlib.sha256(repr(options).encode()).hexdigest()[:8]}"

    def train(self, *options: str) -> Path:
        """The folder of an uninterrupted run, trained once for the same options."""
        return self.make_once(
            self.name_run("whole", options).name, lambda run: self.start(run, *self.args(*options)).end(0)
        )

    def finish(self, run: Path, *options: str) -> str:
        """Gives the same command again, which must end as the uninterrupted run does; returns what it wrote."""
        log = self.start(run, *self.args(*options)).end(0)
        compare_runs(run, self.train(*options))
        return log


def read_step(run: Path) -> int:
    """The optimizer step of a run's last checkpoint, which must be whole; 0 if it has none."""
    last = run / "checkpoints" / "last.ckpt"
    return int(read_checkpoint(last)["global_step"]) if last.exists() else 0


def compare_runs(run: Path, expected: Path) -> None:
    """Asserts that two runs ended with the same weights, moments and figures, bit for bit, and nothing half-written."""
    for name in ("last.ckpt", "best.ckpt"):
        ours, theirs = (read_checkpoint(folder / "checkpoints" / name) for folder in (run, expected))
        for part in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch"):
            assert is_equal(ours[part], theirs[part]), f"{part} of {name} differ"
    ours, theirs = (json.loads((folder / "metrics.json").read_text()) for folder in (run, expected))
    differing = [key for key in ours | theirs if ours.get(key) != theirs.get(key)]
    assert not differing, f"figures differ: {differing}"
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (run / "hf" / name).read_bytes() == (expected / "hf" / name).read_bytes(), f"hf/{name} differs"
    cards = [re.sub(OF_THE_MACHINE, "", (folder / "hf" / "README.md").read_text()) for folder in (run, expected)]
    assert cards[0] == cards[1], "hf/README.md differs"
    AutoModelForMaskedLM.from_pretrained(run / "hf")
    assert not find_orphans(run), f"left behind: {find_orphans(run)}"


def is_equal(ours: Any, theirs: Any) -> bool:
    """Whether two nested values are the same, tensors bit for bit."""
    if isinstance(ours, torch.Tensor):
        return isinstance(theirs, torch.Tensor) and torch.equal(ours, theirs)
    if isinstance(ours, dict):
        return set(ours) == set(theirs) and all(is_equal(value, theirs[key]) for key, value in ours.items())
    if isinstance(ours, list | tuple):
        return len(ours) == len(theirs) and all(map(is_equal, ours, theirs))
    return bool(ours == theirs)


def find_orphans(folder: Path) -> list[str]:
    """What a run has left half-written, or forgotten."""
    return [str(path.relative_to(folder)) for path in folder.rglob(".*")]


def shorten(log: str) -> str:
    """The end of what a process wrote, on one line."""
    return " ".join(log.split())[-300:]


def find_error(log: str) -> str:
    """The one error of a command, without a traceback."""
    starts = [match.start() for match in re.finditer("^error: ", log, re.MULTILINE)]
    assert len(starts) == 1, f"{len(starts)} errors: {shorten(log)}"
    assert "Traceback" not in log, shorten(log)
    return log[starts[0] :].rstrip()
