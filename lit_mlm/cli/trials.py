"""The trials of a sweep: the options that each has, and an Optuna study with those that have ended.

The options of a trial are a function of the seed, its number and the trials of earlier rounds, so a sweep that was
killed continues as if it had not been.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from lit_mlm.cli.inputs import read_config, type_value
from lit_mlm.errors import InputError, suggest

Sampler = Literal["tpe", "random", "grid"]

Space = Mapping[str, BaseDistribution]
"""The distribution of each option, such as ``model.lr``."""

RANGE = ("low", "high", "log", "step")
"""The keys of a range of numbers."""


class Study:
    """An Optuna study in a SQLite file; trials are added once they have ended.

    Args:
        path: of the file; made if it is not there.
        mode: ``min`` or ``max``.
        space: of the options.
        sampler: ``grid`` takes all combinations in order.
        seed: of the sampler, >= 0.
        round_size: trials that run at the same time; each sees those of earlier rounds.
    """

    def __init__(self, path: Path, mode: str, space: Space, sampler: Sampler, seed: int, round_size: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space, self._sampler, self._seed, self._round_size = space, sampler, seed, round_size
        self._direction: Literal["minimize", "maximize"] = "minimize" if mode == "min" else "maximize"
        storage = f"sqlite:///{path.absolute()}"
        self.study = optuna.create_study(
            storage=storage, study_name="sweep", direction=self._direction, load_if_exists=True
        )

    @property
    def trials(self) -> list[FrozenTrial]:
        """The trials that have ended, in order."""
        return self.study.get_trials(deepcopy=False)

    @property
    def best(self) -> FrozenTrial | None:
        """The best trial; None while none is complete."""
        is_complete = any(trial.state == TrialState.COMPLETE for trial in self.trials)
        return self.study.best_trial if is_complete else None

    def ask(self, number: int) -> dict[str, Any]:
        """Returns the options of a trial whose earlier rounds have ended."""
        if self._sampler == "grid":
            grid = product(*(list_values(distribution) for distribution in self.space.values()))
            return dict(zip(self.space, list(grid)[number], strict=True))
        copy = self._copy_earlier_rounds(number)
        while True:  # the trials of this round in order, as the sampler keeps away from those that run
            next_number = len(copy.get_trials(deepcopy=False))
            seed = int(np.random.SeedSequence([self._seed, next_number]).generate_state(1)[0])
            kind = optuna.samplers.TPESampler if self._sampler == "tpe" else optuna.samplers.RandomSampler
            copy.sampler = kind(seed=seed)
            trial = copy.ask(dict(self.space))
            if next_number == number:
                return trial.params

    def find_pruned(self, number: int, values: Sequence[float]) -> int | None:
        """Returns the first validation of a trial, from 0, whose best value so far is below the median, or None.

        The median is that of the complete trials of earlier rounds at the same validation, at least five.
        """
        copy, pruner = self._copy_earlier_rounds(number), optuna.pruners.MedianPruner()
        for index in range(len(values)):
            seen = dict(enumerate(values[: index + 1]))
            if pruner.prune(copy, create_trial(state=TrialState.RUNNING, intermediate_values=seen)):
                return index
        return None

    def tell(self, params: dict[str, Any], state: TrialState, value: float | None, values: Sequence[float]) -> None:
        """Adds the next trial.

        Args:
            params: the options of the trial.
            state: how it ended.
            value: the monitored metric; None if it failed.
            values: the monitored metric of each validation.
        """
        self.study.add_trial(
            create_trial(
                state=state,
                value=value,
                params=params,
                distributions=dict(self.space),
                intermediate_values=dict(enumerate(values)),
            )
        )

    def _copy_earlier_rounds(self, number: int) -> optuna.Study:
        copy = optuna.create_study(direction=self._direction)
        copy.add_trials(self.trials[: number - number % self._round_size])
        return copy


def read_space(path: Path) -> Space:
    """Reads a YAML file of options, each with a list of values or with ``low``, ``high`` and perhaps ``log``, ``step``.

    Raises:
        InputError: with the file, line and option.
    """
    content = read_config(str(path)) if path.is_file() else None
    if not isinstance(content, dict) or not content:
        found = "there is no such file" if not path.is_file() else "it has no options"
        example = "model.lr: {low: 1.0e-5, high: 1.0e-3, log: true}"
        raise InputError(f"--space {path}: {found}; a line of it is, for example, {example}")
    space = {}
    for name, entry in content.items():
        try:
            space[str(name)] = _read_distribution(entry)
        except (ValueError, TypeError) as error:
            line = content.lines[name]  # type: ignore[attr-defined]
            raise InputError(f"{path}, line {line}: {name}: {error}") from error
    return space


def _read_distribution(entry: Any) -> BaseDistribution:
    if isinstance(entry, list) and entry:
        if any(isinstance(value, list | dict) for value in entry):
            raise ValueError("values must be numbers, texts, true, false or null")
        return CategoricalDistribution(entry)
    if not isinstance(entry, dict):
        raise ValueError(f"got {entry!r}; give a list of values, or low and high")
    for key in entry:
        if key not in RANGE:
            raise ValueError(f"there is no {key} (but {', '.join(RANGE)}){suggest(str(key), RANGE)}")
    numbers = [entry[key] for key in ("low", "high", "step") if key in entry]
    if not {"low", "high"} <= set(entry) or not all(type(number) in (int, float) for number in numbers):
        raise ValueError("a range needs low and high, which are numbers")
    if all(isinstance(number, int) for number in numbers):
        return IntDistribution(entry["low"], entry["high"], entry.get("log", False), entry.get("step", 1))
    return FloatDistribution(entry["low"], entry["high"], entry.get("log", False), entry.get("step"))


def list_values(distribution: Any) -> list[Any]:
    """Lists the values of a list or of a range with steps, for a grid.

    >>> list_values(IntDistribution(8, 32, step=8))
    [8, 16, 24, 32]

    Raises:
        InputError: if there is no end to them.
    """
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if distribution.step is None or distribution.log:
        raise InputError("--sampler grid needs lists of values, or ranges with step and without log")
    number = round((distribution.high - distribution.low) / distribution.step) + 1
    return [distribution.low + index * distribution.step for index in range(number)]


def list_ends(distribution: Any) -> list[str]:
    """Returns all values of a list, or the ends of a range, as they are typed."""
    is_list = isinstance(distribution, CategoricalDistribution)
    values = distribution.choices if is_list else (distribution.low, distribution.high)
    return [type_value(value) for value in values]
