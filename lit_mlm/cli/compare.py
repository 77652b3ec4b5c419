"""`python -m lit_mlm compare`: tells whether runs differ by more than chance."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import numpy as np

from lit_mlm.cli.compared_runs import ComparedRun, choose_metrics, read_run
from lit_mlm.cli.plain import CommandParser, format_json, print_error, print_result
from lit_mlm.errors import InputError
from lit_mlm.metrics.intervals import format_estimate
from lit_mlm.metrics.paired import PairedMetric, adjust_holm, compare_sides
from lit_mlm.options import SEEDS
from lit_mlm.runs.atomic import read_json
from lit_mlm.runs.checkpoints import hash_checkpoint
from lit_mlm.runs.units import get_units_path, read_units
from lit_mlm.text.arrays import FloatArray
from lit_mlm.text.tables import format_table

COMMANDS = {"val": "validate", "test": "test"}

FEW_UNITS = 20
"""With fewer units simulated intervals are too narrow (docs/results.md)."""


def make_parser() -> CommandParser:
    """Makes the parser of the command; all other arguments go to ``validate`` or ``test``."""
    parser = CommandParser(
        "compare",
        "Compare runs by paired tests on the same evaluation. Runs whose best checkpoint has none are "
        "evaluated first; with options of validate, all are.",
    )
    add = parser.add_argument
    add("runs", nargs="*", metavar="RUN", help="folder of a run, or of repeat with several seeds; two or more")
    add("--split", choices=COMMANDS, default="val", help="default val")
    add("--metrics", nargs="+", metavar="NAME", help="by default f1, accuracy of plain tags or texts, or perplexity")
    add("--all_pairs", action="store_true", help="compare each run with each, in place of each with the first")
    add("--num_resamples", type=int, default=10_000, help="of bootstrap and randomisation; default 10000")
    add("--seed", type=int, default=42, help="of the resamples; default 42")
    add("--json", action="store_true", help="print a JSON object in place of a table")
    return parser


def main(args: Sequence[str]) -> None:
    """Runs the command with the arguments after its name."""
    options, rest = make_parser().parse_known_args(args)
    check_options(options, rest)
    members = [find_members(Path(run)) for run in options.runs]
    check_seeds(options.runs, members)
    sides = [[load_run(run, options.split, rest, options.json) for run in side] for side in members]
    metrics = choose_metrics([run for side in sides for run in side], options.metrics, COMMANDS[options.split])
    result = compare(sides, metrics, options)
    print_result(format_json(result) if options.json else "\n".join(format_result(result)))


def check_options(options: Any, rest: Sequence[str]) -> None:
    """Refuses options with which nothing can be compared."""
    if len(options.runs) < 2:
        raise InputError(f"compare needs two or more folders of runs, got {' '.join(options.runs) or 'none'}")
    for name in options.runs:
        if not Path(name).is_dir():
            order = f"; give the runs before {rest[0]}" if rest else ""
            raise InputError(f"there is no folder {name}{order}")
        if options.runs.count(name) > 1:
            raise InputError(f"{name} is given twice: give each run once")
    if len(options.runs) > len(ascii_uppercase):
        raise InputError(f"compare takes at most {len(ascii_uppercase)} runs, got {len(options.runs)}")
    if options.num_resamples < 100:
        raise InputError(f"--num_resamples must be at least 100, got {options.num_resamples}")
    if options.seed not in SEEDS:
        raise InputError(f"--seed must be {SEEDS}, got {options.seed}")
    for name in (arg.partition("=")[0] for arg in rest):
        if name in ("--run_dir", "--config", "-c", "--ckpt_path"):
            raise InputError(f"{name} can't be given to compare: it evaluates the best checkpoint of each run")


def find_members(folder: Path) -> list[Path]:
    """The runs of a side: the folder itself, or those of `repeat`, one for each seed."""
    if not (folder / "repeat.json").is_file():
        return [folder]
    seeds = read_json(folder / "repeat.json").get("seeds")
    runs = [folder / f"seed_{seed}" for seed in seeds] if isinstance(seeds, list) else []
    missing = next((run for run in runs if not run.is_dir()), None)
    if len(runs) < 2 or missing is not None:
        found = f"its seeds are {seeds!r:.60}" if missing is None else f"there is no {missing}"
        raise InputError(f"{folder / 'repeat.json'} does not fit its folder: {found}; run repeat again")
    return runs


def check_seeds(names: Sequence[str], members: Sequence[Sequence[Path]]) -> None:
    """Refuses a run beside several seeds, as a single one does not tell how much the seed changes."""
    numbers = {len(runs): name for name, runs in zip(names, members, strict=True)}
    if 1 in numbers and len(numbers) > 1:
        other = numbers[max(numbers)]
        raise InputError(
            f"{other} has {max(numbers)} seeds, but {numbers[1]} is a single run: give runs of repeat on all sides, or "
            f"one of them, such as {Path(other) / 'seed_...'}"
        )


def load_run(run: Path, split: str, rest: Sequence[str], is_quiet: bool) -> ComparedRun:
    """Reads the units of a run's best checkpoint; the arguments are those of `evaluate_run`."""
    path = evaluate_run(run, split, rest, is_quiet)
    if not path.is_file():
        raise InputError(
            f"{run}: {COMMANDS[split]} wrote no {path.name}, as it scores only a part of the split "
            f"(trainer.limit_{split}_batches), or data or metrics that tell no units"
        )
    return read_run(run, path)


