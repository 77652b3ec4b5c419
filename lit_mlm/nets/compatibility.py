"""Checks that a net fits the data."""

from typing import cast

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lit_mlm.errors import InputError
from lit_mlm.nets import pretrained


def check_fit(
    net: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, sequence_length: int, expected_hash: str | None
) -> None:
    """Checks that vocabulary, tokenizer and longest sequence of the data, in tokens, fit a net.

    `expected_hash` is `hash_tokenizer` of the tokenizer that the net was trained with; None if unknown.
    """
    num_ids = max(tokenizer.get_vocab().values()) + 1
    num_rows = len(cast(Tensor, net.get_input_embeddings().weight))
    if num_ids > num_rows:
        raise InputError(
            f"the tokenizer has {num_ids} tokens, but the net's vocabulary only {num_rows}; leave data.tokenizer out "
            "to take the model's own, or build a net for it with model.config"
        )
    found = pretrained.hash_tokenizer(tokenizer)
    if expected_hash not in (None, found):
        raise InputError(
            f"the checkpoint was made with the tokenizer of SHA-256 {expected_hash}, the data with {found}; "
            "leave data.tokenizer and data.vocab_size out to take the checkpoint's own"
        )
    limit = pretrained.get_max_length(net)
    if limit is not None and sequence_length > limit:
        raise InputError(f"the data has sequences of {sequence_length} tokens, but the net takes at most {limit}")
