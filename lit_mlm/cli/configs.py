"""Finds the configs of a command line: files, those of runs, and those of lit-mlm, which `configs` lists."""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from lit_mlm.cli.plain import CommandParser, print_result
from lit_mlm.cli.table import TRAINER_COMMANDS
from lit_mlm.errors import InputError, suggest

RUN_CONFIG = "config.yaml"
"""File name of a run's config."""


MODELINE = "yaml-language-server:"
"""Begins the comment that names a config's schema for editors."""

ADAPT = "adapt-"
"""Begins the names of the configs of ``adapt``, which ``fit`` doesn't take."""

MAX_LISTED = 8
"""How many runs a message lists."""


def make_parser() -> CommandParser:
    """Makes the parser of the command `configs`."""
    parser = CommandParser("configs", "List the configs that come with lit-mlm, for --config, or print one.")
    parser.add_argument("config", nargs="?", help="print this one, to begin your own with")
    return parser


def main(args: Sequence[str]) -> None:
    """Runs the command with the arguments after its name."""
    name, folder = make_parser().parse_args(args).config, get_config_folder()
    if name and name not in list_configs():
        raise InputError(f"there is no config {name}{suggest(name, list_configs())}")
    if name:  # the schema of a copy lies beside it
        print_result((folder / name).read_text().rstrip().replace("$schema=../", "$schema="))
        return
    width = max(map(len, list_configs()))
    print_result("\n".join(f"{name:{width}}  {describe_config(folder / name)}" for name in list_configs()))


def list_configs() -> list[str]:
    """The configs of lit-mlm: those of ``fit``, those of ``adapt``, and overlays."""
    others = [path for pattern in (f"{ADAPT}*.yaml", "overlays/*.yaml") for path in get_config_folder().glob(pattern)]
    return [*list_experiments(), *sorted(path.relative_to(get_config_folder()).as_posix() for path in others)]


def describe_config(path: Path) -> str:
    """The first sentence of a config's head, up to a colon."""
    comments = [line.removeprefix("# ") for line in path.read_text().splitlines() if line.startswith("# ")]
    text = " ".join(line for line in comments if not line.startswith(MODELINE))
    return re.split(r"[.](?=\s+\D|$)|[:;](?=\s|$)", text)[0]


def find_configs(args: Sequence[str]) -> list[str]:
    """Replaces names of configs by their paths and moves them to the front, so that typed options override them.

    ``--run_dir`` alone implies the config of that run; the config of a run implies its ``--run_dir``.

    Args:
        args: the command line, the command first.
    """
    paths: list[Path] = []
    others = []
    rest = iter(args[1:])
    for arg in rest:
        option, equals, value = arg.partition("=")
        if option in ("--config", "-c"):
            paths.append(find_config(value if equals else next(rest, "")))
            if paths[-1].name.startswith(ADAPT):
                raise InputError(f"{paths[-1].name} is a config of adapt: python -m lit_mlm adapt --config {paths[-1]}")
        else:
            others.append(arg)
    run_dir, ckpt_path = (find_value(others, option) for option in ("--run_dir", "--ckpt_path"))
    if run_dir and not paths:
        has_run = (Path(run_dir) / RUN_CONFIG).is_file()
        if not has_run and not {"--model", "--data"} & {arg.partition("=")[0] for arg in others}:
            raise InputError(f"--run_dir: there is no run in {run_dir}, {explain_missing(Path(run_dir))}")
        paths += [Path(run_dir) / RUN_CONFIG] if has_run else []
    implied = find_run(paths, ckpt_path) if args[0] in TRAINER_COMMANDS else None
    if implied and not (run_dir or find_value(others, "--trainer.default_root_dir")):
        others += ["--run_dir", str(implied)]
    return [args[0], *(part for path in paths for part in ("--config", str(path))), *others]


def find_run(configs: Sequence[Path], ckpt_path: str | None) -> Path | None:
    """The folder of the run whose config is given, unless the checkpoint belongs to another run."""
    for config in configs:
        checkpoints = config.parent / "checkpoints"
        is_own = ckpt_path in (None, "best", "last") or Path(ckpt_path).resolve().parent == checkpoints.resolve()
        if config.name == RUN_CONFIG and checkpoints.is_dir() and is_own:
            return config.parent
    return None


def find_value(args: Sequence[str], option: str) -> str | None:
    """The last typed value of an option; None if there is none."""
    found = [(arg.partition("="), value) for arg, value in pairwise([*args, ""])]
    values = [own if equals else value for (name, equals, own), value in found if name == option]
    return values[-1] if values else None


def explain_missing(folder: Path) -> str:
    """Says what is where a run is expected, and where runs are nearby."""
    there = f"which has no {RUN_CONFIG}" if folder.is_dir() else "which is no folder here"
    parents = (folder, folder.parent, folder.parent.parent)
    runs = next((found for parent in parents if (found := sorted(parent.glob(f"*/{RUN_CONFIG}")))), [])
    listed = ", ".join(str(path.parent) for path in runs[:MAX_LISTED])
    return f"{there}; {f'runs are {listed}' if runs else 'give the folder of a run, or --config to start one'}"


def list_experiments() -> list[str]:
    """The configs of lit-mlm for ``fit``, without overlays."""
    return sorted(path.name for path in get_config_folder().glob("*.yaml") if not path.name.startswith(ADAPT))


def find_config(name: str) -> Path:
    """The path of a config: the file or run folder of this name, else the config of lit-mlm with this name."""
    if not name:
        raise InputError("--config needs the name of a config")
    folder = get_config_folder()
    for path in (Path(name), Path(name) / RUN_CONFIG, folder / name):
        if path.is_file():
            return path
    known = list_configs()
    local = [str(path) for path in sorted(Path(name).parent.glob("*.yaml"))]
    raise InputError(
        f"there is no config {name} here, nor one that comes with lit-mlm{suggest(name, [*local, *known])}\n"
        f"there are {', '.join(list_experiments())}; python -m lit_mlm configs lists overlays too"
    )


def get_config_folder() -> Path:
    """The folder of lit-mlm's configs: in the package if installed from a wheel, beside it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"
