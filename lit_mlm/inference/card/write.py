"""Writes a model card: metadata of the Hub, and Markdown."""

from collections.abc import Iterable, Iterator

import yaml
from huggingface_hub import ModelCardData

from lit_mlm.inference.card.facts import Facts
from lit_mlm.inference.card.figures import format_figures, format_types, name_kind
from lit_mlm.inference.card.training import (
    HUB,
    describe_curve,
    describe_data,
    describe_hardware,
    describe_options,
    describe_versions,
)
from lit_mlm.text.markdown import escape, fence_code, quote_code

MODEL = "path/to/this/folder"
"""Stands for the model in the examples of a card, until `name_model` is called."""

EXAMPLES = {
    "fill-mask": "This is a [MASK].",
    "token-classification": "My name is Sylvain and I live in Brooklyn.",
    "text-classification": "This is a great film.",
}
"""Texts for the examples of use, where the corpora have none."""

HUB_METRICS = ("perplexity", "f1", "precision", "recall", "accuracy")
"""Metrics that are known by these names on the Hub."""

SMALL = {
    "num_scored_tokens": (10_000, "scored tokens"),
    "num_gold_entities": (1_000, "entities"),
    "num_texts": (1_000, "texts"),
}
"""A metric of fewer is said to be of a small sample."""


def write_card(facts: Facts) -> str:
    """Writes the model card of an exported model."""
    sections = {
        "Use": _write_use(facts),
        "Samples": ["Fixed sentences, and what the model predicts with which probability.", "", *facts.samples]
        if facts.samples
        else [],
        "Evaluation": _write_evaluation(facts),
        "Training": _write_training(facts),
        "Limits": [f"- {limit}" for limit in _list_limits(facts)],
        "Citation": _write_citations(facts),
    }
    lines = ["---", make_metadata(facts).to_yaml(), "---", "", f"# {_write_title(facts)}", "", _write_summary(facts)]
    for title, section in sections.items():
        lines += ["", f"## {title}", "", *section] if section else []
    return "\n".join(lines) + "\n"


def make_metadata(facts: Facts) -> ModelCardData:
    """Makes the metadata; what is unknown is left out. No licence follows from the data: it is the author's choice."""
    hub_ids = [corpus["hub_id"] for corpus in facts.corpora if corpus["hub_id"]]
    languages = {language for corpus in facts.corpora for language in corpus["languages"]}
    shown = {name for split in facts.splits for name in split.list_figures(facts.headline)}
    return ModelCardData(
        library_name="transformers",
        pipeline_tag=facts.task.pipeline if facts.task else None,
        base_model=facts.origin["hub_id"],
        datasets=hub_ids or None,
        language=sorted(languages) or None,
        license=facts.licence,
        tags=["lit-mlm"],
        metrics=[name for name in HUB_METRICS if name in shown] or None,
    )


def _write_title(facts: Facts) -> str:
    origin = facts.origin["name"]
    start = f"{escape(facts.record['config']['model_type'])} from scratch" if origin is None else escape(origin)
    names = " and ".join(escape(corpus["name"]) for corpus in facts.corpora)
    task = facts.task.name if facts.task else "a task of its own"
    return f"{start} for {task}" + (f" on {names}" if len(facts.corpora) in (1, 2) else "")


def _write_summary(facts: Facts) -> str:
    record, origin = facts.record, facts.origin
    limit = "texts of any length" if facts.max_length is None else f"texts of up to {facts.max_length:,} tokens"
    size = f"{facts.num_parameters / 1e6:,.1f} M parameters; {limit}"
    made = "from random weights" if origin["name"] is None else f"from {_name_origin(facts)}"
    epochs = f", in epoch {record['epoch'] + 1}" if record.get("epoch", -1) >= 0 else ""
    monitor = facts.training.get("monitor")
    end = f" The checkpoint with the best {quote_code(monitor)} was exported." if monitor else ""
    text = f"{size}. Trained by lit-mlm {escape(record['version'])} {made}, to step {facts.step:,}{epochs}.{end}"
    if facts.best is None:
        return text
    split, name = facts.best
    value, interval = split.format(name)
    interval = interval and f" (95 % interval {interval})"
    place = f"on the {split.name[0].lower()}{split.name[1:]}"
    return f"{text}\n\n**{quote_code(name)} {value}**{interval} {place}; see [Evaluation](#evaluation)."


