"""Windows of sentences, and their batches."""

import sys
from dataclasses import dataclass
from typing import Any

from lit_mlm.data.batches import LengthSampler
from lit_mlm.errors import InputError
from lit_mlm.options import Count, DataOptions, Size
from lit_mlm.text.tagging.rows import TaggedRows


@dataclass(frozen=True)
class WindowOptions(DataOptions):
    """Options of `TaggedDataModule` that define the windows; all are part of the fingerprint."""

    window: Count | None = None
    stride: Size | None = None
    context_tokens: Size = 0

    def fit(self, num_special: int, max_length: int | None) -> "Windowing":
        """Checks the options against a model and sets their defaults.

        The default window is `max_length`, the model's maximum in tokens; None is no limit.
        """
        window = self.window
        if window is not None and max_length is not None and window > max_length:
            raise InputError(f"data.window is {window}, but the model takes at most {max_length} tokens")
        window = max_length if window is None else window
        size = sys.maxsize if window is None else window - num_special
        if size < 1:
            raise InputError(f"data.window {window} leaves no room beside {num_special} special tokens")
        if self.stride is not None and self.stride >= size:
            raise InputError(f"data.stride {self.stride} must be less than the {size} tokens of a window")
        limit = max_length or window
        truncation = None if limit is None else limit - num_special
        return Windowing(window, size, size // 4 if self.stride is None else self.stride, truncation)


@dataclass(frozen=True)
class Windowing:
    """The windows of a model.

    Attributes:
        window: maximum tokens, special tokens included; None keeps sentences whole.
        size: maximum tokens, without special tokens.
        stride: tokens that neighbouring windows of a sentence share at most.
        truncation: tokens that truncation to the model's maximum would keep; None without a limit.
    """

    window: int | None
    size: int
    stride: int
    truncation: int | None


@dataclass(frozen=True)
class LengthOptions(DataOptions):
    """Options of `TaggedDataModule` that define the batches."""

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

    def order(self, split: str, examples: TaggedRows, batch_size: int, **kwargs: Any) -> LengthSampler:
        """Builds the batch sampler of a split.

        Args:
            split: for messages.
            examples: windows of the split; none may exceed `max_tokens_per_batch`.
            batch_size: windows per batch, without `max_tokens_per_batch`.
            kwargs: other arguments of `LengthSampler`; a seed means training.
        """
        longest, is_training = int(examples.lengths.max()), kwargs.get("seed") is not None
        if self.max_tokens_per_batch is not None and self.max_tokens_per_batch < longest:
            raise InputError(
                f"data.max_tokens_per_batch {self.max_tokens_per_batch} is less than the longest sequence of the "
                f"{split} split, {longest} tokens; raise it or lower data.window"
            )
        return LengthSampler(
            examples.lengths,
            batch_size,
            groups=None if is_training else examples.table.sentences,
            max_tokens=self.max_tokens_per_batch,
            by_length=self.groups or not is_training,
            **kwargs,
        )
