"""Compares the options of a run with those of a resumed one."""

from pathlib import Path
from typing import Any

import yaml

from lit_mlm.errors import InputError
from lit_mlm.options import name_class

FREE_OPTIONS = (
    *("config", "run_dir", "ckpt_path", "allow_changes", "save_every_n_steps", "save_every_n_minutes"),
    *("trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.strategy", "trainer.sync_batchnorm"),
    *("trainer.accumulate_grad_batches", "trainer.logger", "trainer.default_root_dir", "trainer.profiler"),
    *("trainer.enable_progress_bar", "trainer.enable_model_summary", "trainer.log_every_n_steps", "trainer.barebones"),
    *("trainer.num_sanity_val_steps", "trainer.benchmark", "trainer.deterministic", "trainer.use_distributed_sampler"),
    *("model.init_args.attn_implementation", "model.init_args.gradient_checkpointing"),
    *("data.init_args.batch_size", "data.init_args.eval_batch_size", "data.init_args.num_workers"),
    *("data.init_args.num_proc", "data.init_args.cache_dir", "data.init_args.data_dir"),
)
"""The options that may change when a run is resumed: where and how it runs. The global batch is compared elsewhere."""


def find_differences(folder: Path, config: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Returns the options that differ between a run's saved config and another: name, saved and new value."""
    saved = _flatten(yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")))
    ours = _flatten(config)
    names = [name for name in saved | ours if not name.startswith(FREE_OPTIONS)]
    return [(name, saved.get(name), ours.get(name)) for name in names if saved.get(name) != ours.get(name)]


def refuse_differences(folder: Path, config: dict[str, Any]) -> None:
    """Refuses to resume a run with another config."""
    found = find_differences(folder, config)
    if found:
        rows = [f"{name.replace('.init_args', '')} {old!r}, not {new!r}" for name, old, new in found[:3]]
        more = f", and {len(found) - 3} more" if len(found) > 3 else ""
        advice = "resume from its next epoch with --allow_changes true"
        if any(name.startswith("model") for name, _, _ in found):
            advice = "start a new run from its hf folder as model.model"
        raise InputError(
            f"--run_dir {folder} holds a run with another config: {'; '.join(rows)}{more}; give another folder or the "
            f"run's own values, or {advice}"
        )


def refuse_changes(section: str, options: dict[str, Any], saved: dict[str, Any]) -> None:
    """Refuses options that a checkpoint would silently override; options that it lacks are not compared."""
    for name, value in options.items():
        # YAML and checkpoints turn tuples into lists.
        ours, theirs = (list(v) if isinstance(v, tuple) else v for v in (value, saved.get(name, value)))
        if ours != theirs:
            raise InputError(
                f"{section}.{name} is {ours!r}, but the checkpoint was made with {theirs!r}, which would override "
                "it; give the checkpoint's value, or start from its hf folder instead"
            )


def _flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Flattens a config to full option names; classes of lit-mlm are compared without their module."""
    if prefix.endswith("class_path"):
        return {prefix: name_class(str(config))}
    if not isinstance(config, dict) or not config:
        return {prefix: config}
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat
