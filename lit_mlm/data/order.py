"""Which examples make which batch, on which rank: a pure function of (seed, epoch)."""

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

from lit_mlm.text.blocks import IntArray
from lit_mlm.text.counter_hash import FloatArray


@dataclass(frozen=True)
class BatchKey:
    """All that a batch depends on.

    Attributes:
        epoch: number of the epoch, from 0; in evaluation the number of the mask draw.
        examples: indices of its examples, shape (B,); empty for a batch that only keeps ranks in step.
        position: how many examples of the epoch's order, on all ranks, stand before these.
        passes: how often each example's corpus has been gone through before, shape (B,), where that is not the epoch.
        places: as `position`, of each example, shape (B,), where they don't stand one behind the other.
    """

    epoch: int
    examples: IntArray
    position: int = 0
    passes: IntArray | None = None
    places: FloatArray | None = None


EpochDraw = Callable[[int], tuple[IntArray, IntArray]]
"""Gives the examples of an epoch in their order, and the passes of each, both of shape (num_examples,)."""


class BatchOrder(DistributedSampler[Any]):
    """Deals the batches of an epoch to the ranks.

    The examples are cut into batches in one global order, and rank r takes batches r, r + ranks, r + 2 x ranks, ... So
    k ranks with accumulation n see in each optimizer step the same examples as one rank with accumulation k x n. Every
    rank gets the same number of batches, at least one; those that are missing at the end are empty. No example is
    dropped or repeated, unless `draw_epoch` says so.

    It is a `DistributedSampler` so that Lightning leaves it in place, and the sampler of a `DataLoader` with
    ``batch_size=None``, so that the whole key of a batch, its epoch too, reaches the worker that makes it.

    Args:
        num_examples: how many examples there are.
        batch_size: examples a batch on one rank, >= 1.
        rank: this process, from 0.
        num_ranks: number of processes.
        seed: chooses a new permutation for each epoch; without it, in evaluation, the order is that of the data.
        get_draw: gives the number of the mask draw of an evaluation when this starts.
        get_start: gives the number of this rank's batches that an epoch leaves out when it starts: those that a run
            which goes on has seen.
        draw_epoch: orders an epoch of training in place of a permutation; some examples may come several times.
    """

    def __init__(
        self,
        num_examples: int,
        batch_size: int,
        rank: int,
        num_ranks: int,
        seed: int | None = None,
        get_draw: Callable[[], int] = int,
        get_start: Callable[[], int] = int,
        draw_epoch: EpochDraw | None = None,
    ) -> None:
        super().__init__(range(num_examples), num_replicas=num_ranks, rank=rank, shuffle=seed is not None)  # type: ignore[arg-type]
        self.order_seed = seed
        self.get_draw = get_draw
        self.get_start = get_start
        self.draw_epoch = draw_epoch
        self.num_examples = num_examples
        self.batch_size = batch_size
        self.num_batches = max(1, -(-num_examples // (batch_size * num_ranks)))

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[BatchKey]:
        return self.iterate(self.get_start())

    def iterate(self, start: int = 0) -> Iterator[BatchKey]:
        """The batches of this rank in the epoch, from number `start` on."""
        epoch, order, passes = self.epoch, np.arange(self.num_examples), None
        if self.order_seed is None:
            epoch = self.get_draw()
        elif self.draw_epoch is not None:
            order, passes = self.draw_epoch(epoch)
        else:
            order = np.random.default_rng((self.order_seed, epoch)).permutation(self.num_examples)
        for i in range(start, self.num_batches):
            first = (i * self.num_replicas + self.rank) * self.batch_size
            part = slice(first, first + self.batch_size)
            yield BatchKey(epoch, order[part], first, None if passes is None else passes[part])


class LateLoader(DataLoader[Any]):
    """Begins an epoch when its first batch is asked for.

    Lightning asks for the iterator of a training before it has restored the epoch that the training goes on in
    (Lightning #20550), and workers would begin at once.
    """

    seconds_waited: float = 0.0
    """Of the process that asked for batches, since the loader was made."""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        start = time.perf_counter()
        for batch in super().__iter__():
            self.seconds_waited += time.perf_counter() - start
            yield batch
            start = time.perf_counter()


def wait_for_second_signal(worker: int) -> None:
    """Has a worker go on when all processes of a run are told to stop, as by SLURM, or by a terminal.

    The run needs its batches up to the end of a step, and ends its workers then; with a second SIGTERM, if need be.

    Args:
        worker: its number.
    """
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
