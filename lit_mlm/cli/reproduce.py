"""`python -m lit_mlm reproduce`: trains a recipe again, and tells whether its target is met."""

import math
import shlex
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lit_mlm.cli.configs import find_config
from lit_mlm.cli.plain import CommandParser, format_json, print_result
from lit_mlm.cli.repeat import check_rest, check_seeds, choose_folder, run_seeds
from lit_mlm.cli.targets import Target, list_targets, read_target
from lit_mlm.errors import InputError
from lit_mlm.metrics.intervals import format_estimate
from lit_mlm.metrics.signature import find_differences, make_signature
from lit_mlm.runs.atomic import read_json, write_json
from lit_mlm.runs.changes import FREE_OPTIONS, compare
from lit_mlm.runs.units import read_units
from lit_mlm.text.tables import format_table

STATUSES = {"reproduced": 0, "not reproduced": 1, "not comparable": 3}
"""The exit status of each verdict; 2 is that of user errors."""

BATCH = ("data.batch_size", "trainer.accumulate_grad_batches")

FREE = (
    *(name for name in FREE_OPTIONS if name not in BATCH),
    *("model.model", "trainer.precision", "data.tokenizer", "data.train_files"),
)
"""The options that may differ from the recipe: where text and model lie, and on what it runs."""

CAUSES = {
    "text": "the text of the split",
    "data": "the tokenizer, the text that it is trained on, or options of the data",
    "run": "the training text",
    "masks": "the masked text",
}
"""What differs if a part of the signature does, but none of those above it."""

EFFECTS = (*CAUSES, "blocks", "tokens", "words", "texts")
"""The parts that differ with the text."""


def make_parser() -> CommandParser:
    """Makes the parser of the command; all other arguments go to ``fit``."""
    parser = CommandParser(
        "reproduce",
        "Train a recipe again, and tell whether the target in its head is met: the exit status is 0 if it "
        "is reproduced, 1 if not, 3 if the runs can't be compared. All other options are those of fit. Without RECIPE "
        "the targets of all recipes are listed.",
    )
    parser.add_argument("recipe", nargs="?", metavar="RECIPE", help="a config with a target, such as quickstart")
    parser.add_argument("--seeds", type=int, nargs="+", help="by default those of the target")
    parser.add_argument("--run_dir", help="folder of the runs; by default runs/<config>/reproduce_<N>")
    parser.add_argument("--json", action="store_true", help="print a JSON object in place of a table")
    return parser


def main(args: Sequence[str]) -> None:
    """Runs the command with the arguments after its name."""
    options, rest = make_parser().parse_known_args(args)
    if options.recipe is None:
        if rest:
            raise InputError(f"{rest[0]} needs a recipe before it, such as reproduce quickstart {rest[0]}")
        print_result("\n".join(list_targets()))
        return
    name = options.recipe if options.recipe.endswith(".yaml") else f"{options.recipe}.yaml"
    config = find_config(name)
    target = read_target(config)
    if isinstance(target, str):
        raise InputError(f"{config.name} can't be reproduced: {target}; repeat trains it with several seeds")
    check_rest(rest, "reproduce")
    seeds = options.seeds or target.seeds
    check_seeds(seeds)
    recipe = ["--config", name, *shlex.split(target.options)]
    check_changes(recipe, rest)
    folder = choose_folder(options.run_dir, config, "reproduce")
    splits = [name.removeprefix("start/").removeprefix("last/").partition("/")[0] for name in target.metrics]
    runs = run_seeds([*recipe, *rest], seeds, folder, options.json)
    for seed in seeds:
        runs[seed] = score(folder / f"seed_{seed}", splits, options.json)
    signature = sign(folder / f"seed_{seeds[0]}", splits[0], runs[seeds[0]])
    result = {"recipe": config.name, **judge(target, runs, signature)}
    write_json(folder / "reproduce.json", result)
    print_result(format_json(result) if options.json else "\n".join(format_result(result)))
    sys.exit(STATUSES[result["verdict"]])


def check_changes(recipe: Sequence[str], rest: Sequence[str]) -> None:
    """Refuses typed options that make another experiment of a recipe."""
    if not rest:
        return
    from lit_mlm.cli.series_options import check_options  # slow to import, and help does not need it

    own, asked = (check_options([*recipe, *options], {}).config for options in ((), rest))
    changes = compare(own, asked, FREE)
    if changes:
        name, old, new = changes[0]
        raise InputError(f"--{name} {new} can't be given to reproduce: the recipe has {old}; repeat takes any options")


