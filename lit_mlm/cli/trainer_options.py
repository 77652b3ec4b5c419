"""Mistakes in the options of Lightning's Trainer: those that it complains of, and those that it lets pass."""

import math
import os
import re
import socket
import traceback
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import StrategyRegistry
from torch.multiprocessing.spawn import ProcessRaisedException

from lit_mlm.errors import InputError, follow_causes, is_out_of_memory, shorten, suggest

TOLD_ERRORS = (ValueError, TypeError, RuntimeError, ImportError, MisconfigurationException, ProcessRaisedException)
"""The errors that may stand for a mistake of the user; any other is a fault, unless a logger's service raised it."""

OURS = ("lightning", "lit_mlm.")
"""What the names of modules begin with whose code is not the user's."""


def check_trainer_options(options: Any) -> None:
    """Refuses options that the Trainer takes and then fails at, or makes something else of."""
    names = {
        "strategy": ["auto", *StrategyRegistry.available_strategies()],
        "accelerator": ["auto", "gpu", *AcceleratorRegistry.available_accelerators()],
    }
    for name, valid in names.items():
        if isinstance(value := options[name], str) and value.lower() not in valid:
            near = suggest(value, valid) or f"; there are {', '.join(valid)}"
            raise InputError(f"trainer.{name}: there is no {name} {value}{near}")
    for name in ("accumulate_grad_batches", "check_val_every_n_epoch"):
        if options[name] is not None and options[name] < 1:
            raise InputError(f"trainer.{name} must be at least 1, got {options[name]}")
    clip, interval = options.gradient_clip_val, options.val_check_interval
    if clip is not None and not 0 <= clip < math.inf:
        raise InputError(f"trainer.gradient_clip_val must be at least 0, got {clip}: a negative one turns gradients")
    if isinstance(interval, int | float) and not interval > 0:
        raise InputError(f"trainer.val_check_interval must be above 0, got {interval}")
    if options.barebones:
        raise InputError("trainer.barebones leaves out all that a run keeps, its checkpoints too: leave it out")
    check_device(options.accelerator, str(options.precision))


def check_device(accelerator: Any, precision: str) -> None:
    """Refuses a GPU where there is none, and bfloat16 on one that only emulates it."""
    has_cuda = torch.cuda.is_available()
    has_gpu = has_cuda or (accelerator == "gpu" and torch.backends.mps.is_available())
    if accelerator in ("cuda", "gpu") and not has_gpu:
        build = "" if torch.version.cuda or torch.version.hip else ", which is built without CUDA,"
        raise InputError(
            f"trainer.accelerator is {accelerator!r}, but torch {torch.__version__}{build} finds no GPU here; "
            "--config overlays/cpu.yaml trains on the CPU"
        )
    takes_cuda = has_cuda and accelerator in ("auto", "cuda", "gpu")
    # Asked otherwise torch says yes for a GPU such as a T4, too.
    if takes_cuda and "bf16" in precision and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise InputError(
            f"trainer.precision is {precision!r}, which {torch.cuda.get_device_name()} only emulates, slowly; take "
            "16-mixed (--config overlays/fp16.yaml)"
        )


def check_port(trainer: Trainer) -> None:
    """Refuses a port that something else listens on, before the processes are started that would wait at it.

    Only where `MASTER_PORT` was given and this process starts the others: Lightning finds a free port by itself, and
    launchers such as torchrun have the port in their own hands.
    """
    environment, port = getattr(trainer.strategy, "cluster_environment", None), os.environ.get("MASTER_PORT")
    if port is None or environment is None or environment.creates_processes_externally or environment.node_rank() != 0:
        return
    advice = "give another one, or unset it: a free one is found then"
    if not port.isdigit() or int(port) > 65535:
        raise InputError(f"MASTER_PORT={port} is no port; {advice}")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as torch does: an ended run holds none
        try:
            probe.bind(("", int(port)))
        except OSError as error:
            raise InputError(f"MASTER_PORT={port} can't be listened on ({error.strerror}); {advice}") from error


def find_mistake(error: Exception, options: dict[str, Any]) -> str | None:
    """The user's mistake that an error tells of; None if it is a fault, which keeps its traceback.

    Lightning complains of options as it complains of code. Of options it does before anything runs; later on a
    complaint is of an option only if it names one that was given (of `options`, which are not the defaults), or if a
    callback of Lightning's own has it. Below code of the user's own it is of that code.
    """
    chain = list(follow_causes(error))
    mistake = next((str(cause) for cause in chain if isinstance(cause, InputError)), None)
    if isinstance(error, ProcessRaisedException):  # of `ddp_fork` and its like, which gives the traceback as text
        _, found, told = str(error).rpartition(f"{InputError.__module__}.{InputError.__name__}: ")
        return told.strip() if found else None
    if mistake is None and is_out_of_memory(chain[-1]):
        # The answer is other options, and the same command would fail again: a mistake rather than a fault.
        return ": ".join([shorten(chain[-1]), *getattr(chain[-1], "__notes__", [])])
    frames = [frame for cause in chain for frame, _ in traceback.walk_tb(cause.__traceback__)]
    raised_in = str(frames[-1].f_globals.get("__name__"))
    loggers = {type(frame.f_locals["self"]) for frame in frames if isinstance(frame.f_locals.get("self"), Logger)}
    for logger in loggers:
        if logger.__module__.startswith("lightning.") and not raised_in.startswith((*OURS, "torch", "tensorboard")):
            return f"trainer.logger {logger.__name__}: {shorten(chain[-1])}"
    if not isinstance(error, TOLD_ERRORS):
        return None
    if mistake is not None or not raised_in.startswith("lightning"):
        return mistake
    hooked = [f for f in frames if isinstance(f.f_locals.get("self"), LightningModule | LightningDataModule | Callback)]
    if any(not str(frame.f_globals.get("__name__")).startswith(OURS) for frame in hooked):
        return None
    complaint = " ".join(str(chain[-1]).split())
    named = [word for word in re.findall(r"(?:`|Trainer\()(\w+)(?=[=`])", complaint) if word in options]
    is_running = any(frame.f_code is Trainer._run.__code__ for frame in frames)
    if is_running and raised_in.startswith("lightning.pytorch.callbacks."):
        return f"trainer.callbacks: {complaint}"
    if not is_running:
        words = re.findall(r"\w[\w-]*", complaint)
        named += [name for name, value in options.items() if isinstance(value, str) and value in words]
    if twice := re.match(r"Found more than one stateful callback of type `(\w+)`", complaint):
        return f"trainer.callbacks has {twice[1]} twice; leave one out"
    if named:
        complaint = f"trainer.{named[0]} is {options[named[0]]!r}: {complaint}"
    is_told = not is_running or (named and isinstance(chain[-1], MisconfigurationException | ValueError))
    return complaint if is_told else None
