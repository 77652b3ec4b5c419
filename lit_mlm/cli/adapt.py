"""`python -m lit_mlm adapt`: adapts a model to a domain, and measures what tasks gain and what is forgotten."""

from collections.abc import Sequence

from lit_mlm.cli.plain import CommandParser
from lit_mlm.errors import InputError

OWN = r"log\.txt|adapted|control|texts|tasks|\.?(adapt\.(json|md)|curve\.png)(\.unfinished)?"
"""The names in the folder of an adaptation."""


def make_parser() -> CommandParser:
    """Makes the parser of the command; all other arguments go to ``fit``."""
    parser = CommandParser(
        "adapt",
        "Adapt a model to a domain, fine-tune it and the unadapted one on tasks, and compare them. Options "
        "of fit are for all trainings, or behind adaptation., control., general. or tasks.NAME. for one.",
    )
    add = parser.add_argument
    add("--config", "-c", required=True, help="YAML with model, adaptation and tasks, such as adapt-imdb.yaml")
    add("--model", help="in place of the config's")
    add("--seeds", type=int, nargs="+", help="of the fine-tuning, in place of the config's")
    add("--checkpoints", type=int, default=1, help="compare this many models along the adaptation; default 1, its end")
    add("--keep_all", action="store_true", help="keep the weights of the tasks, too")
    add("--run_dir", help="folder of all runs; by default runs/<config>/adapt_<N>")
    return parser


def main(args: Sequence[str]) -> None:
    """Runs the command with the arguments after its name."""
    options, rest = make_parser().parse_known_args(args)
    # All of these are slow to import, and help does not need them.
    from lit_mlm.cli.adapt_plan import adds_words, check_plan, read_plan
    from lit_mlm.cli.adapt_results import write_results
    from lit_mlm.cli.adapt_runs import AdaptRuns
    from lit_mlm.cli.configs import find_config
    from lit_mlm.cli.repeat import find_folder
    from lit_mlm.cli.series import holding_series

    if options.checkpoints < 1:
        raise InputError(f"--checkpoints must be at least 1, got {options.checkpoints}")
    config = find_config(options.config)
    plan = read_plan(config, options.model, options.seeds, rest)
    folder = find_folder(options.run_dir, config, "adapt")
    settings = {
        "fit": check_plan(plan),
        "seeds": list(plan.seeds),
        "adapt_per_seed": plan.adapts_per_seed,
        "checkpoints": options.checkpoints,
        "splits": {name: entry.split for name, entry in plan.entries.items()},
    }
    runs = AdaptRuns(plan, folder, options.checkpoints, options.keep_all, adds_words(settings["fit"]))
    free = [f"fit.{name}" for name in plan.entries if not runs.has_begun(name)]
    with holding_series(folder, "adapt", OWN, settings, free):
        runs.run()
        write_results(runs)
