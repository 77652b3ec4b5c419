"""The command line: the table of commands and the lookup of config names; it imports what a command needs, no more."""

import importlib
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from lit_mlm import __version__
from lit_mlm.errors import InputError, suggest
from lit_mlm.ranks import end_with_launcher, wait_for_first_rank

RUN_CONFIG = "config.yaml"
"""What the config of a run is called."""

TRAINER_COMMANDS = {
    "fit": "train a model",
    "validate": "score a model on the validation split",
    "test": "score a model on the test split",
    "predict": "write the tags and entities of a split's sentences",
}
SHOW_COMMANDS = {
    "show": "print documents with their masks, or sentences with their labels, without training",
    "audit": "report on the texts: lengths, unknown words, duplicates, what can't be read, without training",
    "prepare": "tokenise all texts into the cache, so that a run starts at once",
}
OTHER_COMMANDS = {
    "fill": ("lit_mlm.commands.fill", "fill the masks of texts"),
    "tag": ("lit_mlm.commands.tag", "tag the words of texts or of a column file"),
    "repeat": ("lit_mlm.commands.repeat", "train a model once for each of several seeds"),
}


def main(args: Sequence[str] | None = None) -> None:
    """Runs `python -m lit_mlm`; a mistake of the user ends it with its message alone and the exit status 2.

    Args:
        args: the command line without the program; by default `sys.argv`'s.
    """
    end_with_launcher()
    try:
        run_command(list(sys.argv[1:] if args is None else args))
    except InputError as error:
        wait_for_first_rank()
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except Exception:
        wait_for_first_rank()
        raise
    except KeyboardInterrupt:
        sys.exit(130)  # as shells do: 128 and the number of the signal


def run_command(args: Sequence[str]) -> None:
    """Runs a command.

    Args:
        args: the command line without the program.

    Raises:
        InputError: for a mistake of the user.
    """
    if not args or args[0] in ("-h", "--help"):
        print(format_help())
    elif args[0] == "--version":
        print(f"lit-mlm {__version__}")
    elif args[0] in OTHER_COMMANDS:
        if args[0] == "repeat":
            find_configs(args)  # before the first training starts
        importlib.import_module(OTHER_COMMANDS[args[0]][0]).main(args[1:])
    elif args[0] in TRAINER_COMMANDS:
        # Imported here, so that help and version cost nothing.
        from lit_mlm.trainer_cli import run

        run(find_configs(args))
    elif args[0] in SHOW_COMMANDS:
        from lit_mlm.show_cli import AuditCLI, PrepareCLI, ShowCLI
        from lit_mlm.trainer_cli import run

        cli = {"show": ShowCLI, "audit": AuditCLI, "prepare": PrepareCLI}[args[0]]
        run(["fit", *find_configs(args)[1:]], cli)
    else:
        commands = [*TRAINER_COMMANDS, *SHOW_COMMANDS, *OTHER_COMMANDS]
        raise InputError(f"there is no command {args[0]} (but {', '.join(commands)}){suggest(args[0], commands)}")


def format_help() -> str:
    """The commands and what they do."""
    commands = TRAINER_COMMANDS | SHOW_COMMANDS | {name: text for name, (_, text) in OTHER_COMMANDS.items()}
    rows = "\n".join(f"  {name:<10}{text}" for name, text in commands.items())
    return (
        "usage: python -m lit_mlm COMMAND [options]\n\n"
        f"commands:\n{rows}\n\n"
        "COMMAND --help lists the options of a command, --version prints the version."
    )


def find_configs(args: Sequence[str]) -> list[str]:
    """Finds the configs that a command line names, and puts them first, so that what is typed beside them holds.

    A run's folder stands for its config, its config for the run, and ``--run_dir`` alone for both.

    Args:
        args: the command line, the command first.

    Raises:
        InputError: if there is no such config; the message lists those that there are.
    """
    paths: list[Path] = []
    others = []
    rest = iter(args[1:])
    for arg in rest:
        option, equals, value = arg.partition("=")
        if option in ("--config", "-c"):
            paths.append(find_config(value if equals else next(rest, "")))
        else:
            others.append(arg)
    run_dir, ckpt_path = (find_value(others, option) for option in ("--run_dir", "--ckpt_path"))
    if run_dir and not paths and (Path(run_dir) / RUN_CONFIG).is_file():
        paths.append(Path(run_dir) / RUN_CONFIG)
    implied = find_run(paths, ckpt_path) if args[0] in TRAINER_COMMANDS else None
    if implied and not (run_dir or find_value(others, "--trainer.default_root_dir")):
        others += ["--run_dir", str(implied)]
    return [args[0], *(part for path in paths for part in ("--config", str(path))), *others]


def find_run(configs: Sequence[Path], ckpt_path: str | None) -> Path | None:
    """The run whose config is given, unless the checkpoint is that of another one."""
    for config in configs:
        checkpoints = config.parent / "checkpoints"
        is_own = ckpt_path in (None, "best", "last") or Path(ckpt_path).resolve().parent == checkpoints.resolve()
        if config.name == RUN_CONFIG and checkpoints.is_dir() and is_own:
            return config.parent
    return None


def find_value(args: Sequence[str], option: str) -> str | None:
    """What was typed last for an option; None if it was not."""
    found = [(arg.partition("="), value) for arg, value in pairwise([*args, ""])]
    values = [own if equals else value for (name, equals, own), value in found if name == option]
    return values[-1] if values else None


def find_config(name: str) -> Path:
    """The path of a config: `name` itself, or that of the run in it, else the config of that name that comes along.

    Raises:
        InputError: if there is neither; the message lists the configs that there are.
    """
    if not name:
        raise InputError("--config needs the name of a config")
    folder = get_config_folder()
    for path in (Path(name), Path(name) / RUN_CONFIG, folder / name):
        if path.is_file():
            return path
    known = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.yaml"))
    raise InputError(
        f"there is no config {name} here, nor one that comes with lit-mlm{suggest(name, known)}\n"
        f"there are {', '.join(path for path in known if '/' not in path)}, and overlays/... "
        f"{', '.join(path.removeprefix('overlays/') for path in known if '/' in path)}"
    )


def get_config_folder() -> Path:
    """Where the configs are: in the package once it is installed from a wheel, beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"
