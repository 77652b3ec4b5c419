"""The metrics of a model card: by split, rounded, with their meaning and signature."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lit_mlm.metrics.intervals import format_estimate
from lit_mlm.text.markdown import escape, format_table, quote_code

MEANINGS = {
    "perplexity": "exp of the loss, over all scored tokens of the split",
    "loss": "nats per scored token, or per text",
    "perplexity_batch_mean": "exp of the mean of the batches' losses, to compare with published numbers",
    "top1_accuracy": "share of scored tokens that the model ranks first",
    "bits_per_byte": "loss per byte of text: comparable between tokenizers",
    "f1": "of entities, as conlleval counts them",
    "precision": "of entities, as conlleval counts them",
    "recall": "of entities, as conlleval counts them",
    "accuracy": "share of words, or of texts, with the right label",
    "exact_match": "share of texts with exactly the right labels",
    "f1_micro": "of all labels together",
    "f1_macro": "mean of the labels or types",
    "calibration_error": "mean distance of probability and accuracy in 15 bins (expected calibration error)",
    "f1_strict": "of entities under the strict scheme",
    "f1_pieces": "over subword tokens of truncated sentences, to compare with published numbers",
}

COUNTS = {
    "num_scored_tokens": "tokens",
    "num_blocks": "blocks",
    "num_texts": "texts",
    "num_sentences": "sentences",
    "num_words": "words",
    "num_gold_entities": "entities",
}

SPLIT_NAMES = {"val": "Validation", "test": "Test"}


@dataclass(frozen=True)
class Split:
    """The metrics of an evaluated text.

    Attributes:
        key: prefix of its metrics, such as ``val``, or ``val/news`` of a named validation set.
        figures: by name; those of a class have a slash (``f1/PER``).
        start: the same before training, if known; empty if those were of other text.
    """

    key: str
    figures: Mapping[str, Any]
    start: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of the split in words."""
        split, _, own = self.key.partition("/")
        return f"{SPLIT_NAMES[split]} split" if not own else f"{SPLIT_NAMES[split]} set {escape(own)}"

    def list_figures(self, headline: Iterable[str]) -> list[str]:
        """The names of the metrics to show: those of the task's headline, or else all."""
        found = [name for name, value in self.figures.items() if isinstance(value, float) and "/" not in name]
        shown = [name for name in headline if name in self.figures] or found
        return [name for name in shown if not name.endswith(("_low", "_high"))]

    def format(self, name: str) -> tuple[str, str]:
        """A metric and its interval, rounded."""
        return format_estimate(*(self.figures.get(f"{name}{end}") for end in ("", "_low", "_high")))


def find_splits(metrics: Mapping[str, Any]) -> list[Split]:
    """Groups the content of ``metrics.json`` by evaluated text, test text first."""
    found = []
    for split in ("test", "val"):
        sets = _find_sets(metrics, split)
        for key in (split, *sets):
            others = [other for other in sets if other != key]
            figures, start = (_select(metrics, begin, key, others) for begin in ("", "start/"))
            texts = {part["data_fingerprint"] for part in (figures, start) if "data_fingerprint" in part}
            found += [Split(key, figures, start if len(texts) < 2 else {})] if figures else []
    return found


def _find_sets(metrics: Mapping[str, Any], split: str) -> list[str]:
    """The prefixes of named sets, which have a loss of their own; ``val/f1/PER`` is the F1 of a class."""
    names = [key.split("/")[1] for key in metrics if key.startswith(f"{split}/") and key.count("/") == 2]
    return [
        f"{split}/{name}"
        for name in dict.fromkeys(names)
        if f"{split}/{name}" not in metrics and isinstance(metrics.get(f"{split}/{name}/loss", 0), float | None)
    ]


def _select(metrics: Mapping[str, Any], begin: str, key: str, others: Iterable[str]) -> dict[str, Any]:
    """The metrics below a prefix but not below others."""
    prefix, excluded = f"{begin}{key}/", tuple(f"{begin}{other}/" for other in others)
    found = {name: value for name, value in metrics.items() if name.startswith(prefix)}
    return {name.removeprefix(prefix): value for name, value in found.items() if not name.startswith(excluded)}


def format_figures(split: Split, headline: Iterable[str], signature: str) -> list[str]:
    """Formats the table of a split, what was scored, and the signature."""
    names = split.list_figures(headline)
    estimates = {name: split.format(name) for name in names}
    has_interval = any(interval for _, interval in estimates.values())
    has_start = any(name in split.start for name in names)
    header = ["metric", "value", *["95 % interval"] * has_interval, *["before training"] * has_start, "what it is"]
    rows = [
        [
            *(quote_code(name), value),
            *[interval] * has_interval,
            *[format_estimate(split.start[name])[0] if name in split.start else ""] * has_start,
            MEANINGS.get(name, ""),
        ]
        for name, (value, interval) in estimates.items()
    ]
    counts = [f"{split.figures[key]:,} {words}" for key, words in COUNTS.items() if key in split.figures]
    table = format_table([header, *rows], "<" + ">" * (len(header) - 2) + "<")
    scored = f"Scored: {', '.join(counts)}. " if counts else ""
    note = "" if has_interval or "mask_fingerprint" not in split.figures else "One draw of the masks has no interval. "
    return [*table, "", f"{scored}{note}Signature: {quote_code(signature)}"]


def format_types(split: Split) -> list[str]:
    """Formats the table of entity types, tags or labels; empty if there are none."""
    kinds = [name.removeprefix("f1/") for name in split.figures if name.startswith("f1/")]
    scores = ("precision", "recall", "f1")
    counts = {kind: split.figures.get(f"num_gold/{kind}", split.figures.get(f"support/{kind}", 0)) for kind in kinds}
    rows = [
        [escape(kind), *(split.format(f"{name}/{kind}")[0] for name in scores), f"{counts[kind]:,}"] for kind in kinds
    ]
    return format_table([[name_kind(split), "precision", "recall", "F1", "number"], *rows], "<>>>>") if rows else []


def name_kind(split: Split) -> str:
    """What the classes of a split are: labels of texts, or types of entities and words."""
    return "label" if "num_texts" in split.figures else "type"
