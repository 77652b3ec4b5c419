"""Checks the options of a sweep by the parser of ``fit``, before its first trial."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, cast

import yaml

from lit_mlm.cli.configs import find_configs
from lit_mlm.cli.show import DataCLI
from lit_mlm.cli.trainer import run
from lit_mlm.upstream import get_command_parsers


class SweepCLI(DataCLI):
    """Keeps what a sweep needs to know of the options of ``fit``.

    Args:
        found: gets ``mode``, that of the task's monitored metric, and ``config``, all options of the command.
    """

    def __init__(self, *args: Any, found: dict[str, Any], **kwargs: Any) -> None:
        self._found = found
        super().__init__(*args, **kwargs)

    def fit(self, **options: Any) -> None:
        """Keeps the mode and the config, whatever the data module."""
        config = self.config[self.subcommand].clone()
        config.config = None  # the same options by another path
        content = str(get_command_parsers(self)["fit"].dump(config, skip_none=False))
        self._found |= {"mode": cast(Any, self.model).monitor_mode, "config": yaml.safe_load(content)}

    def print_lines(self, *args: Any) -> Iterator[str]:
        """Yields none."""
        return iter(())


def check_options(args: Sequence[str], space: Mapping[str, Sequence[str]]) -> tuple[str, dict[str, Any]]:
    """Parses the options of all trials, and each option of the space at each of its values.

    Args:
        args: options of ``fit`` that all trials have.
        space: values of each option, as they are typed.

    Returns:
        The mode of the monitored metric, ``min`` or ``max``, and all options without the space.
    """
    found: dict[str, Any] = {}
    firsts = [part for name, values in space.items() for part in (f"--{name}", values[0])]
    for name, values in space.items():
        for value in values[1:]:
            run(find_configs(["fit", *args, *firsts, f"--{name}", value]), partial(SweepCLI, found=found))
    run(find_configs(["fit", *args, *firsts]), partial(SweepCLI, found=found))
    return found["mode"], found["config"]
