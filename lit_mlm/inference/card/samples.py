"""What a model does with a few fixed sentences, for its model card."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lit_mlm.errors import shorten
from lit_mlm.inference.classify import classify_texts
from lit_mlm.inference.fill import fill_masks
from lit_mlm.inference.tag import find_tags
from lit_mlm.text.markdown import escape, format_table

log = logging.getLogger(__name__)

PROBES = (
    (
        "The [MASK] of the city was closed for the winter.",
        "She opened the [MASK] and looked outside.",
        "In 1998 Tom Reed moved from London to Tokyo to work for Acme Steel Works.",
        "The European Commission said on Thursday that it disagreed with German advice.",
    ),
    ("今天天气很[MASK]。", "他在[MASK]里看书。", "李明在北京大学学习。", "外交部星期四在北京发表声明。"),
)
"""Sentences for text that the data module does not describe, by language; masks are for masked language models."""

MASK = "[MASK]"


def choose_probes(tokenizer: PreTrainedTokenizerBase, given: Sequence[str] = ()) -> Sequence[str]:
    """Returns the given sentences, or else the `PROBES` that the tokenizer splits into the longest tokens."""
    if given:
        return given

    def count_tokens_per_byte(probes: Sequence[str]) -> float:
        text = " ".join(probes).replace(MASK, "")
        ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return (len(ids) + len(text) * ids.count(tokenizer.unk_token_id)) / len(text.encode())

    return min(PROBES, key=count_tokens_per_byte)


def make_samples(
    auto_class: str, net: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, given: Sequence[str] = ()
) -> list[str]:
    """Formats a table of filled masks, or of tagged or labelled sentences.

    Whatever fails is reported and leaves no samples, as a training must not end without its model.

    Args:
        auto_class: name of the `transformers` class of the task; other tasks have no samples.
        net: its net.
        tokenizer: its tokenizer.
        given: sentences; by default `PROBES`.
    """
    makers: dict[str, Callable[[Any, Any, list[str]], list[str]]] = {
        "AutoModelForMaskedLM": _fill,
        "AutoModelForTokenClassification": _tag,
        "AutoModelForSequenceClassification": _classify,
    }
    if auto_class not in makers:
        return []
    try:
        return makers[auto_class](net, tokenizer, list(choose_probes(tokenizer, given)))
    except Exception as error:
        log.warning("there are no samples: %s", shorten(error))
        return []


def _fill(net: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, probes: list[str]) -> list[str]:
    texts = [text for text in probes if MASK in text]
    rows = [["text", "first", "second", "third"]]
    for text, masks in zip(texts, fill_masks(net, tokenizer, texts, min(3, net.config.vocab_size)), strict=True):
        found = [f"{escape(one['token_str']) or '(space)'} ({one['score']:.2f})" for one in masks[0]]
        rows.append([escape(text), *found])
    return format_table(rows, "<<<<")


def _tag(net: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, probes: list[str]) -> list[str]:
    texts = [text for text in probes if MASK not in text]
    rows = [["sentence", "found"]]
    for tagged in find_tags(net, tokenizer, texts):
        found = [f"{escape(one['text'])} **{escape(one['type'])}** ({one['score']:.2f})" for one in tagged.entities]
        rows.append([escape(tagged.text), ", ".join(found) or "nothing"])
    return format_table(rows, "<<")


def _classify(net: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, probes: list[str]) -> list[str]:
    texts = [text for text in probes if MASK not in text]
    rows = [["text", "found", "probabilities"]]
    for text, found in zip(texts, classify_texts(net, tokenizer, texts), strict=True):
        top = sorted(found["scores"].items(), key=lambda item: -item[1])[:3]
        names = ", ".join(f"**{escape(name)}**" for name in found["labels"]) or "none"
        rows.append([escape(text), names, ", ".join(f"{escape(name)} ({score:.2f})" for name, score in top)])
    return format_table(rows, "<<<")
