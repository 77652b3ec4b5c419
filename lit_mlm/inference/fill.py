"""Fills masks with the most probable tokens of a masked language model.

Shapes: T tokens of a text, V vocabulary, M masks of a text.
"""

import re
from typing import TypedDict

import torch
from transformers import AutoModelForMaskedLM, PreTrainedModel, PreTrainedTokenizerBase

from lit_mlm.errors import InputError, refuse_text
from lit_mlm.inference.loading import load_model
from lit_mlm.nets import pretrained

MASK_NOTATION = re.compile(r"\[MASK\]|<mask>", re.IGNORECASE)
"""Masks that a user may type, beside the tokenizer's own."""


class Candidate(TypedDict):
    """One candidate for a mask. The first four fields are those of the fill-mask pipeline of `transformers`.

    `score` is a probability, `token` an id, `token_str` its text, `sequence` the decoded text with this mask filled.
    `text` is the original text with this mask filled; it keeps case, accents and white space.
    """

    score: float
    token: int
    token_str: str
    sequence: str
    text: str


def load_masked_lm(
    model: str,
    revision: str | None = None,
    allow_new_head: bool = False,
    allow_pickle: bool = False,
    trust_remote_code: bool = False,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Loads a masked language model and its tokenizer, by the arguments of `load_model`."""
    net, tokenizer = load_model(
        AutoModelForMaskedLM, "fill masks", model, revision, allow_pickle, trust_remote_code, allow_new_head
    )
    if tokenizer.mask_token_id is None:
        raise InputError(f"the tokenizer of {model} has no mask token, so it can't fill masks")
    return net, tokenizer


def fill_masks(
    net: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: list[str], top_k: int = 5
) -> list[list[list[Candidate]]]:
    """Returns the most probable candidates for each mask of each text; the other masks of a text stay masks.

    Args:
        net: a masked language model; run in eval mode.
        tokenizer: its tokenizer.
        texts: each with at least one mask, written ``[MASK]``, ``<mask>`` or as the tokenizer's own.
        top_k: candidates per mask, in [1, V].
    """
    refuse_text("texts", texts)
    if not 1 <= top_k <= net.config.vocab_size:
        raise InputError(f"top_k must be between 1 and the vocabulary's {net.config.vocab_size}, got {top_k}")
    was_training = net.training
    net.eval()
    try:
        return [_fill_text(net, tokenizer, text, top_k) for text in texts]
    finally:
        net.train(was_training)


def _fill_text(
    net: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str, top_k: int
) -> list[list[Candidate]]:
    notation = re.compile(f"{MASK_NOTATION.pattern}|{re.escape(tokenizer.mask_token)}", re.IGNORECASE)
    spans = [match.span() for match in notation.finditer(text)]
    if not spans:
        raise InputError(f"the text has no mask; write [MASK] or <mask> where a word is missing: {text!r}")
    masked = notation.sub(lambda _: tokenizer.mask_token, text)
    input_ids = tokenizer(masked, return_tensors="pt", verbose=False)["input_ids"]
    limit = pretrained.get_max_length(net)
    if limit is not None and input_ids.shape[1] > limit:
        raise InputError(
            f"the text has {input_ids.shape[1]} tokens, but the model takes at most {limit}: {text[:60]!r}..."
        )
    positions = (input_ids[0] == tokenizer.mask_token_id).nonzero()[:, 0]  # (M,)
    with torch.inference_mode():
        on_device = input_ids.to(net.device)
        logits = net(input_ids=on_device, attention_mask=torch.ones_like(on_device))[0]
    top = logits[0, positions].float().softmax(-1).topk(top_k)
    pad_id = -1 if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    filled: list[list[Candidate]] = [[] for _ in spans]
    for i, position in enumerate(positions.tolist()):
        for score, token_id in zip(top.values[i].tolist(), top.indices[i].tolist(), strict=True):
            ids = input_ids[0].clone()
            ids[position] = token_id
            token_str = str(tokenizer.decode([token_id]))
            filled[i].append(
                Candidate(
                    score=score,
                    token=token_id,
                    token_str=token_str,
                    # As in the pipeline: skipping special tokens would drop the other masks.
                    sequence=str(tokenizer.decode(ids[ids != pad_id], skip_special_tokens=len(positions) == 1)),
                    text=_fill_span(text, spans[i], token_id, token_str, tokenizer),
                )
            )
    return filled


def _fill_span(
    text: str, span: tuple[int, int], token_id: int, token_str: str, tokenizer: PreTrainedTokenizerBase
) -> str:
    """Returns the text with a mask filled; a token that continues a word joins the one before it."""
    before, after = text[: span[0]], text[span[1] :]
    token = str(tokenizer.convert_ids_to_tokens(token_id))
    opens_word = token.startswith(("\u0120", "\u2581")) or token_str[:1].isspace()  # byte-level BPE, SentencePiece
    # A mask token that strips the space before it replaces a token with a space.
    takes_space = tokenizer.added_tokens_decoder[tokenizer.mask_token_id].lstrip
    if token.startswith("##") or (takes_space and not opens_word):
        return before.rstrip() + token_str.removeprefix("##") + after
    space = " " if opens_word and before and not before[-1].isspace() else ""
    return before + space + token_str.strip() + after
