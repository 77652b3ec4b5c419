"""Callbacks that fail on one rank; named on the command line as any class of a user's."""

import os
import signal
import sys
import time
from typing import Any

from lightning.pytorch import Callback


class Fail(Callback):
    """Ends one rank within training.

    Args:
        rank: which one.
        how: ``kill``, ``error`` or ``mistake``.
    """

    def __init__(self, rank: int, how: str) -> None:
        self.rank, self.how = rank, how

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Fails at the third batch."""
        from lit_mlm.errors import InputError

        if trainer.global_rank != self.rank or batch_idx < 2:
            return
        print(f"injected at {time.monotonic()}", file=sys.stderr, flush=True)
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise {"error": OSError, "mistake": InputError}[self.how](f"injected into rank {self.rank}")


class Spoil(Callback):
    """Makes the loss of the fourth batch NaN on one rank.

    Args:
        rank: which one.
    """

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Spoils what the loss is summed by."""
        if trainer.global_rank == self.rank and batch_idx == 3:
            sum_loss = pl_module.sum_loss
            pl_module.sum_loss = lambda batch: (sum_loss(batch)[0] * float("nan"), sum_loss(batch)[1])


class Stop(Callback):
    """Sends SIGTERM to one rank in the fourth batch of a run that goes on from no checkpoint.

    Args:
        rank: which one.
    """

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Sends it to this process."""
        if trainer.global_rank == self.rank and batch_idx == 3 and trainer.ckpt_path is None:
            os.kill(os.getpid(), signal.SIGTERM)
