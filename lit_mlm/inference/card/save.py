"""Writes the model card of a checkpoint, the picture of its curve, and its results."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lit_mlm.errors import InputError
from lit_mlm.inference.card.curve import save_curve
from lit_mlm.inference.card.facts import Facts
from lit_mlm.inference.card.results import save_results
from lit_mlm.inference.card.samples import make_samples
from lit_mlm.inference.card.write import MODEL, write_card
from lit_mlm.nets import pretrained
from lit_mlm.runs.atomic import read_json
from lit_mlm.runs.changes import read_saved
from lit_mlm.runs.checkpoints import RECORD, read_checkpoint
from lit_mlm.runs.redaction import redact

CARD = "README.md"

TRAINING = "RecordTraining"
"""The key of the record of the training among the states of a checkpoint's callbacks."""


def save_card(
    path: Path,
    checkpoint: Mapping[str, Any],
    net: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | None,
    folder: Path,
    metrics: Mapping[str, Any] | None = None,
    licence: str | None = None,
) -> None:
    """Writes the card of a checkpoint from its record and the files of its run.

    Args:
        path: of the checkpoint; its run's folder is that above ``checkpoints``.
        checkpoint: its content.
        net: with its weights.
        tokenizer: of the net, if there is one.
        folder: to write to.
        metrics: of the checkpoint, as in ``metrics.json``; by default those of its run.
        licence: of the model, by its name on the Hub.
    """
    record, step, config = checkpoint[RECORD], checkpoint["global_step"], find_run(path) / "config.yaml"
    training = read_training(path, checkpoint)
    probes = [probe for corpus in training.get("corpora", []) for probe in corpus["probes"]]
    keys, history = [f"val/{name}" for name in training.get("headline", [])], training.get("history", [])
    facts = Facts(
        record=record,
        step=step,
        metrics=read_metrics(path, checkpoint) if metrics is None else metrics,
        training=training,
        config=redact(read_saved(config)) if config.is_file() else {},
        num_parameters=pretrained.count_parameters(net),
        max_length=pretrained.get_max_length(net),
        mask_token=getattr(tokenizer, "mask_token", None),
        samples=[] if tokenizer is None else make_samples(record["auto_class"], net, tokenizer, probes),
        has_picture=len(history) > 1 and save_curve(history, keys, step, folder),
        licence=licence,
    )
    save_results(facts, folder)
    (folder / CARD).write_text(write_card(facts), encoding="utf-8")


def name_model(folder: Path, repo_id: str) -> None:
    """Names the repository on the Hub in the examples of a card, once it is known."""
    card = folder / CARD
    card.write_text(card.read_text(encoding="utf-8").replace(MODEL, repo_id), encoding="utf-8")


def find_run(path: Path) -> Path:
    """The folder of the run of a checkpoint."""
    return path.resolve().parent.parent


def read_metrics(path: Path, checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the metrics of a checkpoint: its run's, if they are of the same step, or else those in its record.

    Args:
        path: of the checkpoint.
        checkpoint: its content.
    """
    found = read_json(find_run(path) / "metrics.json")
    if found.get("step") == checkpoint["global_step"]:
        return found
    results = checkpoint[RECORD]["results"]
    own = {f"{prefix}/{name}": value for prefix, part in results.items() for name, value in part.items()}
    return own | {key: found[key] for key in ("versions", "data_fingerprint") if key in found}


def read_training(path: Path, checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the record of the training: of the last checkpoint beside the best, with the whole curve, or its own."""
    own: dict[str, Any] = checkpoint.get("callbacks", {}).get(TRAINING, {})
    last = path.with_name("last.ckpt")
    if path.name != "best.ckpt" or not last.is_file():
        return own
    try:
        return dict(read_checkpoint(last).get("callbacks", {}).get(TRAINING, own))
    except InputError:  # damaged; its own ends earlier, and is as good
        return own
