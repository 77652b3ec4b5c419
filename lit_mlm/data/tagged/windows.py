"""Windows of sentences."""

from dataclasses import dataclass

from lit_mlm.options import Count, DataOptions, Size
from lit_mlm.text.long_texts import fit_window


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
        window, size, stride = fit_window(self.window, self.stride, num_special, max_length)
        limit = max_length or window
        truncation = None if limit is None else limit - num_special
        return Windowing(window, size, stride, truncation)


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
