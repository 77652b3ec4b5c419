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
    """Makes a weight's gradient NaN on one rank, in the fourth batch."""

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Spoils the input of the loss on this rank alone."""
        if trainer.global_rank == self.rank and batch_idx == 3:
            sum_loss = pl_module.sum_loss

            def spoil(batch: Any) -> Any:
                nats, num_scored = sum_loss(batch)
                return nats * float("nan"), num_scored

            pl_module.sum_loss = spoil
