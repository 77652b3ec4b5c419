"""Text classification: sentiment, topics, several labels per text.

Shapes: B rows and S texts of a batch, L labels.
"""

from typing import Any, cast

from torch import Tensor
from transformers import AutoModelForSequenceClassification

from lit_mlm.batch import LabelledSource
from lit_mlm.errors import InputError
from lit_mlm.metrics.classes import ClassMetrics, decide, sum_nats
from lit_mlm.metrics.details import LabelledTextDetails
from lit_mlm.metrics.sums import SumMetric
from lit_mlm.modules.base import TransformerModule
from lit_mlm.modules.classifier import ClassifierModule, add_metadata
from lit_mlm.nets.text_logits import compute_text_logits, prepare_classifier
from lit_mlm.options import Amount, Part
from lit_mlm.text.tables import format_table


class TextClassification(ClassifierModule, TransformerModule):
    """Trains and evaluates any `AutoModelForSequenceClassification` on the labels of the data module.

    A pretrained model gets a new head unless it is a text classifier with the same label names, in any order. The
    logits of a text are the mean of those of its windows.

    Args:
        model: name on the Hub, or folder, of a pretrained model of any task.
        label_smoothing: fraction of the training loss that is spread over all labels, in [0, 1).
        class_weights: weights of labels in the training loss, by name, >= 0, default 1. The loss is normalised by their
            sum. Evaluation uses neither weights nor smoothing.
        kwargs: other options of `TransformerModule`.

    Examples:
        >>> sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
        >>> module = TextClassification(config={"model_type": "bert", "vocab_size": 20, "num_labels": 3, **sizes})
        >>> module(input_ids=Tensor([[2, 4, 3]]).long()).logits.shape
        torch.Size([1, 3])
    """

    auto_class = AutoModelForSequenceClassification
    head = "ForSequenceClassification"
    next_command = 'python -m lit_mlm classify --model {model} "This is a great film."'
    monitor_mode = "max"
    headline = (
        *("accuracy", "accuracy_low", "accuracy_high", "f1_micro", "f1_micro_low", "f1_micro_high"),
        *("f1_macro", "f1_macro_low", "f1_macro_high", "exact_match", "calibration_error", "loss"),
    )

    def __init__(
        self,
        model: str | None = None,
        label_smoothing: Part = 0.0,
        class_weights: dict[str, Amount] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, **kwargs)
        self.save_hyperparameters()

    @property
    def monitor(self) -> str:
        """Accuracy, or micro F1 where texts have several labels."""
        return "val/f1_micro" if self._data_module is not None and self.source.multi_label else "val/accuracy"

    def make_metrics(self) -> SumMetric:
        """Creates the metrics of texts."""
        options = self.source.labels, self.source.multi_label
        return ClassMetrics(*options, LabelledTextDetails(*options) if self.keeps_details else None)

    def compute_logits(self, batch: dict[str, Tensor]) -> Tensor:
        """Returns the logits of the texts of a batch in the order of the data's labels, shape (S, L)."""
        return self.order_columns(compute_text_logits(self._net, batch))

    def sum_loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Returns the cross entropy of the texts in float32, and their number or sum of class weights.

        Where texts have several labels, it is the binary cross entropy of all labels, and their number.
        """
        logits, smoothing = self.compute_logits(batch), self.hparams["label_smoothing"]
        return sum_nats(logits, batch["labels"], self.source.multi_label, self.weights, smoothing)

    def update_metrics(self, metrics: SumMetric, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Adds the texts of a batch, and returns their logits, labels and indices."""
        logits = self.compute_logits(batch)
        metrics.update(logits, batch["labels"], batch["texts"])
        return {"logits": logits, "labels": batch["labels"], "texts": batch["texts"]}

    def predict_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[int, dict[str, Any]]:
        """Returns a record of each text by its index: place, labels, the probability of each, and gold if known."""
        names, several = self.source.labels, self.source.multi_label
        probs, found = decide(self.compute_logits(batch), several)
        records = {}
        for index, row, is_found, gold in zip(
            batch["texts"].tolist(), probs.tolist(), found.tolist(), batch["labels"].tolist(), strict=True
        ):
            if index < 0:
                continue
            chosen = [name for name, is_chosen in zip(names, is_found, strict=True) if is_chosen]
            record = {"index": index, "place": self.source.predicted_places[index]}
            record |= {"labels": chosen} if several else {"label": chosen[0]}
            record["scores"] = {name: round(prob, 6) for name, prob in zip(names, row, strict=True)}
            if several and min(gold) >= 0:
                record["gold"] = [name for name, is_gold in zip(names, gold, strict=True) if is_gold]
            elif not several and gold >= 0:
                record["gold"] = names[gold]
            records[index] = record
        return records

    def compute_metrics(self, split: str) -> dict[str, Any]:
        """Adds the split's metadata, after checking that all its texts were scored."""
        metrics = super().compute_metrics(split)
        if self._scores_part(split):
            return metrics  # the metadata is of the whole split
        return add_metadata(metrics, self.source.describe_split(split), split, ("num_texts",))

    def describe_results(self, metrics: dict[str, Any]) -> list[str]:
        """Formats a table of the labels."""
        names = [name.removeprefix("support/") for name in metrics if name.startswith("support/")]
        rates = ("precision", "recall", "f1")
        rows = [(n, *(f"{metrics[f'{r}/{n}']:.4f}" for r in rates), f"{metrics[f'support/{n}']:,}") for n in names]
        return format_table([("label", "precision", "recall", "F1", "number"), *rows], "<>>>>")

    @property
    def source(self) -> LabelledSource:
        """The data module; refuses one without labels of texts."""
        data = self._data_module
        if not hasattr(data, "multi_label"):
            found = "there is no data module" if data is None else f"{type(data).__name__} is not one"
            raise InputError(f"TextClassification needs a data module of labelled texts, but {found}")
        return cast(LabelledSource, data)

    @property
    def inference_options(self) -> dict[str, Any]:
        """The length of rows, and what becomes of longer texts."""
        return dict(getattr(self.source, "text_options", {}))

    def _check_data(self) -> None:
        """Also completes the config for pipelines."""
        super()._check_data()
        if self._data_module is not None:
            prepare_classifier(self._net, self.source.tokenizer, self.source.multi_label)
