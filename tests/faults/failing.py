"""Callbacks that fail on one rank; named on the command line as any class of a user's."""

import os
import signal
import sys
import time
from typing import Any

import torch
from lightning.pytorch import Callback
from torch import Tensor, nn


class Fail(Callback):
    """Ends one rank within training.

    Args:
        rank: which one.
        how: ``kill``, ``error`` or ``mistake``; or ``loss`` or ``gradient``, which is no number in that batch.
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
        if self.how in ("loss", "gradient"):
            self._spoil(pl_module.net.get_input_embeddings())
            return
        raise {"error": OSError, "mistake": InputError}[self.how](f"injected into rank {self.rank}")

    def _spoil(self, embedding: nn.Module) -> None:
        """Makes an output, or the gradient of one, NaN; once, as a loss that is NaN ends the training."""

        def spoil(module: nn.Module, args: Any, output: Tensor) -> Tensor | None:
            if self.how == "loss":
                return output * torch.nan
            output.register_hook(lambda gradient: gradient * torch.nan)
            return None

        embedding.register_forward_hook(spoil)


class Pause(Callback):
    """Makes validations slow, and says when they begin; that changes no figure.

    Args:
        seconds: before each batch.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_validation_batch_start(self, trainer: Any, *args: Any, **kwargs: Any) -> None:
        """Waits."""
        if not trainer.sanity_checking:
            print("validating", file=sys.stderr, flush=True)
            time.sleep(self.seconds)


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
