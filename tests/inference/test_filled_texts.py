"""Texts with tokens in place of masks."""

import pytest

from lit_mlm.inference.fill import load_masked_lm
from lit_mlm.inference.filled_texts import Speller
from lit_mlm.inference.masked_texts import TextEncoder


@pytest.mark.parametrize(
    ("model", "token", "text", "expected"),
    [
        ("tiny_bert", "was", "The  Café [MASK] GOOD\n", "The  Café was GOOD\n"),
        ("tiny_bert", "##y", "The stor [mask].", "The story."),
        ("tiny_roberta", "Ġwas", "The story <mask>  good", "The story was  good"),
        ("tiny_roberta", "Ġwas", "The story<mask> good", "The story was good"),
        ("tiny_roberta", "Ġwas", "<mask> it", "was it"),
        ("tiny_roberta", "Ġwas", "one\n[MASK] it", "one\nwas it"),
        ("tiny_roberta", "y", "The stor <MASK>.", "The story."),
        ("tiny_roberta", ".", "The end <mask>", "The end."),
    ],
)
def test_the_user_s_own_text_is_filled(
    model: str, token: str, text: str, expected: str, request: pytest.FixtureRequest
) -> None:
    net, tokenizer = load_masked_lm(request.getfixturevalue(model))
    (span,) = TextEncoder(net, tokenizer).find_masks(text)
    token_id = tokenizer.get_vocab()[token]
    assert Speller(tokenizer).fill_span(text, span, token_id) == expected
