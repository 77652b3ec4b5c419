"""Labels texts of any length.

They are cut to rows as in the evaluation of `TextClassification`, whose options the net's config stores.
"""

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

from lit_mlm.errors import InputError, refuse_text
from lit_mlm.inference.loading import load_model
from lit_mlm.inference.masked_rows import evaluating, get_batch_tokens
from lit_mlm.metrics.classes import decide
from lit_mlm.nets import pretrained
from lit_mlm.nets.text_logits import compute_text_logits, prepare_classifier
from lit_mlm.options import Count, Size, check_option
from lit_mlm.text.long_texts import LongTexts, TextRows, fit_window
from lit_mlm.text.special_tokens import find_special_tokens


class Classified(TypedDict):
    """The labels of a text, one unless the net gives any number, and the probability of each label of the net."""

    labels: list[str]
    scores: dict[str, float]


def load_classifier(
    model: str, revision: str | None = None, allow_pickle: bool = False, trust_remote_code: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Loads a text classifier and its tokenizer, by the arguments of `load_model`."""
    options = (model, revision, allow_pickle, trust_remote_code)
    return load_model(AutoModelForSequenceClassification, "label texts", *options, head="ForSequenceClassification")


def classify_texts(
    net: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str | Sequence[str]]
) -> list[Classified]:
    """Labels texts, each a string, or the strings of its columns, as many of each text.

    Args:
        net: a text classifier; run in eval mode.
        tokenizer: its tokenizer.
        texts: of any length.
    """
    refuse_text("texts", texts)
    columns = [(text,) if isinstance(text, str) else tuple(text) for text in texts]
    if len({len(text) for text in columns}) > 1:
        raise InputError("all texts must have as many columns as the first")
    if not columns:
        return []
    several = net.config.problem_type == "multi_label_classification"
    prepare_classifier(net, tokenizer, several)
    rows = _make_rows(net, tokenizer, columns)
    names, found = pretrained.get_labels(net.config), [Classified(labels=[], scores={}) for _ in columns]
    for batch in _batch(rows, get_batch_tokens(net)):
        arrays = {name: torch.from_numpy(array).to(net.device) for name, array in rows.make_batch(batch).items()}
        with evaluating(net):
            probs, chosen = decide(compute_text_logits(net, arrays), several)
        for index, row, is_chosen in zip(batch.tolist(), probs.tolist(), chosen.tolist(), strict=True):
            labels = [name for name, is_one in zip(names, is_chosen, strict=True) if is_one]
            found[index] = Classified(labels=labels, scores=dict(zip(names, row, strict=True)))
    return found


def _make_rows(net: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, columns: list[tuple[str, ...]]) -> TextRows:
    stored: Any = getattr(net.config, "lit_mlm", None) or {}
    for name, hint in {"window": Count | None, "stride": Size | None, "long_texts": LongTexts}.items():
        if name in stored:
            check_option(f"{name} in the config of the model", hint, stored[name])
    limit, num_special = pretrained.get_max_length(net), len(find_special_tokens(tokenizer))
    _, size, stride = fit_window(stored.get("window"), stored.get("stride"), num_special, limit)
    encoded = [tokenizer(list(text), add_special_tokens=False, verbose=False)["input_ids"] for text in columns]
    lengths = np.array([[len(ids) for ids in text] for text in encoded], dtype=np.int64)
    ids = np.array([token for text in encoded for part in text for token in part], dtype=np.int32)
    return TextRows.build(tokenizer, ids, lengths, stored.get("long_texts", "head"), size, stride)


def _batch(rows: TextRows, max_tokens: int) -> list[Any]:
    """The texts of each batch, longest first, of at most `max_tokens` tokens with padding, or a single text."""
    lengths = rows.lengths
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        end = start + max(1, max_tokens // int(lengths[order[start]]))
        batches.append(order[start:end])
        start = end
    return batches
