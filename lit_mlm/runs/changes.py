"""Compares the options of a run with those of a resumed one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from lit_mlm.errors import InputError, shorten
from lit_mlm.options import name_class

FREE_OPTIONS = (
    *("config", "run_dir", "ckpt_path", "allow_changes", "save_every_n_steps", "save_every_n_minutes"),
    *("trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.strategy", "trainer.sync_batchnorm"),
    *("trainer.accumulate_grad_batches", "trainer.logger", "trainer.default_root_dir", "trainer.profiler"),
    *("trainer.enable_progress_bar", "trainer.enable_model_summary", "trainer.log_every_n_steps", "trainer.barebones"),
    *("trainer.num_sanity_val_steps", "trainer.benchmark", "trainer.deterministic", "trainer.use_distributed_sampler"),
    *("model.attn_implementation", "model.gradient_checkpointing", "model.allow_pickle", "model.trust_remote_code"),
    "model.compile",
    *("data.batch_size", "data.eval_batch_size", "data.pack_batches", "data.num_workers", "data.num_proc"),
    *("data.cache_dir", "data.data_dir"),
)
"""The options that may change when a run is resumed: where and how it runs. The global batch is compared elsewhere."""

SCHEDULE_OPTIONS = tuple(
    f"model.{name}"
    for name in ("lr", "weight_decay", "schedule", "num_warmup_steps", "warmup_fraction", "decay_fraction")
)
"""The options of the model that may change when a run is resumed with ``--allow_changes true``."""

Difference = tuple[str, Any, Any]
"""The full name of an option, the run's value and the new one."""


def compare(saved: dict[str, Any], now: dict[str, Any], free: Sequence[str] = FREE_OPTIONS) -> list[Difference]:
    """Returns the options that differ between two nested configs, but for free ones and parts of these."""
    old, new = _flatten(saved), _flatten(now)
    prefixes = tuple(f"{name}." for name in free)
    names = [name for name in old | new if not f"{name}.".startswith(prefixes)]
    return [(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)]


def find_differences(folder: Path, config: dict[str, Any]) -> list[Difference]:
    """Compares a run's saved config with another."""
    return compare(read_saved(folder / "config.yaml"), config)


def read_saved(path: Path) -> dict[str, Any]:
    """Reads the config that a run has saved."""
    try:
        saved = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(saved, dict):
            raise ValueError(f"it has {saved!r:.60} in place of options")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        reason = shorten(error) if mark is None else f"line {mark.line + 1}: {getattr(error, 'problem', error)}"
        raise InputError(f"{path} is damaged: {reason}; restore it, or give another --run_dir") from error
    return saved


def refuse_differences(folder: Path, config: dict[str, Any]) -> None:
    """Refuses to resume a run with another config."""
    found = find_differences(folder, config)
    if found:
        rows = [f"{name} {old!r}, not {new!r}" for name, old, new in found[:3]]
        more = f", and {len(found) - 3} more" if len(found) > 3 else ""
        is_order = any(name not in SCHEDULE_OPTIONS for name, _, _ in found)
        advice = f"resume {'from its next epoch ' if is_order else ''}with --allow_changes true"
        if any(name.startswith("model") and name not in SCHEDULE_OPTIONS for name, _, _ in found):
            advice = "start a new run from its hf folder as model.model"
        raise InputError(
            f"--run_dir {folder} holds a run with another config: {'; '.join(rows)}{more}; give another folder or the "
            f"run's own values, or {advice}"
        )


def refuse_changes(
    section: str, options: dict[str, Any], saved: dict[str, Any], allow_changes: bool = False
) -> list[Difference]:
    """Refuses options that a checkpoint would silently override; options that it lacks are not compared.

    Returns:
        The differences in `SCHEDULE_OPTIONS`, if changes are allowed.
    """
    kept = {name: saved.get(name, value) for name, value in options.items()}
    found = compare({section: kept}, {section: options})
    for name, theirs, ours in found:
        if not (allow_changes and name in SCHEDULE_OPTIONS):
            advice = "add --allow_changes true" if name in SCHEDULE_OPTIONS else "start from its hf folder instead"
            raise InputError(
                f"{name} is {ours!r}, but the checkpoint was made with {theirs!r}, which would override it; give the "
                f"checkpoint's value, or {advice}"
            )
    return found


def _flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Flattens a config to full option names; classes of lit-mlm are compared without their module."""
    if prefix.endswith("class_path"):
        return {prefix: name_class(str(config))}
    if not isinstance(config, dict) or not config:
        return {prefix: list(config) if isinstance(config, tuple) else config}  # as YAML and checkpoints have them
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = prefix if key == "init_args" else f"{prefix}.{key}" if prefix else str(key)
        flat |= _flatten(value, name)
    return flat
