"""Rates over training."""

from typing import Any

import numpy as np
import pytest

from lit_mlm.errors import InputError
from lit_mlm.text.masking.schedule import MaskSchedule


def test_rates() -> None:
    progress = np.array([0.0, 0.2, 1 / 3 - 1e-9, 0.34, 0.5, 0.67, 0.999, 1.0, 1.2])
    assert MaskSchedule("constant", [0.3]).find_rates(progress).tolist() == [0.3] * 9
    steps = MaskSchedule("steps", [0.30, 0.15, 0.05]).find_rates(progress)
    assert steps.tolist() == [0.3, 0.3, 0.3, 0.15, 0.15, 0.05, 0.05, 0.05, 0.05]
    linear = MaskSchedule("linear", [0.4, 0.2]).find_rates(progress)
    assert linear == pytest.approx(np.maximum(0.4 - 0.2 * progress, 0.2))
    bent = MaskSchedule("linear", [0.4, 0.2, 0.1]).find_rates(np.array([0.25, 0.5, 0.75]))
    assert bent == pytest.approx([0.3, 0.2, 0.15])


@pytest.mark.parametrize(
    ("name", "rates", "message"),
    [
        ("constant", [0.1, 0.2], r"data.mask_schedule constant needs one rate, got data.train_mask_probs \[0.1, 0.2\]"),
        ("linear", [0.1], "data.mask_schedule linear needs at least two rates"),
        ("steps", [], "data.mask_schedule steps needs at least two rates"),
        ("steps", [0.1, 0.0], "data.train_mask_probs must be above 0 and at most 1, got 0.0"),
        ("linear", [1.5, 0.1], "at most 1, got 1.5"),
    ],
)
def test_impossible_rates_are_refused(name: Any, rates: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        MaskSchedule(name, rates)
