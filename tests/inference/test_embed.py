"""Vectors of texts, words and spans, against the net on one text at a time."""

from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import AutoModel, BartConfig, PreTrainedTokenizerFast

from lit_mlm.errors import InputError
from lit_mlm.inference import embed
from lit_mlm.inference.embed import embed_spans, embed_texts, embed_words, load_encoder
from lit_mlm.inference.fill import load_masked_lm
from lit_mlm.nets.pretrained import get_max_length
from lit_mlm.text.arrays import Float32Array
from lit_mlm.text.tagging.windows import cut_windows
from lit_mlm.text.tagging.words import split_text

TEXTS = ["The story was good.", "", "A film", "The cast was dull, and the rest felt  brighter than it was.", "bad!"]


@pytest.fixture(params=["tiny_bert", "tiny_roberta"])
def encoder(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    return load_encoder(request.getfixturevalue(request.param))


def run_alone(net: Any, ids: list[int]) -> tuple[torch.Tensor, ...]:
    net.eval()
    with torch.no_grad():
        states = net(torch.tensor([ids]), output_hidden_states=True).hidden_states
    return tuple(state[0] for state in states)


def test_texts_equal_the_net_one_by_one(encoder: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "CHARACTERS_AT_A_TIME", 40)
    net, tokenizer = encoder
    net.train()
    states = [run_alone(net, ids) for ids in tokenizer(TEXTS)["input_ids"]]
    net.train()
    mean, cls = embed_texts(net, tokenizer, TEXTS), embed_texts(net, tokenizer, TEXTS, "cls")
    mixed = embed_texts(net, tokenizer, TEXTS, layers={0: 3, -1: 1})
    assert net.training
    for i, layers in enumerate(states):
        np.testing.assert_allclose(mean[i], layers[-1].mean(0), atol=1e-6)
        np.testing.assert_allclose(cls[i], layers[-1][0], atol=1e-6)
        np.testing.assert_allclose(mixed[i], (0.75 * layers[0] + 0.25 * layers[-1]).mean(0), atol=1e-6)


def test_words_and_spans_equal_the_net_one_by_one(encoder: tuple[Any, Any]) -> None:
    net, tokenizer = encoder
    words = embed_words(net, tokenizer, TEXTS)
    (whole,) = embed_spans(net, tokenizer, TEXTS[3:4], [[(4, 12), (0, len(TEXTS[3])), (13, 14)]])
    assert [len(vectors) for vectors in words] == [len(split_text(text)) for text in TEXTS]
    for text, vectors in zip(TEXTS, words, strict=True):
        encoded = tokenizer(text, return_offsets_mapping=True)
        hidden = run_alone(net, encoded["input_ids"])[-1]
        for (_, start, end), vector in zip(split_text(text), vectors, strict=True):
            tokens = [i for i, (a, b) in enumerate(encoded["offset_mapping"]) if a < end and b > start]
            np.testing.assert_allclose(vector, hidden[tokens].mean(0), atol=1e-6)
    np.testing.assert_allclose(whole[0], hidden_of(net, tokenizer, TEXTS[3], 4, 12), atol=1e-6)
    np.testing.assert_allclose(whole[1], hidden_of(net, tokenizer, TEXTS[3], 0, 99), atol=1e-6)


def hidden_of(net: Any, tokenizer: Any, text: str, start: int, end: int) -> Float32Array:
    encoded = tokenizer(text, return_offsets_mapping=True)
    tokens = [i for i, (a, b) in enumerate(encoded["offset_mapping"]) if max(a, start) < min(b, end)]
    return np.asarray(run_alone(net, encoded["input_ids"])[-1][tokens].mean(0))


def test_a_long_text_is_read_in_windows_and_each_token_counts_once(encoder: tuple[Any, Any]) -> None:
    net, tokenizer = encoder
    text = "The story was good, and the rest felt brighter. " * 40
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    size = (get_max_length(net) or 0) - 2
    assert len(ids) > 2 * size > 0
    windows = cut_windows(np.arange(len(ids)), size, size // 4)
    first, last = tokenizer("a")["input_ids"][0], tokenizer("a")["input_ids"][-1]
    total, count, tokens = torch.zeros(net.config.hidden_size), 0, []
    for start, end, owned, end_owned in zip(
        windows.starts, windows.ends, windows.first_owned, windows.end_owned, strict=True
    ):
        hidden = run_alone(net, [first, *ids[start:end], last])[-1]
        own = hidden[1 + owned - start : 1 + end_owned - start]
        total, count = total + own.sum(0) + hidden[0] + hidden[-1], count + len(own) + 2
        tokens.append(own)
    np.testing.assert_allclose(embed_texts(net, tokenizer, [text])[0], total / count, atol=1e-6)
    places = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"]
    spans = [(a, b) for a, b in places if a < b]
    (vectors,) = embed_spans(net, tokenizer, [text], [spans])
    np.testing.assert_allclose(vectors, torch.cat(tokens)[[a < b for a, b in places]], atol=1e-6)


def test_a_masked_language_model_lacks_only_the_pooler(tiny_bert: str) -> None:
    net, tokenizer = load_encoder(tiny_bert)
    whole, _ = load_masked_lm(tiny_bert)
    ids = tokenizer(TEXTS[:1], return_tensors="pt")["input_ids"]
    net.eval()
    whole.eval()
    with torch.no_grad():
        assert torch.equal(net(ids).last_hidden_state, whole.base_model(ids).last_hidden_state)


def test_a_net_without_weights_is_refused(tiny_bert: str, tmp_path: Any) -> None:
    net, tokenizer = load_encoder(tiny_bert)
    state = {name: weight for name, weight in net.state_dict().items() if "encoder.layer.0.attention" not in name}
    AutoModel.from_config(net.config).save_pretrained(tmp_path, state_dict=state)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"lacks .* weights, so it would embed texts at random"):
        load_encoder(str(tmp_path))


def test_empty_texts_without_special_tokens(tiny_bert: str, wordpiece: PreTrainedTokenizerFast) -> None:
    net, _ = load_encoder(tiny_bert)
    bare = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(wordpiece.backend_tokenizer.to_str()))
    bare.backend_tokenizer.post_processor = TemplateProcessing(single="$A", pair="$A $B", special_tokens=[])
    (vectors,) = embed_words(net, bare, ["film"])
    assert vectors.shape == (1, net.config.hidden_size)
    np.testing.assert_array_equal(np.concatenate(embed_words(net, bare, ["", "film", ""])), vectors)
    with pytest.raises(InputError, match="the text '' has no token, and the tokenizer adds none"):
        embed_texts(net, bare, ["film", ""])


