"""Refuses options that Lightning's Trainer doesn't check, and explains the errors that it raises for others."""

import os
import re
import socket
import traceback
from types import FrameType
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    BaseFinetuning,
    BasePredictionWriter,
    ModelPruning,
    OnExceptionCheckpoint,
    StochasticWeightAveraging,
)
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins import CheckpointIO
from lightning.pytorch.strategies import StrategyRegistry
from torch.multiprocessing.spawn import ProcessRaisedException

from lit_mlm.errors import InputError, follow_causes, is_out_of_memory, shorten
from lit_mlm.upstream import get_owner, is_trainer_running

USER_ERRORS = (ValueError, TypeError, RuntimeError, ImportError, MisconfigurationException, ProcessRaisedException)
"""The errors that may be user errors; others are bugs, unless the service of a logger raised them."""

UNUSABLE: dict[type, str] = {
    BackboneFinetuning: "needs a module with a backbone; use --model.layer_decay or --model.freeze_layers",
    CheckpointIO: "would replace the verified files of a run",
    ModelPruning: "looks for weights before the net is built, and would prune none",
    OnExceptionCheckpoint: "would save within a step, from where no run can be resumed; use --save_every_n_steps",
    StochasticWeightAveraging: "copies the net before it is built, and would average nothing; use EMAWeightAveraging",
}
"""Callbacks and plugins of Lightning that can't work, and why."""

BASES = (BaseFinetuning, BasePredictionWriter)
"""Callbacks of Lightning that are bases, although they can be instantiated."""

NOT_USER_CODE = ("lightning", "lit_mlm.")
"""Prefixes of modules that are not the user's."""


def list_trainer_names() -> dict[str, list[str]]:
    """The texts that options of the Trainer accept besides import paths, where their types don't say."""
    return {
        "trainer.strategy": ["auto", *StrategyRegistry.available_strategies()],
        "trainer.accelerator": ["auto", "gpu", *sorted(AcceleratorRegistry.available_accelerators())],
        "trainer.profiler": ["simple", "advanced", "pytorch", "xla"],
        "trainer.gradient_clip_algorithm": ["norm", "value"],
    }


def explain_trainer_class(cls: type) -> str:
    """Why a callback or plugin can't work with what every run has; empty if it can."""
    reason = next((reason for base, reason in UNUSABLE.items() if issubclass(cls, base)), "")
    return reason or ("does nothing by itself: name a subclass" if cls in BASES else "")


def check_device(accelerator: Any, precision: str) -> None:
    """Refuses a GPU if there is none, and bfloat16 on a GPU that only emulates it."""
    has_cuda = torch.cuda.is_available()
    has_gpu = has_cuda or (accelerator == "gpu" and torch.backends.mps.is_available())
    if accelerator in ("cuda", "gpu") and not has_gpu:
        build = "" if torch.version.cuda or torch.version.hip else ", which is built without CUDA,"
        raise InputError(
            f"trainer.accelerator is {accelerator!r}, but torch {torch.__version__}{build} finds no GPU here; "
            "--config overlays/cpu.yaml trains on the CPU"
        )
    takes_cuda = has_cuda and accelerator in ("auto", "cuda", "gpu")
    # With emulation, torch reports support for GPUs such as the T4, too.
    if takes_cuda and "bf16" in precision and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise InputError(
            f"trainer.precision is {precision!r}, which {torch.cuda.get_device_name()} only emulates, slowly; take "
            "16-mixed (--config overlays/fp16.yaml)"
        )


def check_port(trainer: Trainer) -> None:
    """Refuses a `MASTER_PORT` that is in use, before processes start that would wait for it.

    Checked only if this process starts the others: launchers such as torchrun own the port themselves, and without
    `MASTER_PORT` Lightning finds a free one.
    """
    environment, port = getattr(trainer.strategy, "cluster_environment", None), os.environ.get("MASTER_PORT")
    if port is None or environment is None or environment.creates_processes_externally or environment.node_rank() != 0:
        return
    advice = "give another one, or unset it: a free one is found then"
    if not port.isdigit() or int(port) > 65535:
        raise InputError(f"MASTER_PORT={port} is no port; {advice}")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # like torch: ports of finished runs are free
        try:
            probe.bind(("", int(port)))
        except OSError as error:
            raise InputError(f"MASTER_PORT={port} can't be listened on ({error.strerror}); {advice}") from error


def explain_error(error: Exception, options: dict[str, Any]) -> str | None:
    """The message of the user error behind an error; None for a bug, which keeps its traceback.

    Args:
        error: raised by Lightning, by lit-mlm or by the user's code.
        options: the Trainer's options that differ from their defaults.
    """
    chain = list(follow_causes(error))
    if isinstance(error, ProcessRaisedException):  # of strategies such as `ddp_fork`, with the traceback as text
        _, found, message = str(error).rpartition(f"{InputError.__module__}.{InputError.__name__}: ")
        return message.strip() if found else None
    user_error = next((str(cause) for cause in chain if isinstance(cause, InputError)), None)
    if user_error is None and is_out_of_memory(chain[-1]):  # the same command would fail again; other options help
        return ": ".join([shorten(chain[-1]), *getattr(chain[-1], "__notes__", [])])
    frames = [frame for cause in chain for frame, _ in traceback.walk_tb(cause.__traceback__)]
    raised_in = str(frames[-1].f_globals.get("__name__"))
    loggers = {type(owner) for owner in map(get_owner, frames) if isinstance(owner, Logger)}
    for logger in loggers:
        is_service = not raised_in.startswith((*NOT_USER_CODE, "torch", "tensorboard"))
        if logger.__module__.startswith("lightning.") and is_service:
            return f"trainer.logger {logger.__name__}: {shorten(chain[-1])}"
    if not isinstance(error, USER_ERRORS):
        return None
    if user_error is not None or not raised_in.startswith("lightning"):
        return user_error
    return explain_lightning_error(chain[-1], frames, options)


def explain_lightning_error(error: BaseException, frames: list[FrameType], options: dict[str, Any]) -> str | None:
    """The message of a user error that Lightning raised; None for an error in the user's code.

    Lightning raises the same errors for options and for code. Before anything runs they are about options; later only
    if they name an option that was given, or if one of Lightning's own callbacks raises them.
    """
    owners = (LightningModule, LightningDataModule, Callback)
    hooks = [frame for frame in frames if isinstance(get_owner(frame), owners)]
    if any(not str(frame.f_globals.get("__name__")).startswith(NOT_USER_CODE) for frame in hooks):
        return None
    message = " ".join(str(error).split())
    is_running = is_trainer_running(frames)
    if is_running and str(frames[-1].f_globals.get("__name__")).startswith("lightning.pytorch.callbacks."):
        return f"trainer.callbacks: {message}"
    if twice := re.match(r"Found more than one stateful callback of type `(\w+)`", message):
        return f"trainer.callbacks has {twice[1]} twice; leave one out"
    named = [word for word in re.findall(r"(?:`|Trainer\()(\w+)(?=[=`])", message) if word in options]
    if not is_running:
        words = re.findall(r"\w[\w-]*", message)
        named += [name for name, value in options.items() if isinstance(value, str) and value in words]
    if is_running and not (named and isinstance(error, MisconfigurationException | ValueError)):
        return None
    return f"trainer.{named[0]} is {options[named[0]]!r}: {message}" if named else message
