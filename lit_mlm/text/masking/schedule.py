"""How the share of masked tokens changes over training: a pure function of how much of it is over."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lit_mlm.errors import InputError
from lit_mlm.text.masking.counter_hash import FloatArray

MaskScheduleName = Literal["constant", "linear", "steps"]


@dataclass(frozen=True)
class MaskSchedule:
    """The rates that training goes through.

    Attributes:
        name: ``constant`` stays at one rate; ``linear`` goes from each rate to the next one, in parts of equal length;
            ``steps`` holds each for an equal part of training.
        rates: one of ``constant``, at least two of the others; each above 0 and at most 1.

    Raises:
        InputError: if there are other numbers of rates, or one is out of range; the options are named as they are
            typed.
    """

    name: MaskScheduleName
    rates: Sequence[float]

    def __post_init__(self) -> None:
        if (len(self.rates) == 1) != (self.name == "constant") or not self.rates:
            needed = "one rate" if self.name == "constant" else "at least two rates"
            raise InputError(f"data.mask_schedule {self.name} needs {needed}, got data.train_mask_probs {self.rates}")
        for rate in self.rates:
            if not 0 < rate <= 1:
                raise InputError(f"data.train_mask_probs must be above 0 and at most 1, got {rate}")

    def __str__(self) -> str:
        """The rates in a few words."""
        return f"{' -> '.join(map(str, self.rates))}{f' ({self.name})' if self.changes else ''}"

    @property
    def changes(self) -> bool:
        """Whether there are several rates."""
        return len(self.rates) > 1

    def find_rates(self, progress: FloatArray) -> FloatArray:
        """The rates at some points of training.

        Args:
            progress: shares of training that are over, any shape; those above 1 count as 1.

        Returns:
            The rates, of the same shape.
        """
        rates, num = np.asarray(self.rates, dtype=np.float64), len(self.rates)
        if self.name == "linear":
            return np.interp(progress, np.linspace(0, 1, num), rates)
        return rates[np.minimum((progress * num).astype(np.int64), num - 1)]
