"""Texts with masks as windows of token ids, against the tokens of the whole text."""

import json
import random
from typing import Any

import pytest
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from lit_mlm.errors import InputError
from lit_mlm.inference import masked_texts
from lit_mlm.inference.fill import fill_masks, load_masked_lm
from lit_mlm.inference.masked_texts import BadTextError, TextEncoder, map_texts

LIMIT = 64


def draw_text(num_words: int, masks: set[int], seed: int = 1) -> str:
    """Words of several tokens, between white space of any kind."""
    rng = random.Random(seed)
    words = [
        "[MASK]" if i in masks else "".join(rng.choices("storyfilm", k=rng.randint(1, 9))) for i in range(num_words)
    ]
    return "".join(f"{word}{rng.choice([' ', '  ', chr(10)])}" for word in words)


def encode(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text.replace("[MASK]", tokenizer.mask_token), verbose=False)["input_ids"])


@pytest.mark.parametrize("model", ["tiny_bert", "tiny_roberta"])
def test_a_text_that_fits_is_one_window(model: str, request: pytest.FixtureRequest) -> None:
    net, tokenizer = load_masked_lm(request.getfixturevalue(model))
    text = "A <mask> was [mask]" + "." * 50
    ids = encode(tokenizer, text.replace("[mask]", "[MASK]").replace("<mask>", "[MASK]"))
    encoder = TextEncoder(net, tokenizer)
    for jointly in (False, True):
        (window,) = encoder.encode(text, jointly).windows
        assert window.ids.tolist() == ids
        assert [ids[position] for position in window.positions] == [tokenizer.mask_token_id] * 2


@pytest.mark.parametrize("characters_per_token", [1, 16])
@pytest.mark.parametrize("model", ["tiny_bert", "tiny_roberta"])
def test_a_long_text_has_a_window_around_each_mask(
    model: str, characters_per_token: int, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same whether it is tokenised whole or near its masks only, unless it is cut within words without spaces."""
    monkeypatch.setattr(masked_texts, "CHARACTERS_PER_TOKEN", characters_per_token)
    net, tokenizer = load_masked_lm(request.getfixturevalue(model))
    masks = {0, 3, 90, 91, 150, 198}
    text = draw_text(200, masks)
    cls, *whole, sep = encode(tokenizer, text)
    places = [i for i, token_id in enumerate(whole) if token_id == tokenizer.mask_token_id]
    encoder = TextEncoder(net, tokenizer)
    windows = encoder.encode(text).windows
    assert [list(window.masks) for window in windows] == [[i] for i in range(len(masks))]
    size = LIMIT - 2
    for place, window in zip(places, windows, strict=True):
        start = min(max(0, place - (size - 1) // 2), len(whole) - size)
        assert window.ids.tolist() == [cls, *whole[start : start + size], sep]
        assert window.positions == [place - start + 1]
    near = draw_text(200, {90, 91})
    (window,) = encoder.encode(near, jointly=True).windows
    assert len(window.ids) == LIMIT
    assert window.positions[1] - window.positions[0] == 1
    assert abs(window.positions[0] - size // 2) <= 1
    with pytest.raises(InputError, match=r"masks 1 to 6 span \d+ tokens, but a window has 62"):
        encoder.encode(text, jointly=True)


def test_the_candidates_of_a_long_text_are_those_of_its_window(tiny_bert: str) -> None:
    net, tokenizer = load_masked_lm(tiny_bert)
    text = f"{'the story was dull. ' * 40}A [MASK] film. {'it felt bright. ' * 40}"
    ((found,),) = fill_masks(net, tokenizer, [text])
    (window,) = TextEncoder(net, tokenizer).encode(text).windows
    ((expected,),) = fill_masks(net, tokenizer, [str(tokenizer.decode(window.ids[1:-1]))])
    assert [one["sequence"] for one in found] == [one["sequence"] for one in expected]
    assert [one["score"] for one in found] == pytest.approx([one["score"] for one in expected])
    before, after = text.split(" [MASK]")
    assert all(one["text"].startswith(before) and one["text"].endswith(after) for one in found)


@pytest.mark.parametrize("gap", [" ", " " * 3000, "s" * 3000])
def test_a_very_long_text_is_tokenised_near_its_masks(
    gap: str, tiny_bert: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as the window needs it: beyond a run of spaces or a long word."""
    net, tokenizer = load_masked_lm(tiny_bert)
    text = f"{'the story was dull. ' * 50_000}{gap}[MASK]{gap}{'it felt bright. ' * 50_000}"
    lengths, encode_slice = [], TextEncoder._encode_slice

    def count(self: TextEncoder, part: str) -> Any:
        lengths.append(len(part))
        return encode_slice(self, part)

    monkeypatch.setattr(TextEncoder, "_encode_slice", count)
    (window,) = TextEncoder(net, tokenizer).encode(text).windows
    assert len(window.ids) == LIMIT
    assert window.positions == [31]
    assert sum(lengths) < 50_000


def test_a_mask_that_the_tokenizer_does_not_read_is_refused(tiny_bert: str) -> None:
    net, tokenizer = load_masked_lm(tiny_bert)
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    for token in backend["added_tokens"]:
        token["single_word"] = token["content"] == "[MASK]"
    backend = Tokenizer.from_str(json.dumps(backend))
    encoder = TextEncoder(net, PreTrainedTokenizerFast(tokenizer_object=backend, mask_token="[MASK]"))
    assert len(encoder.encode("un [MASK] story").spans) == 1
    with pytest.raises(InputError, match=r"reads 0 masks where the text has 1; put spaces around them: 'un\[MASK\]ry'"):
        encoder.encode("un[MASK]ry")


def test_an_invalid_text_is_named_by_its_index(tiny_bert: str) -> None:
    encoder = TextEncoder(*load_masked_lm(tiny_bert))
    with pytest.raises(BadTextError, match=r"the text has no mask; write \[MASK\].*'none'") as caught:
        map_texts(encoder.encode, ["a [MASK]", "none", "nothing"])
    assert caught.value.index == 1
