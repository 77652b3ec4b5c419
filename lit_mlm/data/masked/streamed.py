"""What a data module asks of training text that is streamed."""

from typing import Any, Protocol

from torch.utils.data import DataLoader


class TrainStream(Protocol):
    """Training text that is never there as a whole; `lit_mlm.data.streams.training` has it."""

    @property
    def has_begun(self) -> bool:
        """Whether `begin` was called."""

    @property
    def key(self) -> str:
        """Represents the text, and how it is read, in a fingerprint."""

    @property
    def order_options(self) -> dict[str, Any]:
        """What the order depends on."""

    def open(self) -> None:
        """Finds the corpora and the end of training, before text is tokenised."""

    def begin(self) -> None:
        """Makes the first examples, with the tokenizer."""

    def make_loader(self) -> DataLoader[Any]:
        """Batches of the whole training."""

    def describe(self) -> str:
        """What is streamed, in a few words."""
