"""Schedules of the mask rate over training."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lit_mlm.errors import InputError
from lit_mlm.text.arrays import FloatArray

MaskScheduleName = Literal["constant", "linear", "steps"]


@dataclass(frozen=True)
class MaskSchedule:
    """The mask rate as a function of training progress.

    Attributes:
        name: ``constant``; ``linear`` interpolates between the rates at equal intervals; ``steps`` holds each rate for
            an equal share of training.
        rates: one for ``constant``, at least two otherwise, each in (0, 1].
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
        """Formats the rates for the terminal."""
        return f"{' -> '.join(map(str, self.rates))}{f' ({self.name})' if self.changes else ''}"

    @property
    def changes(self) -> bool:
        """Whether the rate varies."""
        return len(self.rates) > 1

    def find_rates(self, progress: FloatArray) -> FloatArray:
        """Returns the rates at given fractions of training, in the same shape; fractions above 1 count as 1.

        Examples:
            >>> MaskSchedule("linear", [0.3, 0.1]).find_rates(np.array([0.0, 0.5, 1.0]))
            array([0.3, 0.2, 0.1])
        """
        rates, num = np.asarray(self.rates, dtype=np.float64), len(self.rates)
        if self.name == "linear":
            return np.interp(progress, np.linspace(0, 1, num), rates)
        return rates[np.minimum((progress * num).astype(np.int64), num - 1)]
