"""The units of an evaluation, its documents or sentences, for paired comparisons of runs."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lit_mlm.metrics.sums import SumMetric


def collect_units(metrics: Mapping[str, SumMetric], data: Any) -> tuple[str, dict[str, Any]]:
    """Collects the sums of all units of a split, on all ranks together.

    Args:
        metrics: of the split, or of each of its sets, by name.
        data: the data module; its sizes of units are added where it knows them.

    Returns:
        What units are, ``document``, ``block`` or ``sentence``, and arrays of shape (U,) by name, ``unit`` with unique
        numbers first; without arrays if the metrics don't count units.
    """
    kinds, parts = ["sentence"], []
    for number, (name, metric) in enumerate(metrics.items()):
        part = metric.collect_units()
        if part and hasattr(data, "measure_units"):
            kind, sizes = data.measure_units(name)
            kinds.append(kind)
            part = _add_sizes(part, sizes) if sizes else part
        if "unit" in part:
            part["unit"] = part["unit"] + (number << 32)
        parts.append(part)
    names = [key for key in (parts or [{}])[0] if all(key in part for part in parts)]
    return kinds[-1], {key: np.concatenate([part[key] for part in parts]) for key in names}


def _add_sizes(sums: dict[str, Any], sizes: Mapping[str, Any]) -> dict[str, Any]:
    """Adds sizes by the number of the unit, and the units that have a size but were not scored."""
    num_units = len(next(iter(sizes.values())))
    whole: dict[str, Any] = {"unit": np.arange(num_units)}
    for name in sums.keys() - {"unit"}:
        whole[name] = np.zeros(num_units)
        whole[name][sums["unit"]] = sums[name]
    whole |= sizes
    is_used = np.any([array > 0 for name, array in whole.items() if name != "unit"], axis=0)
    return {name: array[is_used] for name, array in whole.items()}
