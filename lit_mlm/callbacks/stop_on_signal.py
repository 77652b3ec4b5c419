"""Ends a run that is told to stop at the end of an optimizer step, with a checkpoint."""

import logging
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Callback
from lightning.pytorch.strategies.launchers.multiprocessing import _MultiProcessingLauncher

from lit_mlm.callbacks.save_checkpoints import SaveCheckpoints
from lit_mlm.callbacks.save_results import get_run_folder

log = logging.getLogger(__name__)

_received: list[int] = []
"""The signals that have ended this process where nothing is trained."""


class StopOnSignal(Callback):
    """Saves and stops on SIGTERM, SIGINT and SLURM's signal before the end of a job's time.

    A handler only sets a flag, which the ranks compare after each optimizer step and each batch of a validation, so
    that all of them save the same step. The process then exits as one that the signal has killed, with 128 and its
    number; a second SIGINT stops at once. Where nothing is trained a signal stops at once, too. Lightning's own
    handlers are replaced: they write from within the handler, communicate there, or end with the status 1.
    """

    def __init__(self) -> None:
        self.received = 0
        """The number of the signal that has come; 0 if none has."""
        self._obeyed = 0

    def on_sanity_check_start(self, trainer: Any, pl_module: Any) -> None:
        """Takes Lightning's handlers, which are in place by now, away."""
        install_handlers()

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """The same, where nothing is trained; else ends after a step that was told to be the last."""
        if trainer.state.fn != "fit":
            install_handlers()
        else:
            self._exit_if_saved(trainer)

    def on_test_start(self, trainer: Any, pl_module: Any) -> None:
        """The same."""
        install_handlers()

    def on_predict_start(self, trainer: Any, pl_module: Any) -> None:
        """The same."""
        install_handlers()

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """From here on signals wait for the end of a step."""
        self.received = self._obeyed = 0
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT, *_find_requeue_signal(trainer)):
                signal.signal(number, self._remember)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any, **kwargs: Any) -> None:
        """Saves after an optimizer step; the next hook ends the process, as the step's figures are logged by then."""
        if not trainer.fit_loop.epoch_loop._should_accumulate():
            self._save_if_told(trainer)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        """Ends after a step that was told to be the last."""
        self._exit_if_saved(trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """The same."""
        self._exit_if_saved(trainer)

    def on_validation_batch_end(self, trainer: Any, pl_module: Any, *args: Any, **kwargs: Any) -> None:
        """Stops within a validation of a training, which the run begins with when it goes on."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._save_if_told(trainer)
            self._exit_if_saved(trainer)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """What is left to be done needs no checkpoint."""
        install_handlers()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Has the processes stop, too, that Lightning has forked or spawned from this one, and waits for them.

        They take it for one request with the terminal's SIGINT, which has reached them by itself.
        """
        launcher = trainer.strategy.launcher
        if isinstance(exception, SystemExit) and isinstance(launcher, _MultiProcessingLauncher):
            launcher.kill(signal.SIGTERM)
            for process in launcher.procs:
                process.join()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.received == signal.SIGINT == number:
            raise SystemExit(128 + number)
        self.received = self.received or number

    def _save_if_told(self, trainer: Any) -> None:
        received = torch.tensor(self.received, device=trainer.strategy.root_device)
        is_one = trainer.world_size == 1
        self._obeyed = self.received if is_one else int(trainer.strategy.reduce(received, reduce_op="max"))
        for callback in trainer.callbacks if self._obeyed and not trainer.fast_dev_run else ():
            if isinstance(callback, SaveCheckpoints):
                callback.save(trainer)

    def _exit_if_saved(self, trainer: Any) -> None:
        number = self._obeyed
        if not number:
            return
        name, folder = signal.Signals(number).name, get_run_folder(trainer)
        if trainer.is_global_zero:
            place = f"step {trainer.global_step}; the same command with --run_dir {folder} goes on"
            log.warning("stopped by %s at %s", name, place)
            if number in _find_requeue_signal(trainer):
                requeue_job()
        # A process that Lightning has started must end well, or it kills the first one before that has ended.
        environment = getattr(trainer.strategy, "cluster_environment", None)
        is_child = environment is not None and environment.local_rank() and not environment.creates_processes_externally
        raise SystemExit(0 if is_child else 128 + number)


@contextmanager
def handle_signals() -> Iterator[None]:
    """Has signals end this process as `install_handlers` says, until the end of the block."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    before = [signal.getsignal(number) for number in numbers]
    install_handlers()
    _received.clear()
    try:
        yield
    except Exception as error:  # `datasets` puts an error of its own in the place of the exit
        if _received:
            raise SystemExit(128 + _received[0]) from error
        raise
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)


def install_handlers() -> None:
    """Has SIGTERM and SIGINT end the process at once, with 128 and the signal's number, as a shell's would.

    Processes that are forked from this one, such as those that tokenise, are killed by them: one that raised
    `SystemExit` would hang in what it shares with the others.
    """
    owner = os.getpid()

    def exit_or_die(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        _received.append(number)
        raise SystemExit(128 + number)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, exit_or_die)


def requeue_job() -> None:
    """Puts the SLURM job that this process belongs to back into the queue."""
    job = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    try:
        subprocess.run(["scontrol", "requeue", job], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        log.warning("the job %s could not be requeued (%s): submit it again", job, error)


def _find_requeue_signal(trainer: Any) -> tuple[int, ...]:
    """SLURM's signal before the end of a job's time, where it is to be requeued."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    if isinstance(environment, SLURMEnvironment) and environment.auto_requeue and environment.requeue_signal:
        return (int(environment.requeue_signal),)
    return ()
