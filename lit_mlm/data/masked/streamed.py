"""The interface of streamed training text."""

from collections.abc import Sequence
from typing import Any, Protocol

from torch.utils.data import DataLoader


class TrainStream(Protocol):
    """Training text that is never loaded as a whole; implemented by `lit_mlm.data.streams.training`."""

    @property
    def has_begun(self) -> bool:
        """Whether `begin` was called."""

    @property
    def shard_keys(self) -> list[list[str]]:
        """Represents the content of each shard of each source."""

    def make_key(self, shard_keys: Sequence[Sequence[str]]) -> str:
        """Represents the text, by its shards, and how it is read in a fingerprint."""

    @property
    def order_options(self) -> dict[str, Any]:
        """The options that determine the order of training."""

    def open(self) -> None:
        """Finds the corpora and the end of training, before text is tokenised."""

    def begin(self) -> None:
        """Makes the first examples, once the tokenizer is known."""

    def make_loader(self) -> DataLoader[Any]:
        """Builds a loader of the whole training."""

    def describe(self) -> str:
        """Describes the stream in a few words."""
