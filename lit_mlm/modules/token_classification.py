"""Token classification: named entities, parts of speech, chunks.

Shapes: B rows, T tokens per row, L labels.
"""

from typing import Any, cast

from torch import Tensor
from transformers import AutoModelForTokenClassification

from lit_mlm.batch import TaggedSource
from lit_mlm.errors import InputError
from lit_mlm.metrics.classes import sum_nats
from lit_mlm.metrics.details import TaggedWordDetails
from lit_mlm.metrics.sums import SumMetric
from lit_mlm.metrics.words import DecodedSentence, ScoredTags, WordMetrics, decode_batch
from lit_mlm.modules.base import TransformerModule
from lit_mlm.modules.classifier import ClassifierModule, add_metadata
from lit_mlm.nets.packing import run_net
from lit_mlm.options import Amount, Part
from lit_mlm.text.tables import format_table
from lit_mlm.text.tagging.decoding import Decoding
from lit_mlm.text.tagging.schemes import Scheme


class TokenClassification(ClassifierModule, TransformerModule):
    """Trains and evaluates any `AutoModelForTokenClassification` on the labels of the data module.

    A pretrained model gets a new head unless it is a token classifier with the same label names, in any order.

    Args:
        model: name on the Hub, or folder, of a pretrained model of any task.
        label_smoothing: fraction of the training loss that is spread over all labels, in [0, 1).
        class_weights: weights of labels in the training loss, by name, >= 0, default 1. The loss is normalised by their
            sum, as in `torch.nn.CrossEntropyLoss`. Evaluation uses neither weights nor smoothing.
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
    head = "ForTokenClassification"
    next_command = 'python -m lit_mlm tag --model {model} "My name is Sylvain and I work at Hugging Face in Brooklyn."'
    monitor_mode = "max"
    headline = ("f1", "f1_low", "f1_high", "precision", "recall", "accuracy", "f1_strict", "f1_pieces", "loss")

    def __init__(
        self,
        model: str | None = None,
        label_smoothing: Part = 0.0,
        class_weights: dict[str, Amount] | None = None,
        decoding: Decoding = "argmax",
        **kwargs: Any,
    ) -> None:
        super().__init__(model, **kwargs)
        self.save_hyperparameters()

    @property
    def monitor(self) -> str:
        """F1 if the labels have a scheme, else accuracy."""
        return "val/accuracy" if self._data_module is not None and self.source.scheme is None else "val/f1"

    def make_metrics(self) -> SumMetric:
        """Creates the metrics of words and tokens."""
        labels, scheme = self.source.labels, cast(Scheme | None, self.source.scheme)
        details = TaggedWordDetails(labels, scheme) if self.keeps_details else None
        return WordMetrics(labels, scheme, self.hparams["decoding"], getattr(self.source, "truncation", None), details)

    def compute_logits(self, batch: dict[str, Tensor]) -> Tensor:
        """Returns the logits of a batch in the order of the data's labels, shape (B, T, L)."""
        logits: Tensor = run_net(self._net, batch).logits
        return self.order_columns(logits[:, : batch["input_ids"].shape[1]])

    def sum_loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Returns the cross entropy of the scored tokens in float32, and their number or sum of class weights."""
        logits, labels = self.compute_logits(batch).flatten(0, 1), batch["labels"].flatten()
        return sum_nats(logits, labels, False, self.weights, self.hparams["label_smoothing"])

    def update_metrics(self, metrics: SumMetric, batch: dict[str, Tensor]) -> dict[int, ScoredTags]:
        """Adds the words of a batch, and returns their tags by sentence index."""
        logits = self.compute_logits(batch)
        decoded, gold = self.decode(logits, batch), batch["labels"].flatten().cpu().numpy()
        metrics.update(logits, batch, decoded)
        names, scored = self.source.labels, {}
        for index, found in decoded.items():
            expected, tags = ([names[i] for i in ids.tolist()] for ids in (gold[found.first_tokens], found.labels))
            scored[index] = ScoredTags(expected, tags, found.scores.tolist())
        return scored

    def predict_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[int, tuple[list[str], list[float]]]:
        """Returns tags and probabilities of the words by sentence index, decoded as in evaluation."""
        labels, decoded = self.source.labels, self.decode(self.compute_logits(batch), batch)
        return {
            index: ([labels[i] for i in found.labels.tolist()], found.scores.tolist())
            for index, found in decoded.items()
        }

    def decode(self, logits: Tensor, batch: dict[str, Tensor]) -> dict[int, DecodedSentence]:
        """Decodes the words of a batch, by sentence index; logits are those of `compute_logits`."""
        scheme = cast(Scheme | None, self.source.scheme)
        return decode_batch(logits, batch, self.source.labels, scheme, self.hparams["decoding"])

    def compute_metrics(self, split: str) -> dict[str, Any]:
        """Adds the split's metadata, after checking that all its words and entities were scored."""
        metrics = super().compute_metrics(split)
        if self._scores_part(split):
            return metrics  # the metadata is of the whole split
        numbers = ("num_words", "num_gold_entities")
        return add_metadata(metrics, self.source.describe_split(split), split, numbers)

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
    def source(self) -> TaggedSource:
        """The data module; refuses one without labels of words."""
        data = self._data_module
        if getattr(data, "labels", None) is None or hasattr(data, "multi_label"):
            found = "there is no data module" if data is None else f"{type(data).__name__} has no labels of words"
            raise InputError(f"TokenClassification needs a data module of tagged words, but {found}")
        return cast(TaggedSource, data)

    @property
    def inference_options(self) -> dict[str, Any]:
        """The windows and the decoding."""
        return {**getattr(self.source, "tagging_options", {}), "decoding": self.hparams["decoding"]}
