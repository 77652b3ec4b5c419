"""What of lit-mlm and the libraries a config may name without being trusted."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import lightning.pytorch.plugins.environments  # noqa: F401 (nothing else imports it, and it exports some of a family)
from lightning.fabric.plugins import ClusterEnvironment
from lightning.pytorch import Callback, LightningDataModule
from lightning.pytorch.accelerators import Accelerator
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins import CheckpointIO, LayerSync, Precision
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.strategies import Strategy
from torch.amp import GradScaler

from lit_mlm.cli.class_paths import find_family
from lit_mlm.cli.trust import LIBRARIES, Trust
from lit_mlm.data.reading.sources import Source
from lit_mlm.errors import InputError
from lit_mlm.modules.base import TransformerModule

BASES: tuple[type, ...] = (
    *(TransformerModule, LightningDataModule, Source),
    *(Callback, Logger, Profiler, Accelerator, Strategy),
    *(Precision, GradScaler, ClusterEnvironment, CheckpointIO, LayerSync),
)
"""The classes whose families a config may name: what the options of a command, and of these classes, take."""

RUNNING = {"trainer.logger": ("WandbLogger", "settings"), "trainer.strategy": ("DeepSpeedStrategy", "config")}
"""Options that say what another library runs: settings an executable, a config functions by their names."""


def list_admitted() -> Iterator[str]:
    """The dotted paths of the imported classes of `BASES`, also those under which packages export them."""
    classes = {cls for base in BASES for cls in find_family(base)}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in LIBRARIES:
            is_package = "__path__" in getattr(module, "__dict__", {})
            for cls in classes:
                if (is_package or name == cls.__module__) and getattr(module, cls.__name__, None) is cls:
                    yield f"{name}.{cls.__name__}"


def refuse_running(config: Any, typed: Sequence[str], trust: Trust) -> None:
    """Refuses the options of `RUNNING` in a parsed config, unless they were typed."""
    for key, (name, option) in RUNNING.items():
        values = config[key] if isinstance(config[key], list) else [config[key]]
        is_typed = any(arg.startswith(f"--{key}") and arg.partition("=")[0].endswith(f".{option}") for arg in typed)
        for value in () if is_typed or "lightning" in trust.packages else values:
            parts = [value.get(part) or {} for part in ("init_args", "dict_kwargs")] if hasattr(value, "get") else []
            if parts and value.class_path.endswith(f".{name}") and any(part.get(option) is not None for part in parts):
                raise InputError(
                    f"{key}: a config can't give {option} of {name}, which says what is run; type "
                    f"--{key}.{option}, or add --trust lightning"
                )
