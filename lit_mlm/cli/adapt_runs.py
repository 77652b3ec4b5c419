"""The runs of `python -m lit_mlm adapt`: starts those that are missing, one process after another."""

import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lit_mlm.callbacks.record_training import HISTORY
from lit_mlm.callbacks.write_models import FOLDER
from lit_mlm.cli.adapt_plan import Entry, Plan
from lit_mlm.cli.compare import COMMANDS
from lit_mlm.cli.plain import print_error, print_result
from lit_mlm.cli.repeat import summarise
from lit_mlm.cli.series import LOG_FILE, read_failure, start_process, stop_process
from lit_mlm.inference.card.training import format_seconds
from lit_mlm.runs.atomic import read_json, write_json
from lit_mlm.runs.folder import find_owner, is_finished
from lit_mlm.runs.units import get_units_path
from lit_mlm.text.tables import format_number

NO_NEW_WORDS = ("--data.new_words", "null", "--data.num_new_words", "null", "--data.min_pieces", "null")
"""Options of an evaluation: the words of an adapted model are in its tokenizer, and others have none."""

POLL_SECONDS = 1.0


@dataclass(frozen=True)
class AdaptRuns:
    """The runs of a plan below a folder.

    Models are ``unadapted``, ``control``, ``adapted``, and ``step_<N>`` of the adaptation. The masked language models
    lie in ``adapted/seed_<S>`` and ``control/seed_<S>``, evaluations on texts in ``texts/<text>/<model>/seed_<S>`` and
    runs of tasks in ``tasks/<task>/<model>/seed_<S>``.

    Args:
        plan: of the runs.
        folder: of all of them.
        num_models: along the adaptation, its end included.
        keep_all: whether the weights of tasks are kept.
        adds_words: whether the adaptation extends the tokenizer.
    """

    plan: Plan
    folder: Path
    num_models: int
    keep_all: bool
    adds_words: bool

    @property
    def steps(self) -> list[str]:
        """The names of the models along the adaptation, once it has ended; its end is ``adapted``."""
        folder = self.folder / "adapted" / f"seed_{self.plan.seeds[0]}" / FOLDER
        return sorted((path.name for path in folder.glob("step_*")), key=lambda name: int(name.removeprefix("step_")))

    def run(self) -> None:
        """Begins with the unadapted model, so that faults of the data are found early."""
        self.score("unadapted")
        for name, entry in (("adapted", "adaptation"), ("control", "control")):
            if entry in self.plan.entries:
                self.adapt(name, self.plan.entries[entry])
        for model in (*self.plan.models[1:], *self.steps):
            self.score(model)

    def list_runs(self, entry: Entry, model: str) -> list[Path]:
        """The folders with the figures of a model on a task or text, one for each seed."""
        seeds = self.plan.seeds if entry in self.plan.tasks else self.plan.adaptation_seeds
        if entry in self.plan.texts and model == "unadapted":
            seeds = seeds[:1] * len(seeds)
        return [self.folder / entry.folder / model / f"seed_{seed}" for seed in seeds]

    def has_begun(self, name: str) -> bool:
        """Whether a run of an entry has a checkpoint or figures; until then its options may change."""
        trained = {"adaptation": "adapted", "control": "control"}.get(name)
        folders = (self.folder / part for part in (self.plan.entries[name].folder, trained) if part)
        return any(next(part.rglob(file), None) for part in folders for file in ("metrics.json", "*.ckpt"))

    def adapt(self, name: str, entry: Entry) -> None:
        """Trains the masked language models; the control by as many steps, unless it has a number of its own."""
        for seed in self.plan.adaptation_seeds:
            run_dir, more = self.folder / name / f"seed_{seed}", ["--seed_everything", str(seed)]
            if name == "control" and not any(option.startswith("--trainer.max_") for option in entry.options):
                steps = read_json(self.folder / "adapted" / f"seed_{seed}" / "metrics.json")["last/step"]
                more += ["--trainer.max_steps", str(steps), "--trainer.max_epochs", "-1"]
            if name == "adapted" and self.num_models > 1:
                more += ["--trainer.callbacks+", "WriteModels", "--trainer.callbacks.number", str(self.num_models)]
            if not is_finished(run_dir):
                self.start(run_dir, ["fit", *entry.list_args(self.plan.model), *more], "last/val")

    def score(self, model: str) -> None:
        """Scores a model on texts, and fine-tunes and scores it on tasks."""
        for entry in self.plan.texts:
            for run_dir, seed in zip(self.list_runs(entry, model), self.plan.adaptation_seeds, strict=True):
                if not _find_units(run_dir, entry).is_file():
                    more = NO_NEW_WORDS if self.adds_words and entry.name == "adaptation" else ()
                    args = [*entry.list_args(self.find_model(model, seed)), *more]
                    self.start(run_dir, [COMMANDS[entry.split], *args], entry.split)
        for entry in self.plan.tasks:
            runs = self.list_runs(entry, model)
            for run_dir, seed in zip(runs, self.plan.seeds, strict=True):
                if not _find_units(run_dir, entry).is_file():
                    if not is_finished(run_dir):
                        args = entry.list_args(self.find_model(model, seed))
                        self.start(run_dir, ["fit", *args, "--seed_everything", str(seed)], "val")
                    self.start(run_dir, [COMMANDS[entry.split]], entry.split)
                for part in () if self.keep_all else ("checkpoints", "hf"):
                    shutil.rmtree(run_dir / part, ignore_errors=True)
            if len(runs) > 1:  # for compare
                found = {seed: read_json(run / "metrics.json") for run, seed in zip(runs, self.plan.seeds, strict=True)}
                write_json(runs[0].parent / "repeat.json", summarise(found))

    def find_model(self, name: str, seed: int) -> str:
        """The folder or name of a model for a seed."""
        if name == "unadapted":
            return self.plan.model
        seed = seed if self.plan.adapts_per_seed else self.plan.seeds[0]
        parent = self.folder / ("control" if name == "control" else "adapted") / f"seed_{seed}"
        return str(parent / FOLDER / name if name.startswith("step_") else parent / "hf")

    def start(self, run_dir: Path, args: Sequence[str], prefix: str) -> None:
        """Runs a command to its end, and prints its time and figure.

        Args:
            run_dir: of the run.
            args: the command and its options.
            prefix: of the figure in its metrics.
        """
        name, log = run_dir.relative_to(self.folder), self.folder / LOG_FILE
        if owner := find_owner(run_dir):  # of a killed one
            print_result(f"{name} is still run by {owner}, which is waited for")
            while find_owner(run_dir):
                time.sleep(POLL_SECONDS)
        began, process = time.monotonic(), start_process([*args, "--run_dir", str(run_dir)], log)
        try:
            status = process.wait()
        except BaseException:
            stop_process(process)
            raise
        if status:
            print_error(read_failure(log, str(name)))
            print_error(f"{name}: {args[0]} ended with exit status {status}; see above, or {log}")
            sys.exit(status if status > 0 else 128 - status)
        metrics = read_json(run_dir / "metrics.json")
        metric = "perplexity" if f"{prefix}/perplexity" in metrics else _find_monitored(run_dir)
        figure = format_number(metrics.get(f"{prefix}/{metric}"))
        time_taken = format_seconds(time.monotonic() - began)
        print_result(f"{name}: {args[0]}, {prefix.removeprefix('last/')} {metric} {figure}, {time_taken}")


def _find_units(run_dir: Path, entry: Entry) -> Path:
    return get_units_path(run_dir / "metrics.json", entry.split)


def _find_monitored(run_dir: Path) -> str:
    """The name of the metric that a run monitors."""
    monitor: str = read_json(run_dir / HISTORY)["monitor"]
    return monitor.partition("/")[2]
