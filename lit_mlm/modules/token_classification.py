"""Token classification: named entities, parts of speech, chunks.

Shapes: B rows, T tokens per row, L labels.
"""

from typing import Any, cast

from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModelForTokenClassification

from lit_mlm.batch import IGNORE_INDEX, TaggedSource
from lit_mlm.errors import InputError
from lit_mlm.metrics.details import TaggedWordDetails
from lit_mlm.metrics.sums import SumMetric
from lit_mlm.metrics.words import DecodedSentence, ScoredTags, WordMetrics, decode_batch
from lit_mlm.modules.base import TransformerModule
from lit_mlm.modules.labels import freeze, list_weights, match_labels
from lit_mlm.nets import pretrained
from lit_mlm.nets.packing import run_net
from lit_mlm.options import Amount, Part, Size
from lit_mlm.text.tables import format_table
from lit_mlm.text.tagging.decoding import Decoding
from lit_mlm.text.tagging.schemes import Scheme
from lit_mlm.upstream import find_trainer


class TokenClassification(TransformerModule):
    """Trains and evaluates any `AutoModelForTokenClassification` on the labels of the data module.

    A pretrained model gets a new head unless it is a token classifier with the same label names, in any order.

    Args:
        model: name on the Hub, or folder, of a pretrained model of any task.
        label_smoothing: fraction of the training loss that is spread over all labels, in [0, 1).
        class_weights: weights of labels in the training loss, by name, >= 0, default 1. The loss is normalised by their
            sum, as in `torch.nn.CrossEntropyLoss`. Evaluation uses neither weights nor smoothing.
        freeze_embeddings: freezes everything below the layers.
        freeze_layers: number of lowest layers to freeze.
        decoding: of words in evaluation: ``argmax`` of each word, or ``viterbi`` for the best sequence that the labels'
            scheme allows.
        kwargs: other options of `TransformerModule`.

    Examples:
        >>> sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
        >>> module = TokenClassification(config={"model_type": "bert", "vocab_size": 20, "num_labels": 5, **sizes})
        >>> module(input_ids=Tensor([[2, 4, 3]]).long()).logits.shape
        torch.Size([1, 3, 5])
    """

    auto_class = AutoModelForTokenClassification
    next_command = 'python -m lit_mlm tag --model {model} "My name is Sylvain and I work at Hugging Face in Brooklyn."'
    monitor_mode = "max"
    headline = ("f1", "f1_low", "f1_high", "precision", "recall", "accuracy", "f1_strict", "f1_pieces", "loss")

    def __init__(
        self,
        model: str | None = None,
        label_smoothing: Part = 0.0,
        class_weights: dict[str, Amount] | None = None,
        freeze_embeddings: bool = False,
        freeze_layers: Size = 0,
        decoding: Decoding = "argmax",
        **kwargs: Any,
    ) -> None:
        super().__init__(model, **kwargs)
        self.save_hyperparameters()
        self._columns: list[int] | None = None
        self._weights: list[float] | None = None

    @property
    def monitor(self) -> str:
        """F1 if the labels have a scheme, else accuracy."""
        return "val/accuracy" if self._data_module is not None and self._tags.scheme is None else "val/f1"

    @property
    def label_names(self) -> list[str] | None:
        """The labels of the checkpoint, net or pretrained token classifier, by id; None if there are none."""
        return self.find_labels("ForTokenClassification")

    @property
    def new_labels(self) -> list[str] | None:
        """The data's labels, unless the net has the same."""
        labels: list[str] | None = getattr(self._data_module, "labels", None)
        return labels if labels is not None and set(labels) != set(self.label_names or []) else None

    def configure_model(self) -> None:
        """Builds and checks the net, and freezes parameters."""
        super().configure_model()
        if find_trainer(self) is not None:
            freeze(self, self._net.base_model, self.hparams)

    def make_metrics(self) -> SumMetric:
        """Creates the metrics of words and tokens."""
        labels, scheme = self._tags.labels, cast(Scheme | None, self._tags.scheme)
        details = TaggedWordDetails(labels, scheme) if self.keeps_details else None
        return WordMetrics(labels, scheme, self.hparams["decoding"], getattr(self._tags, "truncation", None), details)

    def compute_logits(self, batch: dict[str, Tensor]) -> Tensor:
        """Returns the logits of a batch in the order of the data's labels, shape (B, T, L)."""
        logits: Tensor = run_net(self._net, batch).logits
        logits = logits[:, : batch["input_ids"].shape[1]]
        return logits if self._columns is None else logits[..., self._columns]

    def sum_loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Returns the cross entropy of the scored tokens in float32, and their number or sum of class weights."""
        logits, labels = self.compute_logits(batch).float().flatten(0, 1), batch["labels"].flatten()
        is_scored = labels != IGNORE_INDEX
        weights = None if self._weights is None else logits.new_tensor(self._weights)
        nats = F.cross_entropy(
            logits,
            labels,
            weight=weights,
            ignore_index=IGNORE_INDEX,
            reduction="sum",
            label_smoothing=self.hparams["label_smoothing"],
        )
        return nats, is_scored.sum() if weights is None else (weights[labels.clamp(min=0)] * is_scored).sum()

    def update_metrics(self, metrics: SumMetric, batch: dict[str, Tensor]) -> dict[int, ScoredTags]:
        """Adds the words of a batch, and returns their tags by sentence index."""
        logits = self.compute_logits(batch)
        decoded, gold = self._decode(logits, batch), batch["labels"].flatten().cpu().numpy()
        metrics.update(logits, batch, decoded)
        names, scored = self._tags.labels, {}
        for index, found in decoded.items():
            expected, tags = ([names[i] for i in ids.tolist()] for ids in (gold[found.first_tokens], found.labels))
            scored[index] = ScoredTags(expected, tags, found.scores.tolist())
        return scored

    def predict_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[int, tuple[list[str], list[float]]]:
        """Returns tags and probabilities of the words by sentence index, decoded as in evaluation."""
        labels, decoded = self._tags.labels, self._decode(self.compute_logits(batch), batch)
        return {
            index: ([labels[i] for i in found.labels.tolist()], found.scores.tolist())
            for index, found in decoded.items()
        }

    def _decode(self, logits: Tensor, batch: dict[str, Tensor]) -> dict[int, DecodedSentence]:
        scheme = cast(Scheme | None, self._tags.scheme)
        return decode_batch(logits, batch, self._tags.labels, scheme, self.hparams["decoding"])

    def compute_metrics(self, split: str) -> dict[str, Any]:
        """Adds the split's metadata, after checking that all its words and entities were scored."""
        metrics = super().compute_metrics(split)
        if self._scores_part(split):
            return metrics  # the metadata is of the whole split
        metadata = self._tags.describe_split(split)
        for name in ("num_words", "num_gold_entities"):
            if name in metadata and metadata[name] != metrics[name]:
                raise RuntimeError(f"{split}/{name}: {metadata[name]} in the data, but {metrics[name]} were scored")
        return metrics | metadata

    def describe_results(self, metrics: dict[str, Any]) -> list[str]:
        """Formats a table of entity types or tags."""
        kinds = [name.removeprefix("f1/") for name in metrics if name.startswith("f1/")]
        number = "num_gold/" if "num_gold_entities" in metrics else "support/"
        keys = [(kind, f"precision/{kind}", f"recall/{kind}", f"f1/{kind}", number + kind) for kind in kinds]
        if "num_gold_entities" in metrics:
            keys.append(("all", "precision", "recall", "f1", "num_gold_entities"))
        rows = [(kind, *(f"{metrics[key]:.4f}" for key in scores), f"{metrics[num]:,}") for kind, *scores, num in keys]
        return format_table([("type", "precision", "recall", "F1", "number"), *rows], "<>>>>")

    @property
    def _tags(self) -> TaggedSource:
        data = self._data_module
        if getattr(data, "labels", None) is None or hasattr(data, "multi_label"):
            found = "there is no data module" if data is None else f"{type(data).__name__} has no labels of words"
            raise InputError(f"TokenClassification needs a data module of tagged words, but {found}")
        return cast(TaggedSource, data)

    def _check_data(self) -> None:
        """Also checks labels and class weights, and maps the net's labels to the data's."""
        super()._check_data()
        if self._data_module is None:
            return
        labels, names = self._tags.labels, self.label_names or []
        self._columns = match_labels(names, labels, "net" if self._record is None else "checkpoint")
        self._weights = list_weights(self.hparams["class_weights"], labels)
        config: Any = self._net.config
        pretrained.set_labels(config, names)  # keeps a checkpoint's order, that of its weights
        config.lit_mlm = {**getattr(self._tags, "tagging_options", {}), "decoding": self.hparams["decoding"]}
