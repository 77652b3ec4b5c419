"""Checks values that Lightning's Trainer would accept, then fail at or reinterpret; imports nothing of Lightning."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from lit_mlm.cli.signatures import accepts, explain_value, parse_value
from lit_mlm.errors import suggest
from lit_mlm.options import Count, Range

RANGES: dict[str, Any] = {
    "trainer.accumulate_grad_batches": Count,
    "trainer.check_val_every_n_epoch": Count,
    "trainer.gradient_clip_val": Annotated[float, Range(least=0, below=math.inf)],
    "trainer.val_check_interval": Annotated[float, Range(above=0)],
}
"""Ranges of numbers that the Trainer doesn't check."""


def explain_trainer_value(name: str, value: Any, names: Mapping[str, Sequence[str]]) -> str:
    """The message for a value of an option of the Trainer; empty if it is right.

    Args:
        name: of the option.
        value: that the type of the option accepts.
        names: the valid names by option, where text is one.
    """
    if name in RANGES and accepts(float, value):
        return explain_value(name, RANGES[name], value)
    if isinstance(value, str) and value.lower() not in (valid := names.get(name, [value.lower()])):
        near = suggest(value, valid) or f"; there are {', '.join(valid)}"
        return f"{name}: there is no {name.removeprefix('trainer.')} {value}{near}"
    if name == "trainer.barebones" and parse_value(bool, value):
        return f"{name} disables checkpoints and logging, which every run needs; leave it out"
    return ""
