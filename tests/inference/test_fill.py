"""Filling masks, against the pipeline of `transformers`."""

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModel, AutoTokenizer, pipeline

from lit_mlm.errors import InputError
from lit_mlm.inference.fill import fill_masks, load_masked_lm

FIELDS = ("token", "token_str", "sequence")
TEXTS = [
    "The story was [MASK] and the rest felt bright.",
    "[MASK] cast was dull.",
    "I left before the film was over [MASK]",
]


@pytest.mark.parametrize("model", ["tiny_bert", "tiny_roberta"])
def test_single_masks_equal_the_pipeline(model: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(model)
    net, tokenizer = load_masked_lm(folder)
    expected: Any = pipeline("fill-mask", folder, device="cpu")(
        [t.replace("[MASK]", tokenizer.mask_token) for t in TEXTS]
    )
    for text, theirs, ours in zip(TEXTS, expected, fill_masks(net, tokenizer, TEXTS), strict=True):
        assert len(ours) == 1
        for one, other in zip(ours[0], theirs, strict=True):
            assert (one["token"], one["token_str"], one["sequence"]) == tuple(other[key] for key in FIELDS)
            assert one["score"] == pytest.approx(other["score"], rel=1e-5)
        assert fill_masks(net, tokenizer, [text.replace("[MASK]", "<mask>")])[0][0][0]["token"] == ours[0][0]["token"]


@pytest.mark.parametrize("model", ["tiny_bert", "tiny_roberta"])
def test_several_masks_equal_the_pipeline(model: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(model)
    net, tokenizer = load_masked_lm(folder)
    text = f"The {tokenizer.mask_token} was {tokenizer.mask_token}."
    expected: Any = pipeline("fill-mask", folder, device="cpu", top_k=3)(text)
    ours = fill_masks(net, tokenizer, [text], top_k=3)[0]
    assert [[c["sequence"] for c in mask] for mask in ours] == [[c["sequence"] for c in mask] for mask in expected]
    assert [[c["token"] for c in mask] for mask in ours] == [[c["token"] for c in mask] for mask in expected]


def test_bad_input_is_refused(tiny_bert: str) -> None:
    net, tokenizer = load_masked_lm(tiny_bert)
    with pytest.raises(ValueError, match=r"the text has no mask; write \[MASK\].*'no mask here'"):
        fill_masks(net, tokenizer, ["a [MASK]", "no mask here"])
    with pytest.raises(ValueError, match="top_k must be between 1 and the vocabulary's 150, got 0"):
        fill_masks(net, tokenizer, ["a [MASK]"], top_k=0)


def test_model_without_head_is_refused_unless_allowed(tiny_bert: str, tmp_path: Path) -> None:
    AutoModel.from_pretrained(tiny_bert).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"lacks 6 weights.*fill masks at random.*cls\.predictions.*--allow_new_head"):
        load_masked_lm(str(tmp_path))
    net, tokenizer = load_masked_lm(str(tmp_path), allow_new_head=True)
    assert len(fill_masks(net, tokenizer, ["a [MASK]"])[0][0]) == 5


def test_a_text_in_place_of_a_list_is_refused(tiny_bert: str) -> None:
    with pytest.raises(InputError, match=r"texts must be a list, got the text 'a \[MASK\]'"):
        fill_masks(*load_masked_lm(tiny_bert), "a [MASK]")
