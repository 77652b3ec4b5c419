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
from lit_mlm.text.masking.counter_hash import FloatArray


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


class LazyDataLoader(DataLoader[Any]):
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


class LengthOrder(DistributedSampler[Any]):
    """Deals batches of rows that are about as long as each other to the ranks, as `BatchOrder` deals its own.

    Groups of rows are sorted by the length of their longest row, the longest first, and cut into batches. In training
    each row is its own group; lengths are rounded up, by less than an eighth, so that each epoch mixes the rows anew,
    and the batches come in a new order. In evaluation the order never changes. The number of batches is the same in
    each epoch and on each rank, at least one; those that are missing at the end are empty. No row is dropped or
    repeated.

    Args:
        lengths: tokens of each row, special tokens included, shape (num_rows,).
        batch_size: rows in a batch, >= 1; a group that has more is a batch by itself.
        rank: this process, from 0.
        num_ranks: number of processes.
        seed: chooses a new order for each epoch; without it, in evaluation, it is always the same.
        groups: for evaluation a number for each row that never decreases, shape (num_rows,): rows with the same one
            stand in one batch, in their order; without it each row is a group.
        max_tokens: tokens in a batch, padding included, in place of `batch_size`; a group that has more is a batch by
            itself.
        by_length: False leaves the order of training to chance alone, and that of evaluation as it is.
        get_start: as in `BatchOrder`.
    """

    def __init__(
        self,
        lengths: IntArray,
        batch_size: int,
        rank: int = 0,
        num_ranks: int = 1,
        seed: int | None = None,
        groups: IntArray | None = None,
        max_tokens: int | None = None,
        by_length: bool = True,
        get_start: Callable[[], int] = int,
    ) -> None:
        super().__init__(range(len(lengths)), num_replicas=num_ranks, rank=rank, shuffle=seed is not None)  # type: ignore[arg-type]
        self.order_seed = seed
        self.get_start = get_start
        self.lengths = lengths
        self._firsts = np.arange(len(lengths))
        if groups is not None:
            self._firsts = np.flatnonzero(np.append(True, groups[1:] != groups[:-1])[: len(groups)])
        self._sizes = np.diff(np.append(self._firsts, len(lengths)))
        longest = np.maximum.reduceat(lengths, self._firsts) if len(lengths) else lengths
        self._keys = round_up(longest) if seed is not None else longest
        if not by_length:
            self._keys = np.full_like(self._keys, self._keys.max(initial=0))
        self._boundaries = self._cut(np.argsort(-self._keys, kind="stable"), batch_size, max_tokens)

    def __len__(self) -> int:
        return max(1, -(-(len(self._boundaries) - 1) // self.num_replicas))

    def __iter__(self) -> Iterator[BatchKey]:
        return self.iterate(self.get_start())

    def iterate(self, start: int = 0) -> Iterator[BatchKey]:
        """The batches of this rank in the epoch, from number `start` on."""
        batches = self._make_batches()
        for i in range(start * self.num_replicas + self.rank, len(self) * self.num_replicas, self.num_replicas):
            rows = batches[i] if i < len(batches) else np.zeros(0, dtype=np.int64)
            yield BatchKey(self.epoch if self.shuffle else 0, rows)

    @property
    def padding_fraction(self) -> float:
        """The share of the tokens of all batches of an epoch, on all ranks, that is padding, in [0, 1)."""
        batches = self._make_batches()
        num_cells = sum(len(rows) * int(self.lengths[rows].max()) for rows in batches)
        return 1 - int(self.lengths.sum()) / num_cells if num_cells else 0.0

    def _make_batches(self) -> list[IntArray]:
        """The rows of each batch of the epoch, on all ranks."""
        order = np.arange(len(self._keys))
        if self.order_seed is not None:
            rng = np.random.default_rng((self.order_seed, self.epoch))
            order = rng.permutation(order)
        order = order[np.argsort(-self._keys[order], kind="stable")]
        batches = [self._get_rows(order[i:j]) for i, j in zip(self._boundaries[:-1], self._boundaries[1:], strict=True)]
        return batches if self.order_seed is None else [batches[i] for i in rng.permutation(len(batches))]

    def _get_rows(self, groups: IntArray) -> IntArray:
        sizes = self._sizes[groups]
        starts = self._firsts[groups] - (np.cumsum(sizes) - sizes)
        rows: IntArray = np.arange(sizes.sum()) + np.repeat(starts, sizes)
        return rows

    def _cut(self, order: IntArray, batch_size: int, max_tokens: int | None) -> list[int]:
        """Where each batch starts in the sorted groups, and where the last one ends.

        Rows of training are groups of one, so this depends on their sorted lengths alone, not on the epoch.
        """
        ends = np.cumsum(self._sizes[order])
        boundaries = [0]
        while boundaries[-1] < len(order):
            start = boundaries[-1]
            limit = batch_size if max_tokens is None else max_tokens // int(self._keys[order[start]])
            num_before = int(ends[start - 1]) if start else 0
            boundaries.append(max(start + 1, int(np.searchsorted(ends, num_before + limit, side="right"))))
        return boundaries


def round_up(lengths: IntArray) -> IntArray:
    """Lengths rounded up to multiples of a power of two that is at most an eighth of them; those below 16 stay.

    Args:
        lengths: each >= 1, any shape.
    """
    steps = 2 ** np.maximum(np.floor(np.log2(np.maximum(lengths, 1))).astype(np.int64) - 3, 0)
    return np.asarray(-(-lengths // steps) * steps, dtype=np.int64)
