"""`python -m lit_mlm repeat`: trains once per seed, and reports mean and standard deviation of the metrics."""

import re
import shlex
import statistics
import subprocess
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from lit_mlm.cli.inputs import check_folder, split_args
from lit_mlm.cli.plain import CommandParser, print_error, print_result
from lit_mlm.errors import InputError
from lit_mlm.options import SEEDS
from lit_mlm.runs.atomic import read_json, write_json
from lit_mlm.runs.checkpoints import name_run


def make_parser() -> CommandParser:
    """Makes the parser of the command; all other arguments go to ``fit``."""
    parser = CommandParser("repeat", "Train once for each seed, one after another. All other options are those of fit.")
    parser.add_argument("--seeds", type=int, nargs="+", required=True, help="of weights, order, dropout and masks")
    parser.add_argument("--config", "-c", action="append", required=True, help="as for fit")
    parser.add_argument("--run_dir", help="folder of the runs; by default runs/<config>/repeat_<N>")
    return parser


def main(args: Sequence[str]) -> None:
    """Runs the command with the arguments after its name."""
    options, rest = make_parser().parse_known_args(args)
    check_seeds(options.seeds)
    if len(options.seeds) < 2:
        raise InputError(f"--seeds must be two or more numbers, got {options.seeds[0]}")
    check_rest(rest, "repeat")
    folder = choose_folder(options.run_dir, Path(options.config[0]), "repeat")
    configs = [part for config in options.config for part in ("--config", config)]
    summary = summarise(run_seeds([*configs, *rest], options.seeds, folder))
    write_json(folder / "repeat.json", summary)
    print_result("\n".join(format_table(summary)))
    print_result(f"metrics: {folder / 'repeat.json'}")


def find_folder(run_dir: str | None, config: Path, command: str) -> Path:
    """Returns the folder that is asked for, by default a new one, ``runs/<config>/<command>_<N>``."""
    if run_dir is not None:
        check_folder("--run_dir", run_dir)
        return Path(run_dir)
    parent = Path("runs") / name_run(config)
    return next(folder for number in count() if not (folder := parent / f"{command}_{number}").exists())


def choose_folder(run_dir: str | None, config: Path, command: str, run: str = "seed") -> Path:
    """Selects the folder of the runs of a command, by default a new one; refuses one that holds something else.

    Args:
        run_dir: the folder that is asked for.
        config: of the runs.
        command: whose name is that of its JSON file.
        run: begins the names of the runs, before a number.
    """
    folder = find_folder(run_dir, config, command)
    others = [path.name for path in folder.glob("*") if not re.fullmatch(rf"{run}_\d+|{command}\.json", path.name)]
    if others:
        raise InputError(f"--run_dir {folder} holds {min(others)}, which {command} didn't write; give another folder")
    return folder


def check_seeds(seeds: Sequence[int], name: str = "--seeds") -> None:
    """Refuses seeds out of range, and equal ones; `name` is what they are called."""
    for seed in seeds:
        if seed not in SEEDS:
            raise InputError(f"{name} must be {SEEDS}, got {seed}")
    if len(set(seeds)) < len(seeds):
        raise InputError(f"{name} must be different numbers, got {' '.join(map(str, seeds))}")


def run_seeds(
    command: Sequence[str], seeds: Sequence[int], folder: Path, is_quiet: bool = False
) -> dict[int, dict[str, Any]]:
    """Trains once for each seed, in ``seed_<N>`` of a folder, and resumes what is interrupted.

    Args:
        command: options of ``fit``.
        seeds: of the runs.
        folder: of the runs.
        is_quiet: whether the output of the runs goes to standard error.

    Returns:
        The content of ``metrics.json`` by seed.
    """
    runs: dict[int, dict[str, Any]] = {}
    for seed in seeds:
        run_dir = folder / f"seed_{seed}"
        run_fit([*command, "--seed_everything", str(seed)], run_dir, f"seed {seed}", is_quiet)
        runs[seed] = read_json(run_dir / "metrics.json")
        check_comparable(runs)
    return runs


