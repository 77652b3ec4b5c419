"""The batches of a stream: which worker makes which, and how far each has read."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor
from torch.utils.data.distributed import DistributedSampler

from lit_mlm.data.batches import LazyDataLoader
from lit_mlm.data.streams.shards import WorkerCursor
from lit_mlm.errors import InputError


@dataclass(frozen=True)
class StreamKey:
    """What a worker is told of a batch.

    Attributes:
        number: of the batch on its rank, from 0.
        begin: where the worker begins; None where it continues after its last batch.
    """

    number: int
    begin: WorkerCursor | None = None


class StreamedBatch(NamedTuple):
    """A batch on its way out of a worker.

    Attributes:
        tensors: what the model takes.
        cursor: of the worker, after it.
    """

    tensors: dict[str, Tensor]
    cursor: WorkerCursor


class StreamSampler(DistributedSampler[Any]):
    """Numbers the batches of a rank, and says where each worker begins with its first one.

    With W workers batch i is that of worker i % W, as `DataLoader` deals the keys of a sampler. A run that resumes in
    the middle of a round deals them to its processes in another order: each takes the part of the worker that its first
    batch names.

    Args:
        num_batches: of this rank in the whole training.
        num_workers: of the loader; 0 counts as 1.
        rank: this process, from 0.
        num_ranks: number of processes.
        get_start: gives the number of this rank's batches that a resumed run has seen.
        get_cursors: gives the cursors of this rank's workers then; a worker without one has not begun.
    """

    def __init__(
        self,
        num_batches: int,
        num_workers: int,
        rank: int,
        num_ranks: int,
        get_start: Callable[[], int] = int,
        get_cursors: Callable[[], Mapping[int, WorkerCursor]] = dict,
    ) -> None:
        super().__init__(range(num_batches), num_replicas=num_ranks, rank=rank)  # type: ignore[arg-type]
        self.num_batches = num_batches
        self.num_workers = max(1, num_workers)
        self.get_start = get_start
        self.get_cursors = get_cursors

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[StreamKey]:
        start = self.get_start()
        cursors = self.get_cursors() if start else {}
        for number in range(start, self.num_batches):
            begin = None
            if number < start + self.num_workers:
                worker = number % self.num_workers * self.num_replicas + self.rank
                begin = cursors.get(worker, WorkerCursor(worker))
            yield StreamKey(number, begin)


class StreamLoader(LazyDataLoader):
    """Keeps the workers' cursors after the batches that were handed out, whatever was made ahead of them.

    Attributes:
        cursors: by worker, of those that a batch was handed out of.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cursors: dict[int, WorkerCursor] = {}

    def __iter__(self) -> Iterator[dict[str, Tensor]]:  # type: ignore[override]
        self.cursors = {}
        for found in super().__iter__():
            if isinstance(found, InputError):
                raise found
            self.cursors[found.cursor.worker] = found.cursor
            yield found.tensors
