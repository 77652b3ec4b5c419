"""The batches of a stream: which consumer makes which, and where each stands behind those that were handed out."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor
from torch.utils.data.distributed import DistributedSampler

from lit_mlm.data.batches import LazyDataLoader
from lit_mlm.data.streams.shards import StreamPlace
from lit_mlm.errors import InputError


@dataclass(frozen=True)
class StreamKey:
    """What a consumer needs to know of a batch.

    Attributes:
        number: of the batch on its rank, from 0.
        begin: where the consumer begins; None where it goes on behind its last batch.
    """

    number: int
    begin: StreamPlace | None = None


class StreamedBatch(NamedTuple):
    """A batch on its way out of a worker.

    Attributes:
        tensors: what the model takes.
        place: where the consumer stands behind it.
    """

    tensors: dict[str, Tensor]
    place: StreamPlace


class StreamOrder(DistributedSampler[Any]):
    """Numbers the batches of a rank, and tells the first of each consumer where to begin.

    With W workers batch i is that of worker i % W, as `DataLoader` deals what a sampler gives. Of a run that goes on
    within a round the workers are others: each is the consumer that its first batch names.

    Args:
        num_batches: of this rank in the whole training.
        num_workers: of the loader; 0 counts as 1.
        rank: this process, from 0.
        num_ranks: number of processes.
        get_start: gives the number of this rank's batches that a run which goes on has seen.
        get_places: gives where the consumers of this rank stand then; one that is missing has not begun.
    """

    def __init__(
        self,
        num_batches: int,
        num_workers: int,
        rank: int,
        num_ranks: int,
        get_start: Callable[[], int] = int,
        get_places: Callable[[], Mapping[int, StreamPlace]] = dict,
    ) -> None:
        super().__init__(range(num_batches), num_replicas=num_ranks, rank=rank)  # type: ignore[arg-type]
        self.num_batches = num_batches
        self.num_workers = max(1, num_workers)
        self.get_start = get_start
        self.get_places = get_places

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[StreamKey]:
        start = self.get_start()
        places = self.get_places() if start else {}
        for number in range(start, self.num_batches):
            begin = None
            if number < start + self.num_workers:
                consumer = number % self.num_workers * self.num_replicas + self.rank
                begin = places.get(consumer, StreamPlace(consumer))
            yield StreamKey(number, begin)


class StreamLoader(LazyDataLoader):
    """Keeps where the consumers stand behind the batches that were handed out, whatever has been made beyond these.

    Attributes:
        places: of the consumers that a batch was handed out of.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.places: dict[int, StreamPlace] = {}

    def __iter__(self) -> Iterator[dict[str, Tensor]]:  # type: ignore[override]
        self.places = {}
        for found in super().__iter__():
            if isinstance(found, InputError):
                raise found
            self.places[found.place.consumer] = found.place
            yield found.tensors
