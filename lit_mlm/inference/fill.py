"""Filling masks: the tokens that a masked language model finds most probable.

Shapes: B texts, T tokens, V vocabulary, M masks of a text.
"""

import re
from pathlib import Path
from typing import TypedDict

import torch
from transformers import AutoModelForMaskedLM, PreTrainedModel, PreTrainedTokenizerBase

from lit_mlm.errors import InputError
from lit_mlm.nets import pretrained
from lit_mlm.nets.remote_code import load_code

MASK_NOTATION = re.compile(r"\[MASK\]|<mask>", re.IGNORECASE)
"""What a user may type for a mask, beside the tokenizer's own mask token."""


class Candidate(TypedDict):
    """One filling of one mask. The first four are the fields of the fill-mask pipeline of `transformers`.

    `score` is a probability, `token` an id, `token_str` its text, `sequence` the decoded text with this mask filled.
    `text` is the user's own text with this mask filled: unlike `sequence` it keeps case, accents and white space.
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
    """Loads a masked language model and its tokenizer, ready for inference.

    Args:
        model: name on the Hub, a folder, or the folder of a run, whose ``hf`` is taken.
        revision: of a model on the Hub.
        allow_new_head: accepts a model that lacks weights; they are random, and so is what it fills in.
        allow_pickle: reads pickled weights, as data alone, where there are no safetensors.
        trust_remote_code: runs the code that the model brings along; on the Hub `revision` must be a commit.

    Raises:
        InputError: if the model lacks weights, or its tokenizer has no mask.
    """
    exported = Path(model) / "hf"
    name = str(exported) if exported.is_dir() else model
    if trust_remote_code:
        load_code(AutoModelForMaskedLM, name, revision)
    net, missing = pretrained.load_net(AutoModelForMaskedLM, name, revision, allow_pickle=allow_pickle)
    if missing and not allow_new_head:
        raise InputError(
            f"{name} lacks {len(missing)} weights of a masked language model, so it would fill masks at random: "
            f"{', '.join(missing)}; take a model that was trained to fill masks, or pass --allow_new_head"
        )
    tokenizer = pretrained.load_tokenizer(name, revision)
    if tokenizer.mask_token_id is None:
        raise InputError(f"the tokenizer of {name} has no mask token, so it can't fill masks")
    return net, tokenizer


def fill_masks(
    net: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: list[str], top_k: int = 5
) -> list[list[list[Candidate]]]:
    """Finds the most probable tokens for each mask, each by itself: the other masks of a text stay masks.

    Args:
        net: a masked language model; it is run in eval mode, without dropout.
        tokenizer: its tokenizer.
        texts: each with one mask or more, written ``[MASK]``, ``<mask>`` or as the tokenizer's own.
        top_k: candidates a mask, at least 1, at most V.

    Returns:
        For each text, for each of its masks, the candidates, most probable first.

    Raises:
        InputError: if a text has no mask or is longer than the net takes.
    """
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
    spans = _find_masks(text, tokenizer)
    if not spans:
        raise InputError(f"the text has no mask; write [MASK] or <mask> where a word is missing: {text!r}")
    input_ids = tokenizer(_write_masks(text, spans, tokenizer.mask_token), return_tensors="pt", verbose=False)[
        "input_ids"
    ]
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
    filled: list[list[Candidate]] = []
    for i, position in enumerate(positions.tolist()):
        filled.append([])
        for score, token_id in zip(top.values[i].tolist(), top.indices[i].tolist(), strict=True):
            ids = input_ids[0].clone()
            ids[position] = token_id
            token_str = str(tokenizer.decode([token_id]))
            filled[i].append(
                Candidate(
                    score=score,
                    token=token_id,
                    token_str=token_str,
                    # With one mask special tokens are left out, with several they would take the others along.
                    sequence=str(tokenizer.decode(ids[ids != pad_id], skip_special_tokens=len(positions) == 1)),
                    text=_fill_span(text, spans[i], token_id, token_str, tokenizer),
                )
            )
    return filled


def _find_masks(text: str, tokenizer: PreTrainedTokenizerBase) -> list[tuple[int, int]]:
    """Where the masks of a text start and end, in characters."""
    notation = re.compile(f"{MASK_NOTATION.pattern}|{re.escape(tokenizer.mask_token)}", re.IGNORECASE)
    return [match.span() for match in notation.finditer(text)]


def _write_masks(text: str, spans: list[tuple[int, int]], mask_token: str) -> str:
    """The text with each mask written as `mask_token`."""
    boundaries = [0, *(boundary for span in spans for boundary in span), len(text)]
    return mask_token.join(text[start:end] for start, end in zip(boundaries[::2], boundaries[1::2], strict=True))


def _fill_span(
    text: str, span: tuple[int, int], token_id: int, token_str: str, tokenizer: PreTrainedTokenizerBase
) -> str:
    """The text with one mask filled: a piece that continues a word joins the one before it, with no space between."""
    before, after = text[: span[0]], text[span[1] :]
    token = str(tokenizer.convert_ids_to_tokens(token_id))
    opens_word = token.startswith(("\u0120", "\u2581")) or token_str[:1].isspace()  # byte-level BPE, SentencePiece
    # A mask token that takes the space before it stands for a token that brings its own.
    takes_space = tokenizer.added_tokens_decoder[tokenizer.mask_token_id].lstrip
    if token.startswith("##") or (takes_space and not opens_word):
        return before.rstrip() + token_str.removeprefix("##") + after
    space = " " if opens_word and before and not before[-1].isspace() else ""
    return before + space + token_str.strip() + after
