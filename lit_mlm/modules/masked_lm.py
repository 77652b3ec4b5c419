"""Masked language modelling."""

import math
from typing import Any, ClassVar, Literal

from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric
from transformers import AutoModelForMaskedLM

from lit_mlm.metrics import MaskedTokenMetrics
from lit_mlm.modules.base import TransformerModule
from lit_mlm.modules.sparse_head import compute_scored_logits


class MaskedLM(TransformerModule):
    """Trains and scores any `AutoModelForMaskedLM`; head and loss run on the masked positions only."""

    auto_class = AutoModelForMaskedLM
    monitor: ClassVar[str] = "val/loss"  # orders as perplexity does, and is finite where that is not
    monitor_mode: ClassVar[Literal["min", "max"]] = "min"
    headline = ("perplexity", "loss", "perplexity_batch_mean", "top1_accuracy", "bits_per_byte")
    next_command = 'python -m lit_mlm fill --model {model} "Write a text with a [MASK] in it."'

    def make_metrics(self) -> Metric:
        """Loss, perplexity and accuracy at masked positions."""
        return MaskedTokenMetrics()

    def sum_loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Cross entropy of the masked tokens in float32."""
        logits, labels = compute_scored_logits(self._net, batch)
        return F.cross_entropy(logits.float(), labels, reduction="sum"), labels.new_tensor(len(labels))

    def update_metrics(self, metrics: Metric, batch: dict[str, Tensor]) -> None:
        """Adds the masked positions of a batch."""
        metrics.update(*compute_scored_logits(self._net, batch))

    def compute_figures(self, split: str) -> dict[str, Any]:
        """Adds the facts of the split, and bits a byte: the loss of a token spread over the bytes that it stands for.

        Unlike perplexity, bits a byte can be compared between tokenizers.
        """
        figures = super().compute_figures(split)
        facts = getattr(self._data_module, "facts", None)
        if facts is not None:
            figures |= facts(split)
            figures["bits_per_byte"] = figures["loss"] / math.log(2) * figures.pop("tokens_per_byte")
            if getattr(self.trainer, f"limit_{split}_batches") != 1.0:  # part of the split: the whole's don't hold
                del figures["mask_fingerprint"], figures["num_blocks"]
        return figures
