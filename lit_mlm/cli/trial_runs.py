"""The processes of a sweep's trials: starts, watches and stops them."""

import shlex
import signal
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from optuna.trial import TrialState

from lit_mlm.callbacks.record_training import HISTORY
from lit_mlm.cli.inputs import type_options
from lit_mlm.cli.plain import print_error, print_result
from lit_mlm.cli.series import LOG_FILE, read_failure, start_process, stop_process
from lit_mlm.cli.sweep_results import describe, remove_weights
from lit_mlm.cli.trials import Study
from lit_mlm.errors import InputError
from lit_mlm.runs.atomic import read_json
from lit_mlm.runs.folder import find_owner

POLL_SECONDS = 0.5


@dataclass
class Trial:
    """A trial that runs: one process of ``fit`` after another, one for each seed.

    Args:
        number: of the trial.
        params: its options.
        folder: of its runs.
        command: options of ``fit`` that all trials have.
        seeds: of the runs.
        gpus: CUDA_VISIBLE_DEVICES of its processes; None leaves it as it is.
    """

    number: int
    params: dict[str, Any]
    folder: Path
    command: Sequence[str]
    seeds: Sequence[int]
    gpus: str | None
    state: TrialState = TrialState.RUNNING
    values: list[float] = field(default_factory=list)
    value: float | None = None
    _process: subprocess.Popen[bytes] | None = None
    _index: int = 0
    _is_waiting: bool = False

    @property
    def run_dir(self) -> Path:
        """The folder of the run of the current seed."""
        return self.folder / f"seed_{self.seeds[self._index]}"

    def watch(self, study: Study, prunes: bool) -> None:
        """Starts the next run if none runs, and changes the state once all have ended, one failed or it is pruned."""
        if self._process is None and not self._start():
            return
        status = None if self._process is None else self._process.poll()
        values = read_values(self.run_dir)
        if self._index == 0 and len(values) > len(self.values):  # later seeds are not compared
            self.values = values
            pruned = study.find_pruned(self.number, values) if prunes else None
            if pruned is not None:
                self.stop()
                self.values = self.values[: pruned + 1]
                self.value, self.state = self.values[-1], TrialState.PRUNED
                return
        if status is None:
            return
        self._process = None
        if status:
            self._fail(status)
        elif self._index + 1 < len(self.seeds):
            self._index += 1
        else:
            results = [read_metric(self.folder / f"seed_{seed}") for seed in self.seeds]
            found = [result for result in results if result is not None]
            self.value = mean(found) if len(found) == len(results) else None
            self.state = TrialState.FAIL if self.value is None else TrialState.COMPLETE

    def stop(self) -> None:
        """Stops its process, if one runs."""
        if self._process is not None:
            stop_process(self._process)
            self._process = None

    def _start(self) -> bool:
        """Starts ``fit``, which resumes a run that was killed, unless one of a killed sweep still runs."""
        owner = find_owner(self.run_dir)
        if owner is not None:
            if not self._is_waiting:
                print_result(f"trial {self.number} is still run by {owner}, which is waited for")
            self._is_waiting = True
            return False
        own = ["--seed_everything", str(self.seeds[self._index]), "--run_dir", str(self.run_dir)]
        args = ["fit", *self.command, *type_options(self.params), *own]
        self._process = start_process(args, self.folder / LOG_FILE, self.gpus)
        return True

    def _fail(self, status: int) -> None:
        """Lets the sweep go on without this trial, unless no trial of these options can run."""
        last = read_failure(self.folder / LOG_FILE, f"trial {self.number}")
        if not (self.run_dir / "config.yaml").is_file():  # refused before it trained
            print_error(last)
            raise InputError(f"trial {self.number} ended with exit status {status} before it trained; see above")
        number = -status if status < 0 else status - 128  # below 0 of one that had not begun to handle signals
        if number in (signal.SIGTERM, signal.SIGINT):
            print_result(f"trial {self.number} was stopped by a signal")
            sys.exit(128 + number)
        self.state = TrialState.FAIL


def read_values(run_dir: Path) -> list[float]:
    """Returns the monitored metric of each validation of a run, in order; an infinite one ends the list."""
    content = read_json(run_dir / HISTORY)
    values: list[float] = []
    for point in content.get("history", []):
        value = point.get(content["monitor"])
        if value is None:
            break
        values += [float(value)] if point["step"] else []
    return values


def read_metric(run_dir: Path) -> float | None:
    """Returns the monitored metric of a run's best checkpoint; None if it is not finite, or was never computed."""
    value = read_json(run_dir / "metrics.json").get(read_json(run_dir / HISTORY).get("monitor", ""))
    return None if value is None else float(value)


def run_trials(study: Study, folder: Path, num_trials: int, command: Sequence[str], options: Namespace) -> None:
    """Runs the trials that are left, a round of as many as there are jobs after another."""
    while True:
        if not options.keep_all:
            remove_weights(study, folder)
        if (number := len(study.trials)) >= num_trials:
            return
        last = min(num_trials, number - number % options.jobs + options.jobs)
        gpus = options.gpus or [None] * options.jobs
        trials = [
            Trial(n, study.ask(n), folder / f"trial_{n}", command, options.seeds, gpus[n % options.jobs])
            for n in range(number, last)
        ]
        for trial in trials:
            print_result(f"trial {trial.number}: {shlex.join(type_options(trial.params))}")
        try:
            while any(trial.state == TrialState.RUNNING for trial in trials):
                for trial in trials:
                    if trial.state == TrialState.RUNNING:
                        trial.watch(study, options.prune)
                time.sleep(POLL_SECONDS)
        finally:
            for trial in trials:
                trial.stop()
        for trial in trials:
            study.tell(trial.params, trial.state, trial.value, trial.values)
            print_result(f"trial {trial.number}: {describe(study, study.trials[-1])}")
