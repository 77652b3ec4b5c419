"""Extends the vocabulary of a pretrained net.

`PreTrainedModel.resize_token_embeddings` is not used: it misses biases beside the output layer, and with DeBERTa-v2's
`legacy: false` it resizes the wrong layer.

Shapes: V tokens of the vocabulary.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lit_mlm.errors import InputError
from lit_mlm.nets.loading import quiet


def extend_vocabulary(net: PreTrainedModel, tokens: Mapping[int, Sequence[int]]) -> None:
    """Adds rows for new words to a net, in place, each the mean of the rows of the word's old tokens.

    Input embeddings, output embeddings and output bias are extended; tied weights stay tied, and old rows do not
    change. If the net already has more rows than its tokenizer has ids, only the missing ones are added. The
    initialisation is that of Gee et al. 2022 ("Fast Vocabulary Transfer for Language Model Compression", EMNLP industry
    track).

    Args:
        net: before its optimizer is created, as parameters are replaced.
        tokens: the old token ids by the id of the new word, as `add_words` returns them.
    """
    if not tokens:
        return
    num_old = len(_get_input_rows(net))
    num_rows = max(num_old, max(tokens) + 1)
    unknown = sorted({token for ids in tokens.values() for token in ids if token >= num_old})
    unknown += sorted(set(range(num_old, num_rows)) - tokens.keys())
    if unknown:
        raise InputError(
            f"the tokenizer has the ids {unknown[0]} to {unknown[-1]} before new words, but the net's vocabulary only "
            f"{num_old} tokens: words can be added to the model's own tokenizer only"
        )
    extended: dict[Tensor, Tensor] = {}  # extends tied parameters once
    old = _name_tensors(net)
    for name, axis in _find_vocabulary_axes(net).items():
        owner, _, leaf = name.rpartition(".")
        if old[name] not in extended:
            extended[old[name]] = _extend(old[name], axis, num_rows, tokens)
        setattr(net.get_submodule(owner), leaf, extended[old[name]])
    _declare_size(net, num_rows)


def _get_input_rows(net: PreTrainedModel) -> Tensor:
    return cast(Tensor, net.get_input_embeddings().weight)


def _name_tensors(net: nn.Module) -> dict[str, Tensor]:
    """Returns parameters and buffers (BART's bias is one) by name; tied ones under each of their names."""
    return {**dict(net.named_parameters(remove_duplicate=False)), **dict(net.named_buffers(remove_duplicate=False))}


def _find_vocabulary_axes(net: PreTrainedModel) -> dict[str, int]:
    """Returns the axis that grows with the vocabulary, for each tensor that has one, by name."""
    config = copy.deepcopy(net.config)
    config.get_text_config().vocab_size = len(_get_input_rows(net)) + 1
    with torch.device("meta"), quiet():
        larger = _name_tensors(type(net)(config))
    return {
        name: axis
        for name, tensor in _name_tensors(net).items()
        for axis, size in enumerate(tensor.shape)
        if larger[name].shape[axis] != size
    }


@torch.no_grad()
def _extend(tensor: Tensor, axis: int, num_rows: int, tokens: Mapping[int, Sequence[int]]) -> Tensor:
    old = tensor.movedim(axis, 0)  # (V, ...)
    rows = old.new_empty(num_rows, *old.shape[1:])
    rows[: len(old)] = old
    for word, ids in tokens.items():
        rows[word] = old[list(ids)].float().mean(0)  # I-BERT has buffers of integers
    new = rows.movedim(0, axis).contiguous()
    return nn.Parameter(new, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else new


def _declare_size(net: PreTrainedModel, num_rows: int) -> None:
    """Updates the vocabulary size wherever a module or config states it."""
    for module in net.modules():
        config = getattr(module, "config", None)
        if isinstance(config, type(net.config)):
            config.get_text_config().vocab_size = num_rows
        for name in ("vocab_size", "n_words"):  # the second is XLM's
            if isinstance(getattr(module, name, None), int):
                setattr(module, name, num_rows)
        if isinstance(module, nn.Embedding):
            module.num_embeddings = len(module.weight)
        elif isinstance(module, nn.Linear):
            module.out_features, module.in_features = module.weight.shape
