"""Masked language modelling."""

import math
from contextlib import suppress
from typing import Any

from torch import Tensor
from transformers import AutoModelForMaskedLM

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.errors import InputError
from lit_mlm.metrics.details import MaskedTokenDetails
from lit_mlm.metrics.sums import MaskedTokenMetrics, SumMetric, estimate_interval, exponential
from lit_mlm.modules.base import TransformerModule
from lit_mlm.nets.cross_entropy import sum_cross_entropy
from lit_mlm.nets.kept_rows import is_stock
from lit_mlm.nets.sparse_head import compute_scored_logits


class MaskedLM(TransformerModule):
    """Trains and evaluates any `AutoModelForMaskedLM`; head and loss run on the masked positions only.

    Examples:
        >>> sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
        >>> module = MaskedLM(config={"model_type": "bert", "vocab_size": 20, **sizes})
        >>> module(input_ids=Tensor([[2, 4, 3]]).long()).logits.shape
        torch.Size([1, 3, 20])
    """

    auto_class = AutoModelForMaskedLM
    monitor = "val/loss"  # ranks as perplexity does, and does not overflow
    monitor_mode = "min"
    headline = (
        *("perplexity", "perplexity_low", "perplexity_high", "loss", "top1_accuracy", "perplexity_batch_mean"),
        "bits_per_byte",
    )
    next_command = 'python -m lit_mlm fill --model {model} "Write a text with a [MASK] in it."'

    def configure_model(self) -> None:
        """Builds the net; refuses data without masks."""
        if getattr(self._data_module, "labels", None) is not None:
            name = type(self._data_module).__name__
            task = "TextClassification" if hasattr(self._data_module, "multi_label") else "TokenClassification"
            raise InputError(f"MaskedLM needs masks, and {name} has labels instead: use --model {task}")
        super().configure_model()

    def make_metrics(self) -> SumMetric:
        """Creates loss, perplexity and accuracy at masked positions."""
        details = MaskedTokenDetails(self._net.config.vocab_size) if self.keeps_details else None
        return MaskedTokenMetrics(details)

    def sum_loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Returns the cross entropy of the masked tokens in float32, and their number."""
        logits, labels = compute_scored_logits(self._net, batch)
        # A head with code of its own may need its logits.
        logits = logits if is_stock(self._net) else logits.clone()
        return sum_cross_entropy(logits, labels), labels.new_tensor(len(labels))

    def update_metrics(self, metrics: SumMetric, batch: dict[str, Tensor]) -> None:
        """Adds the masked positions of a batch."""
        units = batch["units"][batch["labels"] != IGNORE_INDEX] if "units" in batch else None
        metrics.update(*compute_scored_logits(self._net, batch), units)

    def compute_metrics(self, split: str) -> dict[str, Any]:
        """Adds the split's metadata, the interval over several mask draws, and bits per byte.

        Bits per byte are the loss spread over the bytes of the text in the scored blocks; unlike perplexity they are
        comparable across tokenizers. They are missing where only a part of the blocks is scored.
        """
        metrics = super().compute_metrics(split)
        losses = []
        for draw in self._get_metrics(split):
            with suppress(InputError):  # a draw of few blocks may score no token
                losses.append(draw.compute()["loss"])
        if len(losses) > 1:
            low, high = estimate_interval(losses)
            metrics |= {"perplexity_low": exponential(low), "perplexity_high": exponential(high)}
            metrics["num_mask_draws"] = len(losses)
        describe_split = getattr(self._data_module, "describe_split", None)
        if describe_split is not None:
            metrics |= describe_split(split)
            if self._scores_part(split):  # these describe the whole split
                for name in ("mask_fingerprint", "data_fingerprint", "num_blocks", "num_blocks_shared_with_train"):
                    metrics.pop(name, None)
                metrics.pop("tokens_per_byte", None)
            if "tokens_per_byte" in metrics:
                metrics["bits_per_byte"] = metrics["loss"] / math.log(2) * metrics.pop("tokens_per_byte")
        return metrics
