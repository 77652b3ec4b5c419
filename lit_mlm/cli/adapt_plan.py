"""The plan of `python -m lit_mlm adapt`: the trainings and texts that its YAML names."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lit_mlm.cli.configs import find_config
from lit_mlm.cli.inputs import read_config, split_args, type_options
from lit_mlm.cli.repeat import check_rest, check_seeds
from lit_mlm.cli.series_options import check_options
from lit_mlm.errors import InputError, suggest
from lit_mlm.options import SEEDS

KEYS = ("model", "seeds", "adaptation", "adapt_per_seed", "control", "tasks", "general")
"""What the YAML may have."""

ENTRY_KEYS = ("config", "options", "split")
"""What a training or text may have; a task may be ``old``, too."""

OWN = ("config", "c", "run_dir", "model.model")
"""Options of ``fit`` that `adapt` gives itself."""

MASKED = "AutoModelForMaskedLM"

NEW_WORDS = ("new_words", "num_new_words")
"""Options of the data that extend the tokenizer."""

PARTS = ("num_val_blocks", "drop_tail", "truncate")
"""Options of the data that leave out a part of a text, by tokens."""


@dataclass(frozen=True)
class Entry:
    """A config of ``fit`` with its options.

    Attributes:
        name: ``adaptation``, ``control``, ``general`` or ``tasks.<name>``.
        configs: names or paths.
        options: as they are typed.
        split: that is scored, ``val`` or ``test``.
        is_old: whether it is a task that the adaptation may forget.
    """

    name: str
    configs: tuple[str, ...]
    options: tuple[str, ...]
    split: str
    is_old: bool = False

    @property
    def label(self) -> str:
        """The name of its figures."""
        return {"adaptation": "new domain", "general": "general text"}.get(self.name, self.name.removeprefix("tasks."))

    @property
    def folder(self) -> str:
        """Where its figures are."""
        return self.name.replace(".", "/") if self.name.startswith("tasks.") else f"texts/{self.name}"

    def list_args(self, model: str) -> list[str]:
        """The options of a command for it, with a pretrained model."""
        configs = (part for config in self.configs for part in ("--config", config))
        return [*configs, *self.options, "--model.model", model]


@dataclass(frozen=True)
class Plan:
    """What `adapt` trains and scores.

    Attributes:
        model: that everything starts from.
        seeds: of the fine-tuning.
        entries: by name.
        adapts_per_seed: whether each seed has an adaptation of its own, or all share that of the first.
    """

    model: str
    seeds: tuple[int, ...]
    entries: Mapping[str, Entry]
    adapts_per_seed: bool

    @property
    def tasks(self) -> list[Entry]:
        """The downstream tasks."""
        return [entry for name, entry in self.entries.items() if name.startswith("tasks.")]

    @property
    def texts(self) -> list[Entry]:
        """The texts of the new domain and in general, for perplexity."""
        return [self.entries[name] for name in ("adaptation", "general") if name in self.entries]

    @property
    def models(self) -> list[str]:
        """The names of the models that are compared."""
        return ["unadapted", *(["control"] if "control" in self.entries else []), "adapted"]

    @property
    def adaptation_seeds(self) -> tuple[int, ...]:
        """The seeds of the adaptation."""
        return self.seeds if self.adapts_per_seed else self.seeds[:1]


def read_plan(path: Path, model: str | None, seeds: Sequence[int] | None, typed: Sequence[str]) -> Plan:
    """Reads the YAML of `adapt`.

    Args:
        path: of the file.
        model: replaces that of the file.
        seeds: likewise.
        typed: options of an entry, such as ``--tasks.sentiment.model.lr``, and others of all.

    Raises:
        InputError: with the file, line and key.
    """
    content = read_config(str(path))
    if not isinstance(content, dict):
        raise InputError(f"{path}: it has no keys; give model, adaptation and tasks")
    _check_keys(path, "", content, KEYS)
    found = content | {key: value for key, value in (("model", model), ("seeds", seeds)) if value is not None}
    if not isinstance(found.get("model"), str):
        raise InputError(f"{path}: give model, the name or folder of the pretrained model to adapt")
    tasks = found.get("tasks")
    if not isinstance(tasks, dict) or not tasks or "adaptation" not in found:
        raise InputError(f"{path}: give adaptation, a config of a masked language model, and tasks by name")
    given = {key: found[key] for key in ("adaptation", "control", "general") if found.get(key) is not None}
    _check_names(path, tasks)
    named = {f"tasks.{name}": entry for name, entry in tasks.items()}
    entries = {name: _read_entry(path, name, entry, content) for name, entry in (given | named).items()}
    per_seed = found.get("adapt_per_seed", False)
    if not isinstance(per_seed, bool):
        raise InputError(f"{path}: adapt_per_seed must be true or false, got {per_seed!r}")
    return Plan(found["model"], _check_seeds(found.get("seeds", [1, 2, 3])), _add_typed(entries, typed), per_seed)


def check_plan(plan: Plan) -> dict[str, Any]:
    """Parses the options of all entries; returns the config of each by name."""
    found = {}
    for name, entry in plan.entries.items():
        check_rest(entry.options, "adapt")
        for option, _ in split_args(entry.options):
            if option in OWN:
                raise InputError(f"{name}: --{option} can't be given: adapt chooses it for each run")
        try:
            options = check_options(entry.list_args(plan.model), {})
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        if (options.auto_class == MASKED) == (entry in plan.tasks):
            kind = "a task with labels" if entry in plan.tasks else "MaskedLM"
            raise InputError(f"{name} needs a config of {kind}, not of an {options.auto_class}")
        found[name] = options.config
    if adds_words(found):
        for name, part in ((entry.name, name) for entry in plan.texts for name in PARTS):
            if found[name]["data"]["init_args"].get(part):
                raise InputError(
                    f"{name}: new words change the tokenizer, so models are compared on whole texts alone: leave out "
                    f"data.{part}"
                )
    return found


def adds_words(configs: Mapping[str, Any]) -> bool:
    """Whether the adaptation extends the tokenizer, by the result of `check_plan`."""
    return any(configs["adaptation"]["data"].get("init_args", {}).get(name) for name in NEW_WORDS)


def _check_keys(path: Path, name: str, content: Any, keys: Sequence[str]) -> None:
    for key in content:
        if key not in keys:
            place = f"{path}, line {content.lines[key]}: {name and f'{name}: '}"
            raise InputError(f"{place}there is no {key} (but {', '.join(keys)}){suggest(str(key), keys)}")


def _check_names(path: Path, tasks: Any) -> None:
    for name in tasks:
        if not re.fullmatch(r"[\w-]+", str(name)):  # it becomes a folder
            raise InputError(f"{path}, line {tasks.lines[name]}: name a task by letters, digits, _ and -, not {name!r}")


def _read_entry(path: Path, name: str, entry: Any, content: Any) -> Entry:
    is_task = name.startswith("tasks.")
    if not isinstance(entry, dict) or "config" not in entry:
        raise InputError(f"{path}: {name}: give config, a config of fit, and perhaps options, got {entry!r:.60}")
    _check_keys(path, name, entry, (*ENTRY_KEYS, *(["old"] if is_task else [])))
    configs, options = entry["config"], entry.get("options") or {}
    configs = [configs] if isinstance(configs, str) else configs
    if not isinstance(configs, list) or not isinstance(options, dict):
        raise InputError(f"{path}: {name}: config must be one or a list, and options a mapping such as model.lr: 1e-4")
    split = entry.get("split", "test" if is_task else "val")
    if split not in ("val", "test"):
        raise InputError(f"{path}: {name}: split must be val or test, got {split!r}")
    if not isinstance(is_old := entry.get("old", False), bool):
        raise InputError(f"{path}: {name}: old must be true or false, got {is_old!r}")
    for config in configs:
        find_config(str(config))
    return Entry(name, tuple(map(str, configs)), tuple(type_options(options)), split, is_old)


def _check_seeds(seeds: Any) -> tuple[int, ...]:
    if not isinstance(seeds, list) or not seeds or any(type(seed) is not int for seed in seeds):
        raise InputError(f"seeds must be a list of numbers, {SEEDS}, got {seeds!r:.60}")
    check_seeds(seeds, "seeds")
    return tuple(seeds)


def _add_typed(entries: Mapping[str, Entry], typed: Sequence[str]) -> dict[str, Entry]:
    """Adds what is typed to the options of an entry, or of all."""
    found = dict(entries)
    for option, values in split_args(typed):
        if not option and not values:
            continue
        owner = next((name for name in entries if option.startswith(f"{name}.")), None)
        if owner is None and option.startswith(("tasks.", "adaptation.", "control.", "general.")):
            names = ", ".join(entries)
            raise InputError(f"--{option}: there is no such part in the config, only {names}{suggest(option, entries)}")
        for name in entries if owner is None else [owner]:
            own = f"--{option.removeprefix(f'{name}.')}"
            found[name] = replace(found[name], options=(*found[name].options, own, *values))
    return found