def _name_origin(facts: Facts) -> str:
    origin = facts.origin
    name, hub_id = str(origin["name"]), origin["hub_id"]
    link = f"[{escape(hub_id)}]({HUB}/{hub_id})" if hub_id else ""
    if origin["is_local"]:
        return f"the local model {quote_code(name)}" + (f", itself trained from {link}" if link else "")
    return link + (f" at revision {quote_code(origin['revision'])}" if origin["revision"] else "")


def _write_use(facts: Facts) -> list[str]:
    if facts.task is None:
        auto_class = facts.record["auto_class"]
        code = f'from transformers import {auto_class}\n\nnet = {auto_class}.from_pretrained("{MODEL}")'
        return fence_code(code, "python")
    mask = facts.mask_token or "[MASK]"
    probes = [text for corpus in facts.corpora for text in corpus["probes"]]
    text = (probes[-1] if probes else EXAMPLES[facts.task.pipeline]).replace("[MASK]", mask)
    text = text.replace('"', "'")
    code = (
        "from transformers import pipeline\n\n"
        f'model = pipeline("{facts.task.pipeline}", model="{MODEL}"{facts.task.arguments})\n'
        f'print(model("{text}"))'
    )
    command = f'python -m lit_mlm {facts.task.command} --model {MODEL} "{text}"'
    why = {
        "fill": "or on the command line, with [lit-mlm](https://github.com/lit-mlm/lit-mlm):",
        "tag": "or, with the windows, words and decoding of the evaluation below, by "
        "[lit-mlm](https://github.com/lit-mlm/lit-mlm):",
        "classify": "or, with long texts cut as in the evaluation below, by "
        "[lit-mlm](https://github.com/lit-mlm/lit-mlm):",
    }[facts.task.command]
    return [*fence_code(code, "python"), "", why, "", *fence_code(command, "bash")]


def _write_evaluation(facts: Facts) -> list[str]:
    lines: list[str] = []
    for split in facts.splits:
        if split.list_figures(facts.headline):
            table = format_figures(split, facts.headline, facts.sign(split))
            lines += [f"### {split.name}", "", *table, ""]
    types = format_types(facts.best[0]) if facts.best else []
    if facts.best and types:
        lines += [f"### By {name_kind(facts.best[0])}: {facts.best[0].name}", "", *types, ""]
    return lines[:-1]


def _write_training(facts: Facts) -> list[str]:
    curve = describe_curve(facts)
    lines = [*describe_data(facts), f"- Optimisation: {describe_options(facts)}"]
    lines += [*describe_hardware(facts.training.get("sessions", [])), f"- Versions: {describe_versions(facts)}"]
    lines += [*([""] if curve else []), *curve]
    if facts.config:
        config = yaml.safe_dump(dict(facts.config), sort_keys=False, allow_unicode=True)
        lines += ["", "<details><summary>Config of lit-mlm</summary>", "", *fence_code(config, "yaml"), ""]
        lines += ["</details>"]
    return lines


def _list_limits(facts: Facts) -> Iterator[str]:
    names = ", ".join(escape(corpus["name"]) for corpus in facts.corpora)
    if names:
        yield f"Trained on {names} only. Other kinds of text, and other languages, were not evaluated."
    figures = facts.best[0].figures if facts.best else {}
    if facts.best and facts.best[0].key.startswith("val") and "monitor" in facts.training:
        yield "The checkpoint was chosen on the validation text, so its metrics are somewhat optimistic."
    yield from (
        f"The evaluation is of a small sample: {figures[key]:,} {words}."
        for key, (number, words) in SMALL.items()
        if figures.get(key, number) < number
    )
    shared = figures.get("num_blocks_shared_with_train", 0)
    if shared:
        yield f"{shared:,} evaluation blocks share a document with training text, so their metrics are too good."
    yield "No audit of bias, of toxic output, or of personal data in the text was made."


def _write_citations(facts: Facts) -> list[str]:
    citations: Iterable[str | None] = (corpus["citation"] for corpus in facts.corpora)
    return [f"- {escape(citation)}" for citation in citations if citation]
