"""Computes vectors of texts, words and marked spans from the hidden states of any encoder.

Shapes: S texts, P tokens of all texts, H hidden size, B rows of a batch, T tokens of a row.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModel, PreTrainedModel, PreTrainedTokenizerBase

from lit_mlm.batch import NO_WORD
from lit_mlm.errors import InputError, refuse_text
from lit_mlm.inference.loading import load_model
from lit_mlm.inference.masked_rows import evaluating, get_batch_tokens
from lit_mlm.inference.word_logits import make_batches
from lit_mlm.nets import pretrained
from lit_mlm.text.arrays import BoolArray, Float32Array, IntArray
from lit_mlm.text.special_tokens import find_special_tokens
from lit_mlm.text.surrogates import replace_surrogates
from lit_mlm.text.tagging.alignment import EncodedWords
from lit_mlm.text.tagging.rows import TaggedRows, WindowTable
from lit_mlm.text.tagging.words import find_words

Pooling = Literal["mean", "cls"]

CHARACTERS_AT_A_TIME = 2**17
"""Characters of the texts whose hidden states are held at once; a longer text is held whole."""


def load_encoder(
    model: str, revision: str | None = None, allow_pickle: bool = False, trust_remote_code: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Loads a net without its head, and its tokenizer, by the arguments of `load_model`; a pooler is not needed."""
    options = (model, revision, allow_pickle, trust_remote_code)
    net, tokenizer = load_model(AutoModel, "embed texts", *options, unneeded="pooler.")
    if net.config.is_encoder_decoder:
        raise InputError(f"{model} has a decoder, whose hidden states are not those of a text; use an encoder")
    return net, tokenizer


def embed_texts(
    net: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    pooling: Pooling = "mean",
    layers: Mapping[int, float] | None = None,
) -> Float32Array:
    """Returns a vector for each text, shape (S, H).

    Args:
        net: an encoder (`AutoModel`); run in eval mode.
        tokenizer: its tokenizer.
        texts: of any length; one that is longer than the net takes is cut into overlapping windows, in which each token
            counts once.
        pooling: "mean" of all tokens, special ones included (Reimers and Gurevych 2019, section 3), or the first token,
            "cls"; of several windows, the mean of their first tokens.
        layers: weight of each layer in the vector: 0 are the embeddings, 1 the first layer, -1 the last. The weights
            are divided by their sum. By default the last layer alone.
    """
    refuse_text("texts", texts)
    vectors = np.empty((len(texts), net.config.hidden_size), np.float32)
    for first, end in _batch(texts):
        encoded = _encode(tokenizer, texts[first:end])
        empty = next((text for text, ids in zip(texts[first:end], encoded, strict=True) if not len(ids)), None)
        if empty is not None and not len(find_special_tokens(tokenizer)):
            raise InputError(f"the text {empty!r:.60} has no token, and the tokenizer adds none: leave it out")
        states = _compute_states(net, tokenizer, encoded, layers)
        vectors[first:end] = states.first if pooling == "cls" else states.mean
    return vectors


def embed_words(
    net: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    layers: Mapping[int, float] | None = None,
) -> list[Float32Array]:
    """Returns the vectors of each text's words (`split_text`), shape (words, H) per text; see `embed_spans`."""
    refuse_text("texts", texts)
    return embed_spans(net, tokenizer, texts, [list(find_words(text)) for text in texts], layers)


def embed_spans(
    net: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    spans: Sequence[Sequence[tuple[int, int]]],
    layers: Mapping[int, float] | None = None,
) -> list[Float32Array]:
    """Returns the vectors of marked spans in their texts, shape (spans, H) per text.

    A vector is the mean of the tokens that overlap the span, and NaN if there is none.

    Args:
        net: an encoder (`AutoModel`); run in eval mode.
        tokenizer: its tokenizer, which must know the characters of its tokens.
        texts: of any length.
        spans: of each text: first character, and one past the last.
        layers: as in `embed_texts`.
    """
    refuse_text("texts", texts)
    _check_spans(tokenizer, texts, spans)
    vectors: list[Float32Array] = []
    for first, end in _batch(texts):
        offsets: list[IntArray] = []
        states = _compute_states(net, tokenizer, _encode(tokenizer, texts[first:end], offsets), layers)
        starts = np.cumsum([0, *map(len, offsets)])
        for start, places, marked in zip(starts, offsets, spans[first:end], strict=False):
            vectors.append(_average(states.tokens, start + _find_tokens(places, marked)))
    return vectors


