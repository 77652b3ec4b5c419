"""`python -m lit_mlm sweep`: searches options for the best validation, each trial a run of its own."""

import math
from argparse import Namespace
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from lit_mlm.cli.inputs import split_args
from lit_mlm.cli.plain import CommandParser
from lit_mlm.cli.repeat import check_rest, check_seeds, find_folder
from lit_mlm.cli.series import holding_series
from lit_mlm.errors import InputError
from lit_mlm.options import SEEDS

OWN = r"trial_\d+|sweep\.db(-.+)?|\.?(sweep\.json|best\.yaml|(history|importance)\.png)(\.unfinished)?"
"""The names in the folder of a sweep, those of a killed one included: SQLite's journal, and files half written."""


def make_parser() -> CommandParser:
    """Makes the parser of the command; all other arguments go to ``fit``."""
    parser = CommandParser(
        "sweep",
        "Search options for the best validation. All other options are those of fit, the same for all.",
    )
    add = parser.add_argument
    add("--config", "-c", action="append", required=True, help="as for fit")
    add("--space", type=Path, required=True, help="YAML of options: lists of values, or low, high, log, step")
    add("--num_trials", type=int, help="trials in all; by default 20, or all of a grid")
    add("--sampler", choices=("tpe", "random", "grid"), default="tpe", help="how the next trial is chosen")
    add("--seed", type=int, default=0, help="of the sampler")
    add("--seeds", type=int, nargs="+", default=[42], help="of the runs of each trial; their mean counts")
    add("--jobs", type=int, help="trials that run at the same time; by default 1, or one per --gpus")
    add("--gpus", nargs="+", help="CUDA_VISIBLE_DEVICES of each job, such as 0 1, or 0,1 2,3")
    add("--prune", action="store_true", help="end a trial that is worse than the median of at least five")
    add("--keep_all", action="store_true", help="keep the weights of all trials, not of the best alone")
    add("--run_dir", help="folder of the sweep; by default runs/<config>/sweep_<N>")
    return parser


def main(args: Sequence[str]) -> None:
    """Runs the command with the arguments after its name."""
    options, rest = make_parser().parse_known_args(args)
    if find_spec("optuna") is None:
        raise InputError("sweep needs Optuna: pip install 'lit-mlm[sweep]'")
    # All of these are slow to import, and help does not need them.
    from lit_mlm.cli import series_options
    from lit_mlm.cli.sweep_results import write_results
    from lit_mlm.cli.trial_runs import run_trials
    from lit_mlm.cli.trials import Study, list_ends, list_values, read_space

    options.jobs = options.jobs or len(options.gpus or [0])
    check_numbers(options)
    space = read_space(options.space)
    check_rest([*rest, *(f"--{name}=" for name in space)], "sweep")
    if twice := sorted({name for name, _ in split_args(rest)} & set(space)):
        raise InputError(f"--{twice[0]} is typed, and in {options.space} too; leave one out")
    size = math.prod(len(list_values(each)) for each in space.values()) if options.sampler == "grid" else math.inf
    num_trials = int(min(options.num_trials or (20 if size == math.inf else size), size))
    folder = find_folder(options.run_dir, Path(options.config[0]), "sweep")
    command = [*(part for config in options.config for part in ("--config", config)), *rest]
    found = series_options.check_options(command, {name: list_ends(each) for name, each in space.items()})
    names = ("sampler", "seed", "seeds", "jobs", "prune")
    settings = {"fit": found.config, "space": {name: str(each) for name, each in space.items()}, "order": list(space)}
    with holding_series(folder, "sweep", OWN, settings | {name: getattr(options, name) for name in names}):
        study = Study(folder / "sweep.db", found.mode, space, options.sampler, options.seed, options.jobs)
        run_trials(study, folder, num_trials, command, options)
        write_results(study, folder)


def check_numbers(options: Namespace) -> None:
    """Refuses numbers out of range."""
    for name in ("num_trials", "jobs"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise InputError(f"--{name} must be at least 1, got {value}")
    if options.seed not in SEEDS:
        raise InputError(f"--seed must be {SEEDS}, got {options.seed}")
    check_seeds(options.seeds)
    if options.gpus and len(options.gpus) != options.jobs:
        raise InputError(f"--jobs {options.jobs} needs as many --gpus, got {len(options.gpus)}")
