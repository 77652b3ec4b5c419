"""Options of rows and labels."""

from dataclasses import dataclass
from typing import NamedTuple

from lit_mlm.errors import InputError, refuse_text
from lit_mlm.options import Count, DataOptions, Size
from lit_mlm.text.long_texts import LongTexts, fit_window


class Rows(NamedTuple):
    """Tokens per row, None without a limit; the same without special tokens; the stride of windows."""

    window: int | None
    size: int
    stride: int


@dataclass(frozen=True)
class TextOptions(DataOptions):
    """Options of `LabelledDataModule` that define rows and labels; all are part of the fingerprint."""

    window: Count | None = None
    stride: Size | None = None
    long_texts: LongTexts = "head"
    labels: list[str] | None = None
    multi_label: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_text("data.labels", self.labels)
        if self.labels is not None and len(set(self.labels)) < max(1, len(self.labels)):
            raise InputError(f"data.labels must name at least one label, each once, got {self.labels}")
        if self.stride is not None and self.long_texts != "windows":
            raise InputError(f"data.stride ({self.stride}) has no effect with data.long_texts {self.long_texts}")

    def fit(self, num_special: int, max_length: int | None) -> Rows:
        """Checks the options against a model and sets their defaults.

        The default window is `max_length`, the model's maximum in tokens; None is no limit.
        """
        return Rows(*fit_window(self.window, self.stride, num_special, max_length))
