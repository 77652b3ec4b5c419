"""Writes the model card of a checkpoint."""

from pathlib import Path
from typing import Any

PIPELINE_TAGS = {"AutoModelForMaskedLM": "fill-mask", "AutoModelForTokenClassification": "token-classification"}


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
