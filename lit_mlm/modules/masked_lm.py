"""Masked language modelling."""

import math
from typing import Any, ClassVar, Literal

from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModelForMaskedLM

from lit_mlm.metrics import MaskedTokenMetrics, SumMetric, estimate_interval, exponential
from lit_mlm.modules.base import TransformerModule
from lit_mlm.modules.sparse_head import compute_scored_logits


class MaskedLM(TransformerModule):
    """Trains and scores any `AutoModelForMaskedLM`; head and loss run on the masked positions only."""

    auto_class = AutoModelForMaskedLM
    monitor: ClassVar[str] = "val/loss"  # orders as perplexity does, and is finite where that is not
    monitor_mode: ClassVar[Literal["min", "max"]] = "min"
    headline = (
        *("perplexity", "perplexity_low", "perplexity_high", "loss", "perplexity_batch_mean", "top1_accuracy"),
        "bits_per_byte",
    )
    next_command = 'python -m lit_mlm fill --model {model} "Write a text with a [MASK] in it."'

    def make_metrics(self) -> SumMetric:
        """Loss, perplexity and accuracy at masked positions."""
        return MaskedTokenMetrics()

    def sum_loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Cross entropy of the masked tokens in float32."""
        logits, labels = compute_scored_logits(self._net, batch)
        return F.cross_entropy(logits.float(), labels, reduction="sum"), labels.new_tensor(len(labels))

    def update_metrics(self, metrics: SumMetric, batch: dict[str, Tensor]) -> None:
        """Adds the masked positions of a batch."""
        metrics.update(*compute_scored_logits(self._net, batch))

    def compute_figures(self, split: str) -> dict[str, Any]:
        """Adds the facts of the split, the interval of several mask draws, and bits a byte.

        Bits a byte are the loss of a token spread over the bytes that it stands for; unlike perplexity they can be
        compared between tokenizers.
        """
        figures = super().compute_figures(split)
        draws = self._get_metrics(split)
        if len(draws) > 1:
            low, high = estimate_interval([draw.compute()["loss"] for draw in draws])
            figures |= {"perplexity_low": exponential(low), "perplexity_high": exponential(high)}
            figures["num_mask_draws"] = len(draws)
        facts = getattr(self._data_module, "facts", None)
        if facts is not None:
            figures |= facts(split)
            figures["bits_per_byte"] = figures["loss"] / math.log(2) * figures.pop("tokens_per_byte")
            if getattr(self.trainer, f"limit_{split}_batches") != 1.0:  # part of the split: the whole's don't hold
                del figures["mask_fingerprint"], figures["num_blocks"]
        return figures
