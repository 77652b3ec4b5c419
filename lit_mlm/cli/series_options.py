"""Checks the options of a series of runs by the parser of ``fit``, before the first one."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import yaml

from lit_mlm.cli.configs import find_configs
from lit_mlm.cli.show import DataCLI
from lit_mlm.cli.trainer import run
from lit_mlm.upstream import get_command_parsers


class Options(NamedTuple):
    """What a series of runs needs to know of the options of ``fit``.

    Attributes:
        mode: of the task's monitored metric, ``min`` or ``max``.
        config: all options, without those that vary.
        auto_class: name of the `transformers` class of the net.
    """

    mode: str
    config: dict[str, Any]
    auto_class: str


class OptionsCLI(DataCLI):
    """Keeps `Options`.

    Args:
        found: gets them.
    """

    def __init__(self, *args: Any, found: list[Options], **kwargs: Any) -> None:
        self._found = found
        super().__init__(*args, **kwargs)

    def fit(self, **options: Any) -> None:
        """Keeps the mode and the config, whatever the data module."""
        config = self.config[self.subcommand].clone()
        config.config = None  # the same options by another path
        content = str(get_command_parsers(self)["fit"].dump(config, skip_none=False))
        model = cast(Any, self.model)
        self._found.append(Options(model.monitor_mode, yaml.safe_load(content), model.auto_class.__name__))

    def print_lines(self, *args: Any) -> Iterator[str]:
        """Yields none."""
        return iter(())


def check_options(args: Sequence[str], space: Mapping[str, Sequence[str]]) -> Options:
    """Parses the options that all runs have, and each option of a space at each of its values.

    Args:
        args: options of ``fit`` that all runs have.
        space: values of each option, as they are typed.
    """
    found: list[Options] = []
    firsts = [part for name, values in space.items() for part in (f"--{name}", values[0])]
    for name, values in space.items():
        for value in values[1:]:
            run(find_configs(["fit", *args, *firsts, f"--{name}", value]), partial(OptionsCLI, found=found))
    run(find_configs(["fit", *args, *firsts]), partial(OptionsCLI, found=found))
    return found[-1]
