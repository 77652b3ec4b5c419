"""Stops a run on a signal at the end of an optimizer step, with a checkpoint."""

import logging
import os
import shlex
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

from lit_mlm.callbacks.save_checkpoints import SaveCheckpoints
from lit_mlm.callbacks.save_results import get_run_folder
from lit_mlm.upstream import end_forks, is_accumulating

log = logging.getLogger(__name__)

_received: list[int] = []
"""Signals that ended this process outside of training."""


class StopOnSignal(Callback):
    """Saves and stops on SIGTERM, SIGINT and SLURM's signal before the end of a job's time.

    The handler only sets a flag. The ranks compare it after each optimizer step and each validation batch, so all save
    the same step. The process then exits with 128 + the signal's number; a second SIGINT, or any signal outside of
    training, stops at once. Lightning's handlers are replaced, as they save and communicate within the handler, or exit
    with 1.
    """

    def __init__(self) -> None:
        self.received = 0
        """The number of the received signal; 0 if none."""
        self._obeyed = 0

    def on_sanity_check_start(self, trainer: Any, pl_module: Any) -> None:
        """Replaces Lightning's handlers, which are installed by now; nothing needs a checkpoint here."""
        install_handlers()

    on_test_start = on_predict_start = on_train_end = on_sanity_check_start

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Replaces the handlers in `validate`; in training exits if the last step was saved."""
        if trainer.state.fn != "fit":
            install_handlers()
        else:
            self._exit_if_saved(trainer)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Lets signals wait for the end of a step from here on."""
        self.received = self._obeyed = 0
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT, *_find_requeue_signal(trainer)):
                signal.signal(number, self._remember)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any, **kwargs: Any) -> None:
        """Saves after an optimizer step; the next hook exits, once the step is logged."""
        if not is_accumulating(trainer):
            self._save_if_told(trainer)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        """Exits if the last step was saved."""
        self._exit_if_saved(trainer)

    on_train_epoch_end = on_train_batch_start

    def on_validation_batch_end(self, trainer: Any, pl_module: Any, *args: Any, **kwargs: Any) -> None:
        """Stops within a validation of a training."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._save_if_told(trainer)
            self._exit_if_saved(trainer)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Stops the processes that Lightning forked or spawned, and waits for them.

        The terminal's SIGINT has reached them too; they count both signals as one.
        """
        if isinstance(exception, SystemExit):
            end_forks(trainer.strategy.launcher, signal.SIGTERM)

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
            advice = f"resume with the same command and --run_dir {shlex.quote(str(folder))}"
            log.warning("stopped by %s at step %s; %s", name, trainer.global_step, advice)
            if number in _find_requeue_signal(trainer):
                requeue_job()
        # A child of Lightning's must exit with 0, or Lightning kills the first rank early.
        environment = getattr(trainer.strategy, "cluster_environment", None)
        is_child = environment is not None and environment.local_rank() and not environment.creates_processes_externally
        raise SystemExit(0 if is_child else 128 + number)


@contextmanager
def handle_signals() -> Iterator[None]:
    """Installs the handlers of `install_handlers` within a block."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    before = [signal.getsignal(number) for number in numbers]
    install_handlers()
    _received.clear()
    try:
        yield
    except Exception as error:  # `datasets` replaces SystemExit by an error of its own
        if _received:
            raise SystemExit(128 + _received[0]) from error
        raise
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)


def install_handlers() -> None:
    """Makes SIGTERM and SIGINT end the process at once, with 128 + the signal's number.

    Forked processes, such as those that tokenise, die by the signal: with `SystemExit` they would hang in shared state.
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
    """Requeues the SLURM job of this process."""
    job = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    try:
        subprocess.run(["scontrol", "requeue", job], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        log.warning("the job %s could not be requeued (%s): submit it again", job, error)


def _find_requeue_signal(trainer: Any) -> tuple[int, ...]:
    """Returns SLURM's signal before the end of a job's time, if the job is to be requeued."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    if isinstance(environment, SLURMEnvironment) and environment.auto_requeue and environment.requeue_signal:
        return (int(environment.requeue_signal),)
    return ()
