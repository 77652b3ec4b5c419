"""What a model card is written from, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lit_mlm.inference.card.figures import Split, find_splits
from lit_mlm.inference.card.origin import Origin, describe_origin
from lit_mlm.metrics.signature import make_signature


@dataclass(frozen=True)
class Task:
    """How a card names a task and shows its use: by a pipeline, with further arguments, and by a command of lit-mlm."""

    pipeline: str
    name: str
    command: str
    arguments: str = ""


TASKS = {
    "AutoModelForMaskedLM": Task("fill-mask", "masked language modelling", "fill"),
    "AutoModelForTokenClassification": Task(
        "token-classification", "token classification", "tag", ', aggregation_strategy="simple"'
    ),
    "AutoModelForSequenceClassification": Task(
        "text-classification", "text classification", "classify", ", top_k=None"
    ),
}


@dataclass(frozen=True)
class Facts:
    """What is known of an exported model; what is unknown is empty.

    Attributes:
        record: lit-mlm's record in the checkpoint.
        step: optimizer steps of the checkpoint.
        metrics: as in ``metrics.json``.
        training: state of `lit_mlm.callbacks.record_training.RecordTraining`.
        config: of the run, redacted.
        num_parameters: of the net.
        max_length: longest sequence of the net, in tokens; None if unlimited.
        mask_token: of the tokenizer.
        samples: lines of a table.
        has_picture: whether the curve was drawn.
        licence: of the model, by its name on the Hub; the author's choice.
    """

    record: Mapping[str, Any]
    step: int
    metrics: Mapping[str, Any]
    training: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    num_parameters: int = 0
    max_length: int | None = None
    mask_token: str | None = None
    samples: Sequence[str] = ()
    has_picture: bool = False
    licence: str | None = None

    @property
    def task(self) -> Task | None:
        """The task; None for one of the user's own."""
        return TASKS.get(self.record["auto_class"])

    @property
    def origin(self) -> Origin:
        """What the weights were made from."""
        origin: Origin | None = self.training.get("origin")
        return origin or describe_origin(self.record["options"])

    @property
    def corpora(self) -> Sequence[Mapping[str, Any]]:
        """The corpora of the training text."""
        corpora: Sequence[Mapping[str, Any]] = self.training.get("corpora", [])
        return corpora

    @property
    def headline(self) -> Sequence[str]:
        """The metrics to show, the most important one first."""
        headline: Sequence[str] = self.training.get("headline", [])
        return headline

    @property
    def versions(self) -> Mapping[str, Any]:
        """The versions of packages."""
        versions = self.metrics.get("versions") or self.training.get("versions", {})
        return {"lit-mlm": self.record["version"], **versions}

    @property
    def tagging(self) -> Mapping[str, Any] | None:
        """The options of a tagger."""
        options: Mapping[str, Any] | None = self.record["config"].get("lit_mlm")
        return options

    @property
    def splits(self) -> list[Split]:
        """The evaluated texts, test text first."""
        return find_splits(self.metrics)

    @property
    def best(self) -> tuple[Split, str] | None:
        """The evaluated text and the metric that describe the model best; None without metrics."""
        found = [(split, split.list_figures(self.headline)) for split in self.splits]
        return next(((split, names[0]) for split, names in found if names), None)

    def sign(self, split: Split) -> str:
        """The signature of the metrics of an evaluated text."""
        fingerprint = self.metrics.get("data_fingerprint")
        return make_signature(split.key, split.figures, self.versions, self.tagging, fingerprint)
