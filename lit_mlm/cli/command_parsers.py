"""The parsers of the commands that take the Trainer's options, without running one."""

import importlib
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from jsonargparse import ArgumentParser

import lit_mlm.callbacks
import lit_mlm.data
import lit_mlm.modules
from lit_mlm.cli.class_paths import import_all
from lit_mlm.cli.show import SHOW_CLIS
from lit_mlm.cli.table import SHOW_COMMANDS, TRAINER_COMMANDS
from lit_mlm.cli.trainer import TrainerCLI, build_cli
from lit_mlm.upstream import get_command_parsers


def make_command_parsers() -> dict[str, ArgumentParser]:
    """Makes the parsers of the commands of `TRAINER_COMMANDS` and `SHOW_COMMANDS`, by command."""
    import_all(lit_mlm.callbacks, lit_mlm.data, lit_mlm.modules)
    parsers = make_parsers(TrainerCLI, next(iter(TRAINER_COMMANDS)))
    return parsers | {name: make_parsers(SHOW_CLIS[name], name)["fit"] for name in SHOW_COMMANDS}


def make_parsers(cli_class: Any, command: str) -> dict[str, ArgumentParser]:
    """Makes the parsers of a `TrainerCLI`, by Lightning's command."""
    parsers: dict[str, ArgumentParser] = {}

    class Parsers(cli_class):  # type: ignore[misc]
        def parse_arguments(self, parser: Any, args: Any) -> None:
            """Ends where LightningCLI would parse."""
            parsers.update(get_command_parsers(self))
            sys.exit()

    with suppress(SystemExit):
        build_cli([command], Parsers)
    return parsers


def import_packages(packages: Sequence[str]) -> None:
    """Imports packages of the user, each with all that is in it."""
    for name in packages:
        package = importlib.import_module(name)
        if hasattr(package, "__path__"):
            import_all(package)
