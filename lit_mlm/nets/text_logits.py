"""Runs text classifiers on texts of several windows.

Shapes: B rows, S texts, L labels.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lit_mlm.nets.kept_rows import can_select
from lit_mlm.nets.packing import run_net
from lit_mlm.text.special_tokens import find_pad_id


def compute_text_logits(net: PreTrainedModel, batch: dict[str, Tensor]) -> Tensor:
    """Returns the mean of the logits of each text's windows, shape (S, L).

    Args:
        net: any `AutoModelForSequenceClassification`.
        batch: of labelled texts, see `lit_mlm.batch`.
    """
    firsts = None
    if net.training and can_select(net):  # evaluation has no hooks, so that threads may share a net
        num_rows, num_columns = batch["input_ids"].shape
        firsts = torch.arange(0, num_rows * num_columns, num_columns, device=net.device)[:, None]
    logits: Tensor = run_net(net, batch, firsts).logits
    texts, num_texts = batch["row_texts"], len(batch["texts"])
    if len(texts) == num_texts:
        return logits
    sums = logits.new_zeros((num_texts, logits.shape[1])).index_add(0, texts, logits)
    return sums / texts.bincount(minlength=num_texts)[:, None]


def prepare_classifier(net: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, multi_label: bool) -> None:
    """Completes a net's config: what its logits are, for pipelines, and the padding, for decoders to find the end.

    Args:
        net: any `AutoModelForSequenceClassification`.
        tokenizer: of its texts.
        multi_label: whether labels are independent.
    """
    config: Any = net.config
    config.problem_type = "multi_label_classification" if multi_label else "single_label_classification"
    if config.get_text_config().pad_token_id is None:
        config.get_text_config().pad_token_id = find_pad_id(tokenizer)