def score(run_dir: Path, splits: Sequence[str], is_quiet: bool) -> dict[str, Any]:
    """Evaluates the best checkpoint of a run, and returns its metrics; perplexity gets its interval over texts."""
    from lit_mlm.cli.compare import evaluate_run  # imports torch, as help need not
    from lit_mlm.metrics.intervals import estimate_ratio_interval

    paths = {split: evaluate_run(run_dir, split, is_quiet=is_quiet) for split in dict.fromkeys(splits)}
    metrics = read_json(run_dir / "metrics.json")
    for split, path in paths.items():
        sums = read_units(path)[1] if path.is_file() else {}
        if "nats" in sums and len(sums["nats"]) > 1:
            low, high = estimate_ratio_interval(sums["nats"], sums["scored"])
            ends = {f"{split}/perplexity_low": math.exp(low), f"{split}/perplexity_high": math.exp(high)}
            metrics = ends | metrics  # that of several mask draws, if there is one
    return metrics


def sign(run_dir: Path, split: str, metrics: Mapping[str, Any]) -> str:
    """Returns the signature of the metrics of a split of a run."""
    figures = {key.removeprefix(f"{split}/"): value for key, value in metrics.items() if key.startswith(f"{split}/")}
    tagging = read_json(run_dir / "hf" / "config.json").get("lit_mlm")
    return make_signature(split, figures, metrics["versions"], tagging, metrics["data_fingerprint"])


def judge(target: Target, runs: Mapping[int, Mapping[str, Any]], signature: str) -> dict[str, Any]:
    """Compares runs of a recipe with its target.

    A metric is met if the mean over the seeds differs by at most the tolerance. Metrics of other data or masks can't be
    compared, nor can a metric that is not met under other versions of packages.

    Args:
        target: of the recipe.
        runs: the content of ``metrics.json`` by seed.
        signature: of the metrics of all runs.

    Returns:
        ``verdict``; ``metrics`` with the interval of each, over the seeds if there are several; ``differences`` of the
        signatures, each with the target's value and ours.
    """
    metrics = {name: measure(name, goal, runs) for name, goal in target.metrics.items()}
    found = {} if target.signature is None else find_differences(target.signature, signature)
    is_met = all(metric["is_met"] for metric in metrics.values())
    is_other = bool(found.keys() - {"versions"})
    verdict = "not comparable" if is_other or (found and not is_met) else "reproduced" if is_met else "not reproduced"
    return {
        "verdict": verdict,
        "metrics": metrics,
        "seeds": list(runs),
        "signature": signature,
        "target_signature": target.signature,
        "differences": found,
        "published": target.published,
        "reasons": target.reasons,
    }


def measure(name: str, goal: Mapping[str, float], runs: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Compares the values of a metric with its goal; the interval is that of the mean, or of a single run."""
    from lit_mlm.metrics.sums import estimate_interval  # imports torch

    first = next(iter(runs.values()))
    if name not in first:
        raise InputError(f"the target has the metric {name}, which the run does not have, but {', '.join(first)}")
    values = [math.inf if run[name] is None else float(run[name]) for run in runs.values()]  # as JSON has infinity
    mean = statistics.fmean(values)
    low, high = (first.get(f"{name}{end}") for end in ("_low", "_high"))
    if len(values) > 1 and math.isfinite(mean):
        low, high = estimate_interval(values)
    is_met = abs(mean - goal["value"]) <= goal["tolerance"]
    return {"target": goal["value"], "tolerance": goal["tolerance"], "value": mean, "low": low, "high": high} | {
        "is_met": is_met,
        "runs": values,
    }


def format_result(result: dict[str, Any]) -> list[str]:
    """Formats the result of `judge` for a terminal."""
    rows = [["", "target", "tolerance", "found", "95 % interval", ""]]
    for name, metric in result["metrics"].items():
        value = format_estimate(metric["value"])[0]
        interval = format_estimate(metric["value"], metric["low"], metric["high"])[1]
        goal = f"{metric['target']:g}", f"{metric['tolerance']:g}"
        rows.append([name, *goal, value, interval, "met" if metric["is_met"] else "not met"])
    seeds = " ".join(map(str, result["seeds"]))
    lines = [*format_table(rows, "<>>>><")]
    lines.append(f"seeds: {seeds}" if " " in seeds else f"seed: {seeds}; its interval is for other text of this kind")
    found = result["differences"]
    cause = next((part for part in CAUSES if part in found), None)
    for part in found:
        if part == cause or part not in EFFECTS or cause is None:
            old, new = found[part]
            lines.append(f"other {part}: {new}, not {old}{f' ({CAUSES[part]})' if part in CAUSES else ''}")
    if result["target_signature"] is None:
        lines.append("the target has no signature, so data and masks can't be compared")
    if result["published"]:
        lines.append(f"published: {result['published']}; reasons to differ: {result['reasons']}")
    return [*lines, f"signature: {result['signature']}", f"{result['recipe']}: {result['verdict']}"]
