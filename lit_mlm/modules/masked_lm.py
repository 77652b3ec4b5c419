"""Masked language modelling."""

import math
from contextlib import suppress
from typing import Any

from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModelForMaskedLM

from lit_mlm.errors import InputError
from lit_mlm.metrics.sums import MaskedTokenMetrics, SumMetric, estimate_interval, exponential
from lit_mlm.modules.base import TransformerModule
from lit_mlm.nets.sparse_head import compute_scored_logits


class MaskedLM(TransformerModule):
    """Trains and scores any `AutoModelForMaskedLM`; head and loss run on the masked positions only."""

    auto_class = AutoModelForMaskedLM
    monitor = "val/loss"  # orders as perplexity does, and is finite where that is not
    monitor_mode = "min"
    headline = (
        *("perplexity", "perplexity_low", "perplexity_high", "loss", "perplexity_batch_mean", "top1_accuracy"),
        "bits_per_byte",
    )
    next_command = 'python -m lit_mlm fill --model {model} "Write a text with a [MASK] in it."'

    def configure_model(self) -> None:
        """Builds the net, for data that has masks."""
        if getattr(self._data_module, "labels", None) is not None:
            name = type(self._data_module).__name__
            raise InputError(f"MaskedLM fills masks, which {name} has none of: take --model TokenClassification for it")
        super().configure_model()

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
        losses = []
        for draw in self._get_metrics(split):
            with suppress(InputError):  # in a draw of few blocks no token may be scored
                losses.append(draw.compute()["loss"])
        if len(losses) > 1:
            low, high = estimate_interval(losses)
            figures |= {"perplexity_low": exponential(low), "perplexity_high": exponential(high)}
            figures["num_mask_draws"] = len(losses)
        facts = getattr(self._data_module, "facts", None)
        if facts is not None:
            figures |= facts(split)
            figures["bits_per_byte"] = figures["loss"] / math.log(2) * figures.pop("tokens_per_byte")
            if self._scores_part(split):  # the whole's don't hold
                for name in ("mask_fingerprint", "data_fingerprint", "num_blocks", "num_blocks_shared_with_train"):
                    figures.pop(name, None)
        return figures
