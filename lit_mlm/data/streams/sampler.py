"""The batches of a stream: the worker of each, and the position of each worker."""

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
    """A request to a worker.

    Attributes:
        number: of the batch on its rank, from 0.
        begin: where the worker begins; None continues after its last batch.
    """

    number: int
    begin: WorkerCursor | None = None


class StreamedBatch(NamedTuple):
    """A batch, and the cursor of its worker after it."""

    tensors: dict[str, Tensor]
    cursor: WorkerCursor


class StreamSampler(DistributedSampler[Any]):
    """Numbers the batches of a rank, and starts each worker with its first one.

    With W workers, worker i % W makes batch i, as `DataLoader` deals keys to its processes. A run that resumes within a
    round deals them in another order; each process then takes the role of the worker of its first batch.

    Args:
        num_batches: of this rank in the whole training.
        num_workers: of the loader; 0 counts as 1.
        rank: of this process, from 0.
        num_ranks: number of processes.
        get_start: returns the number of this rank's batches before a resume.
        get_cursors: returns the cursors of this rank's workers then; workers without one have not begun.
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
    """Keeps the workers' cursors after the batches returned so far, regardless of prefetched ones."""

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