def _check_spans(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], spans: Sequence[Sequence[tuple[int, int]]]
) -> None:
    if not tokenizer.is_fast:
        raise InputError("this tokenizer does not know the characters of its tokens, so words have no vectors")
    if len(texts) != len(spans):
        raise InputError(f"spans must be given for each of the {len(texts)} texts, got {len(spans)}")
    for number, (text, marked) in enumerate(zip(texts, spans, strict=True)):
        for start, end in marked:
            if not 0 <= start < end <= len(text):
                raise InputError(f"text {number} has {len(text)} characters and no span {start}:{end}")


def _find_tokens(offsets: IntArray, spans: Sequence[tuple[int, int]]) -> IntArray:
    """Returns the first token of each span and one past its last, shape (spans, 2); offsets have shape (T, 2)."""
    starts, ends = np.array(spans, np.int64).reshape(-1, 2).T
    first = np.searchsorted(offsets[:, 1], starts, side="right")
    return np.stack([first, np.maximum(first, np.searchsorted(offsets[:, 0], ends))], axis=1)


def _average(tokens: Float32Array, ranges: IntArray) -> Float32Array:
    """Averages slices of tokens, shape (P, H); NaN for an empty one."""
    empty = np.full(tokens.shape[1], np.nan, np.float32)
    means = [tokens[start:end].mean(0) if end > start else empty for start, end in ranges.tolist()]
    return np.array(means, np.float32).reshape(-1, tokens.shape[1])