def test_lone_surrogates_are_read_as_replacement_characters(encoder: tuple[Any, Any]) -> None:
    net, tokenizer = encoder
    found, expected = (embed_texts(net, tokenizer, [text]) for text in ("a \ud800 b", "a \ufffd b"))
    np.testing.assert_array_equal(found, expected)


def test_a_decoder_is_refused(bpe: PreTrainedTokenizerFast, tmp_path: Any) -> None:
    sizes: dict[str, Any] = {
        "encoder_ffn_dim": 16,
        "decoder_ffn_dim": 16,
        "encoder_attention_heads": 1,
        "decoder_attention_heads": 1,
    }
    config = BartConfig(vocab_size=len(bpe), d_model=8, encoder_layers=1, decoder_layers=1, **sizes)
    AutoModel.from_config(config).save_pretrained(tmp_path)
    bpe.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="has a decoder"):
        load_encoder(str(tmp_path))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net, tok: embed_texts(net, tok, "a text"), "texts must be a list"),
        (lambda net, tok: embed_texts(net, tok, ["a"], layers={99: 1}), "layers must be from 0"),
        (lambda net, tok: embed_texts(net, tok, ["a"], layers={0: 0, 1: 0}), "weights of layers"),
        (lambda net, tok: embed_texts(net, tok, ["a"], layers={0: -1, 1: 2}), "weights of layers"),
        (lambda net, tok: embed_texts(net, tok, ["a"], layers={0: float("inf")}), "weights of layers"),
        (lambda net, tok: embed_spans(net, tok, ["abc"], [[(2, 4)]]), "3 characters and no span 2:4"),
        (lambda net, tok: embed_spans(net, tok, ["abc"], []), "each of the 1 texts, got 0"),
    ],
)
def test_what_is_invalid_is_refused(call: Any, message: str, tiny_bert: str) -> None:
    with pytest.raises(InputError, match=message):
        call(*load_encoder(tiny_bert))