def run_fit(command: Sequence[str], run_dir: Path, name: str, is_quiet: bool = False) -> None:
    """Runs ``fit`` in a process of its own, which resumes an interrupted run; its failure ends this one.

    Args:
        command: options of ``fit``.
        run_dir: of the run.
        name: of the run, for messages.
        is_quiet: whether its output goes to standard error.
    """
    args = ["fit", *command, "--run_dir", str(run_dir)]
    (print_error if is_quiet else print_result)(f"python -m lit_mlm {shlex.join(args)}")
    out = sys.stderr if is_quiet else None
    status = subprocess.run([sys.executable, "-m", "lit_mlm", *args], check=False, stdout=out).returncode
    if status:
        others = [path.parent for path in run_dir.parent.glob("*/metrics.json") if path.parent != run_dir]
        finished = f"; finished runs are in {run_dir.parent}" if others else ""
        print_error(f"{name} ended with exit status {status}{finished}")
        sys.exit(status)


def check_rest(args: Sequence[str], command: str) -> None:
    """Refuses options of ``fit`` with which runs can't be compared."""
    for option, values in split_args(args):
        value = " ".join(values)
        if option in ("seed_everything", "ckpt_path"):
            raise InputError(f"--{option} can't be given to {command}: each of its runs starts anew with its own seed")
        if (option, value) == ("trainer.enable_checkpointing", "false") or (
            option == "trainer.fast_dev_run" and value not in ("false", "0")
        ):
            raise InputError(f"--{option} {value} can't be given to {command}: such a run writes no metrics to compare")


def check_comparable(runs: dict[int, dict[str, Any]]) -> None:
    """Refuses runs that were scored on different masked texts, by the first evaluation of each.

    Args:
        runs: as for `summarise`.
    """
    first = next(iter(runs.values()))
    masks = next((key for key in ("start/val/mask_fingerprint", "val/mask_fingerprint") if key in first), None)
    for key in ("data_fingerprint", masks):
        found = {seed: run.get(key) for seed, run in runs.items()} if key else {}
        if len(set(found.values())) > 1:
            listed = ", ".join(f"seed {seed} {str(value)[:12]}" for seed, value in found.items())
            raise InputError(f"the runs can't be compared: their {key} differs: {listed}")


def summarise(runs: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """Summarises every metric that all runs have.

    Args:
        runs: the content of ``metrics.json`` by seed, of at least two runs.

    Returns:
        ``seeds``, and for each metric ``mean``, ``deviation`` (sample standard deviation) and ``runs``, the values in
        the order of the seeds.
    """
    summary: dict[str, Any] = {"seeds": list(runs)}
    for key in next(iter(runs.values())):
        values = [run.get(key) for run in runs.values()]
        if all(isinstance(value, int | float) for value in values):
            numbers = [float(value) for value in values if value is not None]
            summary[key] = {"mean": statistics.mean(numbers), "deviation": statistics.stdev(numbers), "runs": values}
    return summary


def format_table(summary: dict[str, Any]) -> list[str]:
    """A table of the metrics that differ between runs, one line each: those of the best checkpoints."""
    others = "seeds", "start/", "last/"
    names = [key for key, metric in summary.items() if not key.startswith(others) and metric["deviation"] > 0]
    columns = ["mean", "deviation", *(f"seed {seed}" for seed in summary["seeds"])]
    width = max(map(len, names), default=0)
    lines = [f"{'':{width}}" + "".join(f"{column:>14}" for column in columns)]
    for name in names:
        metric = summary[name]
        values = [metric["mean"], metric["deviation"], *metric["runs"]]
        lines.append(f"{name:{width}}" + "".join(f"{value:>14,.6g}" for value in values))
    return lines
