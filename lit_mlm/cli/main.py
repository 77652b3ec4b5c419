"""Runs a command, and imports only what it needs."""

import importlib
import sys
from collections.abc import Sequence

from lit_mlm import __version__
from lit_mlm.cli.configs import find_configs
from lit_mlm.cli.plain import print_error, print_result, show_loading
from lit_mlm.cli.table import OTHER_COMMANDS, SHOW_COMMANDS, TRAINER_COMMANDS, format_help
from lit_mlm.errors import InputError, suggest
from lit_mlm.runs.ranks import end_with_launcher, wait_for_first_rank


def main(args: Sequence[str] | None = None) -> None:
    """Runs `python -m lit_mlm`; prints user errors without a traceback, and exits with 2.

    Args:
        args: the command line without the program; by default that of `sys.argv`.
    """
    end_with_launcher()
    try:
        run_command(list(sys.argv[1:] if args is None else args))
    except InputError as error:
        wait_for_first_rank()
        print_error(f"error: {error}")
        sys.exit(2)
    except Exception:
        wait_for_first_rank()
        raise
    except KeyboardInterrupt:
        sys.exit(130)  # 128 + SIGINT


def run_command(args: Sequence[str]) -> None:
    """Runs the command of a command line."""
    if not args or args[0] in ("-h", "--help"):
        print_result(format_help())
    elif args[0] == "--version":
        print_result(f"lit-mlm {__version__}")
    elif args[0] in OTHER_COMMANDS:
        if args[0] in ("repeat", "sweep"):
            find_configs(args)  # fails before the first run starts
        with show_loading():
            command = importlib.import_module(f"lit_mlm.cli.{args[0]}")
        command.main(args[1:])
    elif args[0] == "audit" and "--with_model" in args and not {"-h", "--help", "--print_config"} & {*args}:
        with show_loading():
            from lit_mlm.cli.label_noise import main as find_label_noise
        find_label_noise(args[1:])
    elif args[0] in TRAINER_COMMANDS or args[0] in SHOW_COMMANDS:
        from lit_mlm.cli.saved_options import check_early

        args = find_configs(args)
        save_as = None if check_early(args) else args[0]
        with show_loading():
            from lit_mlm.cli.show import SHOW_CLIS
            from lit_mlm.cli.trainer import TrainerCLI, run

        run(args, SHOW_CLIS.get(args[0], TrainerCLI), save_as)
    else:
        commands = [*TRAINER_COMMANDS, *SHOW_COMMANDS, *OTHER_COMMANDS]
        raise InputError(f"there is no command {args[0]} (but {', '.join(commands)}){suggest(args[0], commands)}")
