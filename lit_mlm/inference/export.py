"""Exports a checkpoint as a folder that `transformers` loads."""

import sys
from pathlib import Path
from typing import Any

import transformers

from lit_mlm.nets import pretrained
from lit_mlm.nets.loading import quiet
from lit_mlm.runs.atomic import atomic_folder
from lit_mlm.runs.checkpoints import RECORD, read_checkpoint

PIPELINE_TAGS = {"AutoModelForMaskedLM": "fill-mask", "AutoModelForTokenClassification": "token-classification"}


def export_checkpoint(checkpoint_path: str | Path, folder: Path) -> None:
    """Writes net, tokenizer and model card of a checkpoint, and replaces `folder` once they are complete."""
    checkpoint = read_checkpoint(checkpoint_path)
    record = checkpoint[RECORD]
    net = pretrained.build_net(getattr(transformers, record["auto_class"]), pretrained.restore_config(record["config"]))
    state = checkpoint["state_dict"]
    weights = {name.removeprefix("net."): weight for name, weight in state.items() if name.startswith("net.")}
    net.load_state_dict(weights)
    with atomic_folder(folder) as unfinished:
        with quiet():
            net.save_pretrained(unfinished)
        if record["tokenizer"]:
            tokenizer = pretrained.unpack_tokenizer(record["tokenizer"])
            # A newly trained tokenizer has no limit, and pipelines need one to truncate.
            tokenizer.model_max_length = min(tokenizer.model_max_length, pretrained.get_max_length(net) or sys.maxsize)
            tokenizer.save_pretrained(unfinished)
        card = unfinished / "README.md"
        card.write_text(write_model_card(record, checkpoint), encoding="utf-8")
        for path in unfinished.glob("*.safetensors*"):
            path.chmod(card.stat().st_mode)  # safetensors makes them private


def write_model_card(record: dict[str, Any], checkpoint: dict[str, Any]) -> str:
    """Writes a model card in Markdown, with the metrics of the last validation."""
    options = record["options"]
    origin = f"`{options['model']}`" if options["model"] else f"a {record['config']['model_type']} net from scratch"
    rows = [f"| {name} | {value} |" for name, value in record["results"].get("val", {}).items()]
    metadata = ["library_name: transformers", "tags: [lit-mlm]"]
    if record["auto_class"] in PIPELINE_TAGS:
        metadata.append(f"pipeline_tag: {PIPELINE_TAGS[record['auto_class']]}")
    if options["model"] and not Path(options["model"]).exists():
        metadata.append(f"base_model: {options['model']}")
    return "\n".join(
        [
            *("---", *metadata, "---", ""),
            f"Trained with lit-mlm {record['version']} from {origin} to step {checkpoint['global_step']}",
            f"(learning rate {options['lr']}, weight decay {options['weight_decay']}, {options['schedule']} schedule).",
            *("", "| validation | |", "|---|---|", *rows, ""),
        ]
    )
