"""Runs a command, and imports only what it needs."""

import importlib
import sys
from collections.abc import Sequence
from typing import Any

from lit_mlm import __version__
from lit_mlm.cli.configs import find_configs
from lit_mlm.cli.plain import print_error, print_result
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
    elif args[0] == "export":
        from lit_mlm.cli.export import main as export

        export(args[1:], score_int8)
    elif args[0] == "sweep":
        from lit_mlm.cli.sweep import main as sweep

        find_configs(args)
        sweep(args[1:], check_options)
    elif args[0] in OTHER_COMMANDS:
        if args[0] == "repeat":
            find_configs(args)  # fails before the first run starts
        importlib.import_module(OTHER_COMMANDS[args[0]][0]).main(args[1:])
    elif args[0] in TRAINER_COMMANDS:
        from lit_mlm.cli.trainer import run  # slow to import

        run(find_configs(args))
    elif args[0] in SHOW_COMMANDS:
        from lit_mlm.cli.show import SHOW_CLIS
        from lit_mlm.cli.trainer import run

        run(find_configs(args), SHOW_CLIS[args[0]])
    else:
        commands = [*TRAINER_COMMANDS, *SHOW_COMMANDS, *OTHER_COMMANDS]
        raise InputError(f"there is no command {args[0]} (but {', '.join(commands)}){suggest(args[0], commands)}")


def score_int8(*args: Any) -> None:
    """Calls `lit_mlm.cli.cost.print_cost`, which parses as ``validate`` and is slow to import."""
    from lit_mlm.cli.cost import print_cost

    print_cost(*args)


def check_options(*args: Any) -> tuple[str, dict[str, Any]]:
    """Calls `lit_mlm.cli.sweep_options.check_options`, which parses as ``fit`` and is slow to import."""
    from lit_mlm.cli import sweep_options

    return sweep_options.check_options(*args)
