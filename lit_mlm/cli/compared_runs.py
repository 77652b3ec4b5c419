"""The runs of `python -m lit_mlm compare`: reads their units, and refuses those that can't be compared."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lit_mlm.errors import InputError, suggest
from lit_mlm.metrics.entities import group_sentences
from lit_mlm.metrics.paired import PairedMetric, list_metrics
from lit_mlm.runs.units import read_units
from lit_mlm.text.arrays import FloatArray

ACROSS_TOKENIZERS = "bits_per_byte"
"""The only metric that nets with different tokenizers share."""

ADVICE = "options of {} that are given to compare hold for all runs"


class ComparedRun(NamedTuple):
    """A run and the sums of its units.

    Attributes:
        folder: of the run.
        about: what the sums are of, as `lit_mlm.callbacks.save_results` writes it.
        kind: of the units: document, block, sentence or text.
        units: their numbers, shape (U,).
        sums: by name, shape (U,) each.
    """

    folder: Path
    about: dict[str, Any]
    kind: str
    units: Any
    sums: dict[str, FloatArray]


def read_run(folder: Path, path: Path) -> ComparedRun:
    """Reads the units of a run; sentences are grouped by document where documents are known and several."""
    about, arrays = read_units(path)
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise InputError(
                f"{path} has {name} that are not finite, as of a net that has diverged: leave this run out"
            )
    kind, units, documents = str(about.get("kind")), arrays.pop("unit"), arrays.pop("document", None)
    names, table = list(arrays), np.stack(list(arrays.values()), axis=1)
    if documents is not None:
        kind, table = group_sentences(np.concatenate([documents[:, None], table], axis=1))
        units = np.unique(documents) if kind == "document" else units
    return ComparedRun(folder, about, kind, units, dict(zip(names, table.T.astype(np.float64), strict=True)))


def choose_metrics(runs: Sequence[ComparedRun], asked: Sequence[str] | None, command: str) -> dict[str, PairedMetric]:
    """Returns the metrics to compare, by name; refuses runs that were not scored on the same text, masks and labels.

    Args:
        runs: of all sides.
        asked: names that are asked for; by default that of the task: F1, accuracy of plain tags or texts, micro F1 of
            several labels, perplexity, or bits per byte of nets with different tokenizers.
        command: that evaluates the runs, for messages.
    """
    first, *others = runs
    for other in others:
        tasks = [_name_task(run) for run in (first, other)]
        if tasks[0] != tasks[1]:
            raise InputError(f"{other.folder} scores {tasks[1]}, but {first.folder} {tasks[0]}: compare runs of a task")
    has_text = first.about.get("text_fingerprint") is not None
    keys = ["text_fingerprint" if has_text else "data_fingerprint", "labels"]
    one_tokenizer = len({run.about.get("tokenizer") for run in runs}) == 1
    if "nats" in first.sums:
        has_masks = first.about.get("mask_fingerprint") is not None  # of all that is scored, blocks and masks
        same = ["mask_fingerprint" if has_masks else "data_fingerprint"]
        keys += same if one_tokenizer else ["masking", "mask_rates"]
    if first.about.get(keys[0]) is None:
        raise InputError(f"{first.folder} can't be compared: its data module gives no data_fingerprint")
    for key in keys:
        for other in others:
            _require_same(key, first, other, command)
    metrics = list_metrics([column for column in first.sums if all(column in run.sums for run in runs)])
    is_across = "nats" in first.sums and not one_tokenizer
    if is_across:
        _require_whole_text(runs)
        metrics = {ACROSS_TOKENIZERS: metrics[ACROSS_TOKENIZERS]}
    for other in others:
        is_same = other.kind == first.kind and np.array_equal(other.units, first.units)
        if not is_same or not (is_across or np.array_equal(_get_sizes(other), _get_sizes(first))):
            raise InputError(f"{other.folder} and {first.folder} were scored on different units: evaluate them again")
    if len(first.units) < 2:
        raise InputError(f"{first.folder} was scored on one {first.kind} only: a comparison needs several")
    return _choose(asked, metrics, is_across)


def _name_task(run: ComparedRun) -> str:
    """What a run scores."""
    return "labelled texts" if "texts" in run.sums else "masked tokens" if "nats" in run.sums else "tagged words"


def _require_same(key: str, first: ComparedRun, other: ComparedRun, command: str) -> None:
    values = [run.about.get(key) for run in (other, first)]
    if values[0] != values[1]:
        short = [str(value)[:12] if key.endswith("fingerprint") else f"{value!s:.80}" for value in values]
        raise InputError(
            f"{other.folder} can't be compared with {first.folder}: its {key} is {short[0]}, not {short[1]}; "
            f"{ADVICE.format(command)}"
        )


def _require_whole_text(runs: Sequence[ComparedRun]) -> None:
    """Refuses nets with different tokenizers whose blocks don't hold the same text."""
    first = runs[0]
    for run in runs:
        if "bytes" not in run.sums:
            raise InputError(
                f"the tokenizers of the runs differ, so only {ACROSS_TOKENIZERS} can be compared, but the bytes of "
                f"each {run.kind} of {run.folder} are unknown: it needs several documents and a fast tokenizer"
            )
        if not np.array_equal(run.sums["bytes"], first.sums["bytes"]):
            raise InputError(
                f"the tokenizers of the runs differ, and the blocks of {run.folder} hold other text than those of "
                f"{first.folder}: leave out data.num_val_blocks, data.drop_tail and data.truncate"
            )


def _get_sizes(run: ComparedRun) -> FloatArray:
    """What must be the same in all runs: scored tokens, or gold entities, words, or texts; shape (U,)."""
    return next(run.sums[name] for name in ("scored", "gold", "words", "texts") if name in run.sums)


def _choose(
    asked: Sequence[str] | None, metrics: Mapping[str, PairedMetric], is_across: bool
) -> dict[str, PairedMetric]:
    for name in asked or ():
        if name not in metrics:
            reason = "the tokenizers of the runs differ, so" if is_across else "of these runs"
            raise InputError(
                f"--metrics {name}: {reason} only {', '.join(metrics)} can be compared{suggest(name, [*metrics])}"
            )
    return {name: metrics[name] for name in asked or [next(iter(metrics))]}