def _batch(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yields slices of the texts."""
    first = size = 0
    for number, text in enumerate(texts):
        if number > first and size + len(text) > CHARACTERS_AT_A_TIME:
            yield first, number
            first, size = number, 0
        size += len(text) + 1
    if first < len(texts):
        yield first, len(texts)


def _encode(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], offsets: list[IntArray] | None = None
) -> list[IntArray]:
    """Returns the ids of each text's tokens without special ones; appends their characters, shape (T, 2)."""
    encoded = tokenizer(
        [*map(replace_surrogates, texts)],
        add_special_tokens=False,
        return_offsets_mapping=offsets is not None,
        verbose=False,
    )
    if offsets is not None:
        offsets += [np.array(places, np.int64).reshape(-1, 2) for places in encoded["offset_mapping"]]
    return [np.array(ids, np.int64) for ids in encoded["input_ids"]]


@dataclass(frozen=True)
class _States:
    """Hidden states of texts.

    Attributes:
        tokens: of all texts, without special tokens, shape (P, H).
        mean: of each text's tokens, special ones included, shape (S, H).
        first: of the first token of each text's windows, averaged, shape (S, H).
    """

    tokens: Float32Array
    mean: Float32Array
    first: Float32Array


def _compute_states(
    net: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[IntArray],
    layers: Mapping[int, float] | None,
) -> _States:
    rows, starts = _build_rows(net, tokenizer, texts), np.cumsum([0, *map(len, texts)])
    shape = (len(texts), net.config.hidden_size)
    tokens = np.empty((starts[-1], shape[1]), np.float32)
    sums, firsts, num_tokens, num_rows = np.zeros(shape), np.zeros(shape), np.zeros(shape[0]), np.zeros(shape[0])
    for batch, hidden in _run(net, rows, _check_layers(net, layers)):
        is_owned, sentences = batch["words"] != NO_WORD, batch["sentences"]
        tokens[starts[sentences[np.nonzero(is_owned)[0]]] + batch["words"][is_owned]] = hidden[is_owned]
        counted = is_owned | _find_special(batch, rows)
        np.add.at(sums, sentences, (hidden * counted[..., None]).sum(1))
        np.add.at(num_tokens, sentences, counted.sum(1))
        np.add.at(firsts, sentences, hidden[:, 0])
        np.add.at(num_rows, sentences, 1)
    # A text without tokens has no row where the tokenizer adds none.
    mean, first = sums / np.maximum(num_tokens, 1)[:, None], firsts / np.maximum(num_rows, 1)[:, None]
    return _States(tokens, mean.astype(np.float32), first.astype(np.float32))


def _build_rows(net: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[IntArray]) -> TaggedRows:
    """Cuts texts into windows in which each token counts as a word; special tokens alone are a row, too."""
    num_special = len(find_special_tokens(tokenizer))
    size = (pretrained.get_max_length(net) or 2**30) - num_special
    rows = TaggedRows.build(tokenizer, [EncodedWords(ids, np.arange(len(ids))) for ids in texts], size, size // 4)
    empty = np.array([number for number, ids in enumerate(texts) if num_special and not len(ids)], np.int64)
    columns = [rows.table.starts, rows.table.ends, rows.table.owned_starts, rows.table.owned_ends]
    starts, ends, owned_starts, owned_ends = (np.append(column, 0 * empty) for column in columns)
    sentences = np.append(rows.table.sentences, empty)
    return replace(
        rows,
        table=WindowTable(starts, ends, owned_starts, owned_ends, sentences),
        # One more token, for rows that show none.
        ids=np.append(rows.ids, np.int32(0)),
        words=np.append(rows.words, np.int32(0)),
        labels=np.append(rows.labels, np.int32(0)),
    )


def _find_special(batch: Mapping[str, Any], rows: TaggedRows) -> BoolArray:
    """Whether a token is special, shape (B, T)."""
    lengths = batch["attention_mask"].sum(1, keepdims=True)
    columns, special = np.arange(batch["input_ids"].shape[1]), rows.special_tokens
    is_suffix = (columns >= lengths - len(special.suffix)) & (columns < lengths)
    return np.asarray((columns < len(special.prefix)) | is_suffix)


def _run(
    net: PreTrainedModel, rows: TaggedRows, layers: Mapping[int, float]
) -> Iterator[tuple[dict[str, Any], Float32Array]]:
    """Yields batches of rows of similar lengths, and their hidden states, shape (B, T, H)."""
    for numbers in make_batches(rows.lengths, max_tokens=get_batch_tokens(net)):
        batch = rows.make_batch(numbers)
        inputs = {name: torch.from_numpy(batch[name]).to(net.device) for name in ("input_ids", "attention_mask")}
        with evaluating(net):
            hidden = _mix_layers(net, inputs, layers)
        yield batch, hidden.float().cpu().numpy()


def _mix_layers(net: PreTrainedModel, inputs: dict[str, Tensor], layers: Mapping[int, float]) -> Tensor:
    """Returns the weighted mean of layers, shape (B, T, H)."""
    if list(layers) == [net.config.num_hidden_layers]:
        return torch.as_tensor(net(**inputs).last_hidden_state)
    states = net(**inputs, output_hidden_states=True).hidden_states
    total = sum(layers.values())
    return torch.stack([states[layer] * (weight / total) for layer, weight in layers.items()]).sum(0)


def _check_layers(net: PreTrainedModel, layers: Mapping[int, float] | None) -> dict[int, float]:
    """Returns the weights by the number of the layer from the embeddings."""
    depth = net.config.num_hidden_layers
    checked: dict[int, float] = {}
    for layer, weight in (layers or {-1: 1.0}).items():
        if not -depth - 1 <= layer <= depth:
            raise InputError(f"layers must be from 0, the embeddings, to {depth}, or from -1 down, got {layer}")
        checked[layer % (depth + 1)] = checked.get(layer % (depth + 1), 0.0) + weight
    if min(checked.values()) < 0 or not 0 < sum(checked.values()) < np.inf:
        raise InputError(f"the weights of layers must be finite, at least 0 and not all 0, got {[*checked.values()]}")
    return checked
