"""Batch samplers: which examples form which batch on which rank, as a pure function of (seed, epoch)."""

import signal
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, SequentialSampler
from torch.utils.data.distributed import DistributedSampler

from lit_mlm.errors import InputError
from lit_mlm.options import Count, DataOptions
from lit_mlm.text.arrays import FloatArray, IntArray


@dataclass(frozen=True)
class BatchKey:
    """Everything that determines a batch.

    Attributes:
        epoch: epoch number, from 0; in evaluation the number of the mask draw.
        examples: indices of the examples, shape (B,); empty for a batch that only keeps ranks in step.
        position: examples of the epoch before these, on all ranks.
        source_epochs: epoch of each example's source, shape (B,), if sources have epochs of their own.
        positions: `position` for each example, shape (B,), if they are not consecutive.
    """

    epoch: int
    examples: IntArray
    position: int = 0
    source_epochs: IntArray | None = None
    positions: FloatArray | None = None


EpochDraw = Callable[[int], tuple[IntArray, IntArray]]
"""Maps an epoch to its examples, in order, and the source epoch of each, both of shape (num_examples,)."""


class KeySampler(DistributedSampler[Any]):
    """Distributes the batches of an epoch over the ranks: rank r takes batches r, r + ranks, r + 2 x ranks, ...

    An optimizer step on k ranks with accumulation n thus sees the same examples as on one rank with accumulation k x n.
    Every rank gets the same number of batches, at least one; missing ones at the end are empty.

    It is a `DistributedSampler` so that Lightning does not replace it. The `DataLoader` has ``batch_size=None``, so the
    whole key of a batch, epoch included, reaches the worker.

    Args:
        num_examples: number of examples.
        rank: of this process, from 0.
        num_ranks: number of processes.
        seed: for shuffling each epoch; None in evaluation, whose order is fixed.
        get_start: returns how many batches of this rank a resumed epoch skips.
    """

    num_batches: int
    """Batches of an epoch, on all ranks."""

    def __init__(
        self, num_examples: int, rank: int, num_ranks: int, seed: int | None, get_start: Callable[[], int] = int
    ) -> None:
        super().__init__(range(num_examples), num_replicas=num_ranks, rank=rank, shuffle=seed is not None)  # type: ignore[arg-type]
        self.order_seed, self.get_start = seed, get_start

    @abstractmethod
    def plan_epoch(self) -> Callable[[int], BatchKey]:
        """Returns a function from the number of a batch, counted over all ranks from 0, to its key."""

    def __len__(self) -> int:
        return max(1, -(-self.num_batches // self.num_replicas))

    def __iter__(self) -> Iterator[BatchKey]:
        return self.iterate(self.get_start())

    def iterate(self, start: int = 0) -> Iterator[BatchKey]:
        """Yields the keys of this rank in the epoch, from batch `start`."""
        make_key = self.plan_epoch()
        for number in range(start, len(self)):
            yield make_key(number * self.num_replicas + self.rank)


class FirstEpochSampler(DistributedSampler[Any], SequentialSampler):
    """The first epoch of another sampler, again and again, for Lightning's ``overfit_batches``.

    It is a `SequentialSampler` so that Lightning does not replace it, and a `DistributedSampler` for the same reason on
    several devices.
    """

    def __init__(self, order: Any) -> None:
        self.order, self.shuffle = order, False

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.order)


class ShuffleSampler(KeySampler):
    """Cuts a permutation of all examples into batches; in evaluation the order of the data.

    No example is dropped or repeated, except by `draw_epoch`.

    Args:
        batch_size: examples per batch and rank, >= 1.
        get_draw: returns the number of the mask draw when an evaluation starts.
        draw_epoch: replaces the permutation of a training epoch; may repeat examples.
        num_examples, rank, num_ranks, seed, get_start: as in `KeySampler`.
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
        super().__init__(num_examples, rank, num_ranks, seed, get_start)
        self.num_examples, self.batch_size = num_examples, batch_size
        self.get_draw, self.draw_epoch = get_draw, draw_epoch
        self.num_batches = -(-num_examples // batch_size)

    def plan_epoch(self) -> Callable[[int], BatchKey]:
        """Cuts the order of the epoch."""
        epoch, order, source_epochs = self.epoch, np.arange(self.num_examples), None
        if self.order_seed is None:
            epoch = self.get_draw()
        elif self.draw_epoch is not None:
            order, source_epochs = self.draw_epoch(epoch)
        else:
            order = np.random.default_rng((self.order_seed, epoch)).permutation(self.num_examples)

        def make_key(number: int) -> BatchKey:
            first = number * self.batch_size
            part = slice(first, first + self.batch_size)
            return BatchKey(epoch, order[part], first, None if source_epochs is None else source_epochs[part])

        return make_key


class LengthSampler(KeySampler):
    """Makes batches of rows of similar length.

    Groups of rows are sorted by their longest row, longest first, and cut into batches. In training each row is its own
    group. Lengths are rounded up by less than an eighth, so that each epoch mixes rows anew, and batches are shuffled.
    The number of batches is the same in each epoch. No row is dropped or repeated.

    Args:
        lengths: tokens of each row, special tokens included, shape (num_rows,).
        batch_size: rows per batch, >= 1; a larger group is a batch by itself.
        groups: for evaluation, a non-decreasing group number of each row, shape (num_rows,): rows of a group share a
            batch, in their order. By default each row is a group.
        max_tokens: tokens per batch, padding included, in place of `batch_size`; a larger group is a batch by itself.
        by_length: False ignores lengths in training and keeps the order of the data in evaluation.
        rank, num_ranks, seed, get_start: as in `KeySampler`.
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
        super().__init__(len(lengths), rank, num_ranks, seed, get_start)
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
        self.num_batches = len(self._boundaries) - 1

    def plan_epoch(self) -> Callable[[int], BatchKey]:
        """Sorts the rows of the epoch."""
        batches, epoch = self._make_batches(), self.epoch if self.shuffle else 0
        empty = np.zeros(0, dtype=np.int64)
        return lambda number: BatchKey(epoch, batches[number] if number < len(batches) else empty)

    def list_lengths(self) -> list[IntArray]:
        """The lengths of the rows of each batch of an epoch, on all ranks."""
        return [self.lengths[rows] for rows in self._make_batches()]

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
        """The boundaries of the batches among the sorted groups.

        Training groups are single rows, so the boundaries depend on the sorted lengths alone, not on the epoch.
        """
        ends = np.cumsum(self._sizes[order])
        boundaries = [0]
        while boundaries[-1] < len(order):
            start = boundaries[-1]
            limit = batch_size if max_tokens is None else max_tokens // int(self._keys[order[start]])
            num_before = int(ends[start - 1]) if start else 0
            boundaries.append(max(start + 1, int(np.searchsorted(ends, num_before + limit, side="right"))))
        return boundaries


@dataclass(frozen=True)
class LengthOptions(DataOptions):
    """Options of batches by length or packed, of tagged words and labelled texts."""

    group_by_length: bool | None = None
    max_tokens_per_batch: Count | None = None
    pack_length: Count | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pack_length is not None and self.max_tokens_per_batch is not None:
            raise InputError(
                "data.pack_length and data.max_tokens_per_batch are mutually exclusive: use data.batch_size"
            )
        if self.pack_length is not None and self.group_by_length:
            raise InputError("data.group_by_length true has no effect with data.pack_length, which shuffles rows")

    @property
    def groups(self) -> bool:
        """Whether training batches hold sentences of similar length."""
        return self.max_tokens_per_batch is not None if self.group_by_length is None else self.group_by_length

    def describe(self, batch_size: int) -> dict[str, Any]:
        """The options that a resumed run may not change."""
        options = {"max_tokens_per_batch": self.max_tokens_per_batch, "pack_length": self.pack_length}
        if not (self.max_tokens_per_batch or self.pack_length):
            options["batch_size"] = batch_size
        return options if self.pack_length else options | {"group_by_length": self.groups}

    def order(self, split: str, lengths: IntArray, batch_size: int, **kwargs: Any) -> LengthSampler:
        """Builds the batch sampler of a split.

        Args:
            split: for messages.
            lengths: tokens of each example; none may exceed `max_tokens_per_batch`.
            batch_size: examples per batch, without `max_tokens_per_batch`.
            kwargs: other arguments of `LengthSampler`; a seed means training.
        """
        longest, is_training = int(lengths.max()), kwargs.get("seed") is not None
        if self.max_tokens_per_batch is not None and self.max_tokens_per_batch < longest:
            raise InputError(
                f"data.max_tokens_per_batch {self.max_tokens_per_batch} is less than the longest sequence of the "
                f"{split} split, {longest} tokens; raise it or lower data.window"
            )
        return LengthSampler(
            lengths,
            batch_size,
            max_tokens=self.max_tokens_per_batch,
            by_length=self.groups or not is_training,
            **kwargs,
        )


def round_up(lengths: IntArray) -> IntArray:
    """Rounds lengths, each >= 1, up to multiples of a power of two that is at most an eighth; below 16 they stay.

    >>> round_up(np.array([15, 33, 100]))
    array([ 15,  36, 104])
    """
    steps = 2 ** np.maximum(np.floor(np.log2(np.maximum(lengths, 1))).astype(np.int64) - 3, 0)
    return np.asarray(-(-lengths // steps) * steps, dtype=np.int64)


class LazyDataLoader(DataLoader[Any]):
    """Starts an epoch only when its first batch is requested.

    Lightning creates the iterator before it restores the epoch of a resumed run (`lit_mlm.upstream.FAULTS`), and
    workers would start at once.
    """

    seconds_waited: float = 0.0
    """Time that the consumer has waited for batches since the loader was made."""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        start = time.perf_counter()
        for batch in super().__iter__():
            self.seconds_waited += time.perf_counter() - start
            yield batch
            start = time.perf_counter()


def wait_for_second_signal(worker: int) -> None:
    """Keeps a worker alive when all processes of a run get SIGTERM (SLURM) or SIGINT (terminal).

    The run needs its batches until the end of the step, then ends its workers itself, if need be by a second SIGTERM.
    """
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