def evaluate_run(run: Path, split: str, rest: Sequence[str] = (), is_quiet: bool = False) -> Path:
    """Evaluates a run's best checkpoint if it has no units, or if there are options for it; returns their path.

    Args:
        run: folder of the run.
        split: val or test.
        rest: options of the evaluation.
        is_quiet: whether its output goes to standard error.
    """
    path, checkpoint = get_units_path(run / "metrics.json", split), run / "checkpoints" / "best.ckpt"
    if rest or not is_current(path, checkpoint):
        if not checkpoint.is_file():
            raise InputError(f"{run} has no checkpoints/best.ckpt to evaluate: give the folder of a run")
        command = [sys.executable, "-m", "lit_mlm", COMMANDS[split], "--run_dir", str(run), *rest]
        status = subprocess.run(command, check=False, stdout=sys.stderr if is_quiet else None).returncode
        if status:
            print_error(f"the evaluation of {run} ended with exit status {status}")
            sys.exit(status)
    return path


def is_current(path: Path, checkpoint: Path) -> bool:
    """Whether a file has the units of a checkpoint, or of a model that has none."""
    if not path.is_file() or not checkpoint.is_file():
        return path.is_file()
    return bool(read_units(path)[0].get("checkpoint") == hash_checkpoint(checkpoint))


def compare(
    sides: Sequence[Sequence[ComparedRun]], metrics: Mapping[str, PairedMetric], options: Any
) -> dict[str, Any]:
    """Compares all sides by each metric, and returns the result as plain data."""
    first, pairs = sides[0][0], list(combinations(range(len(sides)), 2))
    found = []
    for name, metric in metrics.items():
        sums = [stack(side, metric) for side in sides]
        for a, b in pairs if options.all_pairs else pairs[: len(sides) - 1]:
            difference = compare_sides(sums[a], sums[b], metric, options.num_resamples, options.seed)
            found.append({"metric": name, "first": options.runs[a], "second": options.runs[b], **difference._asdict()})
    for comparison, p in zip(found, adjust_holm([comparison["p"] for comparison in found]), strict=True):
        comparison["p_holm"] = p
    values = {
        name: [metric.compute(stack(side, metric).sum(axis=1)).tolist() for side in sides]
        for name, metric in metrics.items()
    }
    return {
        "split": options.split,
        "unit": first.kind,
        "num_units": len(first.units),
        "num_resamples": options.num_resamples,
        "seed": options.seed,
        "runs": [
            {"run": run, "num_seeds": len(side), "values": {name: values[name][number] for name in metrics}}
            for number, (run, side) in enumerate(zip(options.runs, sides, strict=True))
        ],
        "comparisons": found,
    }


def stack(side: Sequence[ComparedRun], metric: PairedMetric) -> FloatArray:
    """The sums of a metric's columns, shape (S, U, C)."""
    return np.stack([np.stack([run.sums[name] for name in metric.columns], axis=-1) for run in side])


def format_difference(test: Mapping[str, Any]) -> list[str]:
    """Formats difference, interval, p and p by Holm of a comparison."""
    value, interval = format_estimate(test["value"], test["low"], test["high"])
    p_values = [f"{test[key]:.4f}" if test[key] >= 0.0001 else "< 0.0001" for key in ("p", "p_holm")]
    return [f"{'+' if test['value'] > 0 else ''}{value}", interval, *p_values]


def format_result(result: dict[str, Any]) -> list[str]:
    """Formats the result of `compare` for a terminal."""
    letters = {run["run"]: letter for run, letter in zip(result["runs"], ascii_uppercase, strict=False)}
    num_seeds, num_units, tests = result["runs"][0]["num_seeds"], result["num_units"], result["comparisons"]
    lines = []
    for run in result["runs"]:
        seeds = f" ({run['num_seeds']} seeds)" if run["num_seeds"] > 1 else ""
        lines.append(f"{letters[run['run']]}: {run['run']}{seeds}")
    rows = [["metric", "", "", "", "difference", "95 % interval", "p", "p (Holm)"]]
    means = {run["run"]: {name: float(np.mean(each)) for name, each in run["values"].items()} for run in result["runs"]}
    for test in tests:
        first, second, name = test["first"], test["second"], test["metric"]
        both = [format_estimate(means[run][name])[0] for run in (second, first)]
        rows.append([name, f"{letters[second]} - {letters[first]}", *both, *format_difference(test)])
    lines += format_table(rows, "<<" + ">" * 6)
    kind = result["unit"] if num_units == 1 else f"{result['unit']}s"
    method = "t test over seeds and units" if num_seeds > 1 else "approximate randomisation"
    scope = f"{result['split']}: {num_units:,} {kind}"
    lines.append(f"{scope}; {result['num_resamples']:,} resamples, seed {result['seed']}; p by {method}")
    if num_units < FEW_UNITS:
        lines.append(f"{num_units} {kind} are few: intervals from fewer than {FEW_UNITS} may be too narrow")
    return lines
