"""Tagging, with nets whose labels are known or against the pieces of one window."""

import math
import random
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    pipeline,
)

from lit_mlm.errors import InputError
from lit_mlm.inference.tag import find_tags, load_tagger, tag_texts, tag_words
from lit_mlm.nets import pretrained
from lit_mlm.text.tagging import parts
from lit_mlm.text.tagging.words import is_invisible
from tests.families import FAMILIES, draw_sentence, encode_slowly

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
ODD = [
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 cafe\u0301 \u5317\u4eac\u5f88\u597d! \U0001f1eb\u00ad x\u0000y",
    "\u0301lone \u0928\u092e\u0938\u094d\u0924\u0947\t a\u2028b  ",
    "na\u00efve \u0130stanbul \ufb01n \U0001f600\U0001f600",
]


def save_tagger(folder: Path, model: str, labels: list[str] = LABELS, auto: Any = None, **stored: Any) -> str:
    """A net with a random head; `stored` is what `TokenClassification` leaves in the config."""
    config = AutoConfig.from_pretrained(model)
    pretrained.set_labels(config, labels)
    if stored:
        config.lit_mlm = stored
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = (auto or AutoModelForTokenClassification).from_config(config)
        for parameter in net.parameters():
            parameter.data.normal_(std=0.5)
    net.save_pretrained(folder)
    AutoTokenizer.from_pretrained(model).save_pretrained(folder)
    return str(folder)


def get_ids(tokenizer: Any, *words: str) -> list[int]:
    return [int(tokenizer.convert_tokens_to_ids(word)) for word in words]


class Speller(torch.nn.Module):
    """A net that gives each token the label of its id, and counts the tokens of each of its calls."""

    def __init__(self, net: Any, label_of: dict[int, int], certainty: float = 20.0) -> None:
        super().__init__()
        self.net, self.config, self.device = net, net.config, torch.device("cpu")
        self.label_of, self.certainty, self.lengths = label_of, certainty, list[int]()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        self.lengths += attention_mask.sum(dim=1).tolist()
        logits = torch.zeros(*input_ids.shape, len(self.config.id2label))
        for token, label in self.label_of.items():
            logits[..., label] += self.certainty * (input_ids == token)
        return SimpleNamespace(logits=logits)


@pytest.fixture(params=["tiny_bert", "tiny_roberta"])
def model(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


def test_offsets_are_exact_on_odd_text(model: str, tmp_path: Path) -> None:
    net, tokenizer = load_tagger(save_tagger(tmp_path / "ner", model))
    plain, _ = load_tagger(save_tagger(tmp_path / "pos", model, ["NN", "VB", "O"]))
    for text, entities, words in zip(
        ODD, tag_texts(net, tokenizer, ODD), tag_texts(plain, tokenizer, ODD), strict=True
    ):
        assert entities
        for found in (entities, words):
            assert all(text[entity["start"] : entity["end"]] == entity["text"] for entity in found)
            assert all(a["end"] <= b["start"] for a, b in pairwise(found))
        assert "".join(word["text"] for word in words) == "".join(text.split())  # each word, once
    assert tag_texts(net, tokenizer, ["", " \n", "a"])[:2] == [[], []]
    assert tag_texts(net, tokenizer, []) == []


class Modulo(Speller):
    """Gives each token the label that is its id modulo the number of labels."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        num_labels = len(self.config.id2label)
        return SimpleNamespace(logits=torch.nn.functional.one_hot(input_ids % num_labels, num_labels).float())


def remove_invisible(text: str) -> str:
    return "".join(c for c in text if c.isspace() or not is_invisible(c))


@pytest.mark.parametrize("family", FAMILIES)
def test_words_and_offsets_of_any_text(family: str, families: Any, tiny_bert: str, tmp_path: Path) -> None:
    """Each word once, with its place in the text and the label of its first piece, whatever the windows."""
    labels = ["NN", "VB", "JJ", "DT", "IN"]
    net, _ = load_tagger(save_tagger(tmp_path, tiny_bert, labels, window=13, stride=4, scheme=None))
    tokenizer, rng, stub = families[family], random.Random(family), Modulo(net, {})
    texts = [" ".join(draw_sentence(rng, rng.randrange(40))) for _ in range(20)]
    num_words = 0
    for text, words in zip(texts, tag_texts(stub, tokenizer, texts), strict=True):  # type: ignore[arg-type]
        end = 0
        for word in words:
            assert not remove_invisible(text[end : word["start"]]).strip()
            assert text[word["start"] : word["end"]] == word["text"]
            assert word["type"] == labels[encode_slowly(tokenizer, family, word["text"])[0] % 5]
            end = word["end"]
        assert not remove_invisible(text[end:]).strip()
        num_words += len(words)
    assert num_words > 500


class Oracle(Speller):
    """Gives each piece of a text the label that it has in the whole, in whichever window it stands."""

    def __init__(self, net: Any, pieces: list[int], labels: list[int]) -> None:
        super().__init__(net, {})
        self.pieces, self.labels = pieces, labels

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        logits = torch.zeros(*input_ids.shape, len(self.config.id2label))
        for row, ids in enumerate(input_ids.tolist()):
            middle = ids[1 : int(attention_mask[row].sum()) - 1]
            size = len(middle)
            (start,) = (i for i in range(len(self.pieces)) if self.pieces[i : i + size] == middle)
            for place, label in enumerate(self.labels[start : start + size], start=1):
                logits[row, place, label] = 9.0
        self.lengths += attention_mask.sum(dim=1).tolist()
        return SimpleNamespace(logits=logits)


@pytest.mark.parametrize("window", [None, 24])
@pytest.mark.parametrize("family", ["bpe", "bpe_with_prefix_space", "bpe_roberta"])
def test_byte_level_entities_keep_their_boundaries(
    family: str, window: int | None, families: Any, tiny_roberta: str, tmp_path: Path
) -> None:
    """Where the pipelines of `transformers` glue "Paris/London," together: from the right labels the right entities."""
    names = ["O", *(f"{prefix}-{kind}" for kind in ("PER", "LOC", "ORG") for prefix in "BI")]
    text = "Angela visited Paris/London, met Siemens."
    words = ["Angela", "visited", "Paris", "/", "London", ",", "met", "Siemens", "."]
    types = {"Angela": "PER", "Paris": "LOC", "London": "LOC", "Siemens": "ORG"}
    net, _ = load_tagger(save_tagger(tmp_path, tiny_roberta, names, window=window, stride=5, scheme="IOB2"))
    tokenizer = families[family]
    pieces, labels = [], []
    for word in words:
        ids = encode_slowly(tokenizer, family, word)
        tags = [f"{prefix}-{types[word]}" if word in types else "O" for prefix in "B" + "I" * (len(ids) - 1)]
        pieces += ids
        labels += [names.index(tag) for tag in tags]
    oracle: Any = Oracle(net, pieces, labels)
    entities = tag_texts(oracle, tokenizer, [text])[0]
    assert [(e["type"], e["text"], e["start"], e["end"]) for e in entities] == [
        *(("PER", "Angela", 0, 6), ("LOC", "Paris", 15, 20), ("LOC", "London", 21, 27), ("ORG", "Siemens", 33, 40)),
    ]
    assert (len(oracle.lengths) > 1) == (window is not None)


def test_entities_are_grouped(tiny_bert: str, tmp_path: Path) -> None:
    net, tokenizer = load_tagger(save_tagger(tmp_path, tiny_bert))
    ids = get_ids(tokenizer, "the", "was", "a", ".")
    speller: Any = Speller(net, dict(zip(ids, [1, 2, 4, 0], strict=True)), certainty=2.0)
    entities = tag_texts(speller, tokenizer, ["the was  was. a the"])[0]
    assert [(e["type"], e["text"]) for e in entities] == [("PER", "the was  was"), ("LOC", "a"), ("PER", "the")]
    sure = float(np.exp(2) / (np.exp(2) + 4))
    assert [e["score"] for e in entities] == pytest.approx([sure] * 3)


@pytest.mark.parametrize("window", [None, 10])
def test_a_text_of_2000_words_loses_none(tiny_bert: str, tmp_path: Path, window: int | None) -> None:
    net, tokenizer = load_tagger(save_tagger(tmp_path, tiny_bert, window=window, stride=3, scheme="IOB2"))
    words = ["the", "was", "a"]
    label_of = dict(zip(get_ids(tokenizer, *words), (1, 3, 0), strict=True))
    speller: Any = Speller(net, label_of)
    drawn = np.random.default_rng(0).integers(0, 3, size=2000)
    text = " ".join(words[i] for i in drawn)
    expected = [("B-PER", "B-LOC", "O")[i] for i in drawn]
    assert tag_words(speller, tokenizer, [text.split(" "), [], ["was"]]) == [expected, [], ["B-LOC"]]
    assert max(speller.lengths) == (window or 64)
    size = (window or 64) - 2
    assert len(speller.lengths) == 1 + math.ceil((2000 - size) / (size - 3)) + 1  # neighbours share 3 words
    assert len(tag_texts(speller, tokenizer, [text])[0]) == sum(tag != "O" for tag in expected)


def test_labels_are_those_of_first_pieces(model: str, tmp_path: Path) -> None:
    net, tokenizer = load_tagger(save_tagger(tmp_path, model))
    sentences = [["story", "bright"], ["The", "cast", "was", "boring", "."], ["dull"]]
    texts = AutoTokenizer.from_pretrained(model, add_prefix_space=True)  # BERT's takes no notice
    for words, tags in zip(sentences, tag_words(net, tokenizer, sentences), strict=True):
        encoded = texts(words, is_split_into_words=True, return_tensors="pt")
        with torch.inference_mode():
            logits: torch.Tensor = net.forward(**encoded).logits[0]
        first = [encoded.word_ids().index(i) for i in range(len(words))]
        assert tags == [LABELS[i] for i in logits[first].argmax(-1).tolist()]


def test_decoding_of_the_config_holds(tiny_bert: str, tmp_path: Path) -> None:
    words = [["was", "the", "a"]]
    found = {}
    for decoding in ("argmax", "viterbi"):
        net, tokenizer = load_tagger(
            save_tagger(tmp_path / decoding, tiny_bert, scheme="IOB2", window=16, stride=2, decoding=decoding)
        )
        ids = get_ids(tokenizer, *words[0])
        speller: Any = Speller(net, dict(zip(ids, (0, 2, 0), strict=True)))
        found[decoding] = tag_words(speller, tokenizer, words)[0]
    assert found["argmax"] == ["O", "I-PER", "O"]
    assert found["viterbi"][1] != "I-PER" or found["viterbi"][0] in ("B-PER", "I-PER")


@pytest.mark.parametrize(("stride", "context"), [("stride", "context_tokens"), ("overlap", "context_pieces")])
def test_context_of_the_document_is_shown(stride: str, context: str, tiny_bert: str, tmp_path: Path) -> None:
    """Under the names that earlier versions wrote, too."""
    net, tokenizer = load_tagger(
        save_tagger(tmp_path, tiny_bert, LABELS, None, **{"window": 12, stride: 2, context: 4})
    )
    speller: Any = Speller(net, {})
    sentences = [["the"] * 3, ["was"] * 2, ["a"]]
    tag_words(speller, tokenizer, sentences)
    assert sorted(speller.lengths) == [3, 4, 5]
    speller.lengths.clear()
    tag_words(speller, tokenizer, sentences, documents=[0, 0, 1])
    assert sorted(speller.lengths) == [3, 7, 7]  # the last one has a document of its own


def test_nets_without_a_head_are_refused(tiny_bert: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a BertForMaskedLM, which has no head to tag words"):
        load_tagger(tiny_bert)
    sequence = save_tagger(tmp_path / "seq", tiny_bert, auto=AutoModelForSequenceClassification)
    with pytest.raises(InputError, match="is a BertForSequenceClassification, which has no head"):
        load_tagger(sequence)
    config = AutoConfig.from_pretrained(tiny_bert)
    config.architectures = None
    body: Any = AutoModel.from_pretrained(tiny_bert)
    body.save_pretrained(tmp_path / "body")
    config.save_pretrained(tmp_path / "body")
    with pytest.raises(InputError, match=r"lacks 2 weights, so it would tag words at random.*classifier.bias"):
        load_tagger(str(tmp_path / "body"))


def test_the_folder_of_a_run_stands_for_its_export(tiny_bert: str, tmp_path: Path) -> None:
    save_tagger(tmp_path / "hf", tiny_bert)
    assert pretrained.get_labels(load_tagger(str(tmp_path))[0].config) == LABELS


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"scheme": "IOB9"}, "lit_mlm.scheme in the model's config.json is 'IOB9'"),
        ({"decoding": "eval"}, "lit_mlm.decoding in the model's config.json is 'eval'"),
        ({"window": "64"}, "lit_mlm.window in the model's config.json is '64'"),
        ({"stride": -1}, "lit_mlm.stride in the model's config.json is -1"),
        ({"context_tokens": 1.5}, "lit_mlm.context_tokens in the model's config.json is 1.5"),
        (["IOB2"], r"lit_mlm in the model's config.json must be a mapping, got \['IOB2'\]"),
    ],
)
def test_options_of_another_kind_in_a_config_are_refused(
    stored: Any, message: str, tiny_bert: str, tmp_path: Path
) -> None:
    net, tokenizer = load_tagger(save_tagger(tmp_path, tiny_bert))
    net.config.lit_mlm = stored
    with pytest.raises(InputError, match=message):
        tag_texts(net, tokenizer, ["a"])


def test_labels_without_prefixes_are_entities_of_neighbouring_words(tiny_bert: str, tmp_path: Path) -> None:
    """As in models trained elsewhere on O, PER and LOC: O is no entity."""
    net, tokenizer = load_tagger(save_tagger(tmp_path, tiny_bert, ["O", "PER", "LOC"]))
    first, second, third = get_ids(tokenizer, "f", "t", "a")
    stub: Any = Speller(net, {first: 1, second: 2, third: 0})
    (found,) = tag_texts(stub, tokenizer, ["f f a t f a"])
    assert [(e["type"], e["text"]) for e in found] == [("PER", "f f"), ("LOC", "t"), ("PER", "f")]


@pytest.mark.parametrize("labels", [["o", "b-per", "i-per"], ["O", "B_per", "I_per"], ["O", "per-B", "per-I"]])
def test_other_spellings_of_labels_are_entities(labels: list[str], tiny_bert: str, tmp_path: Path) -> None:
    net, tokenizer = load_tagger(save_tagger(tmp_path, tiny_bert, labels))
    first, second, third = get_ids(tokenizer, "f", "t", "a")
    stub: Any = Speller(net, {first: 1, second: 2, third: 0})
    assert tag_words(stub, tokenizer, [["f", "t", "a", "f"]]) == [["B-per", "I-per", "O", "B-per"]]
    assert [e["text"] for e in tag_texts(stub, tokenizer, ["f t a f"])[0]] == ["f t", "f"]


def test_invisible_characters_are_in_the_word_that_they_stand_in(tiny_bert: str, tmp_path: Path) -> None:
    net, tokenizer = load_tagger(save_tagger(tmp_path, tiny_bert, ["NN", "VB", "JJ"]))
    texts = ["Ka\u00adtze \u200eIBM", "\ufeffa\u200bb", "\u200b"]
    words = [[word["text"] for word in found] for found in tag_texts(net, tokenizer, texts)]
    assert words == [["Ka\u00adtze", "\u200eIBM"], ["\ufeffa\u200bb"], []]


def test_a_text_in_place_of_a_list_is_refused(tiny_bert: str, tmp_path: Path) -> None:
    net, tokenizer = load_tagger(save_tagger(tmp_path, tiny_bert))
    functions: Any = (tag_texts, find_tags)
    for function in functions:
        with pytest.raises(
            InputError, match=r"texts must be a list, got the text 'one text'; put it in a list: \['one"
        ):
            function(net, tokenizer, "one text")
    for sentences, name in (("one text", "sentences"), (["one text"], "a sentence")):
        with pytest.raises(InputError, match=f"^{name} must be a list, got the text 'one text'"):
            tag_words(net, tokenizer, sentences)


def test_net_that_gives_nan_is_refused(tiny_bert: str, tmp_path: Path) -> None:
    net, tokenizer = load_tagger(save_tagger(tmp_path, tiny_bert))
    for parameter in net.parameters():
        torch.nn.init.constant_(parameter, math.nan)
    with pytest.raises(InputError, match="the net gives NaN for some words"):
        tag_texts(net, tokenizer, ["one two"])


@pytest.mark.parametrize("aggregation", ["first", "max", "average"])
def test_aggregation_is_that_of_the_pipeline(aggregation: Any, tiny_bert: str, tmp_path: Path) -> None:
    """`aggregate_words` of the `token-classification` pipeline of `transformers`, on words that both define alike."""
    net, tokenizer = load_tagger(save_tagger(tmp_path, tiny_bert, ["NN", "VB", "JJ", "DT", "IN"]))
    texts = ["storybright thecast boringly", "unwatchableness was goodish", "dull"]
    make_pipeline: Any = pipeline
    tagger = make_pipeline("token-classification", model=net, tokenizer=tokenizer, aggregation_strategy=aggregation)
    tagger.group_entities = lambda words: words
    for text, words in zip(texts, tag_texts(net, tokenizer, texts, aggregation=aggregation), strict=True):
        expected: Any = tagger(text)
        assert [(word["type"], word["start"], word["end"]) for word in words] == [
            (word["entity"], word["start"], word["end"]) for word in expected
        ]
        assert [word["score"] for word in words] == pytest.approx([word["score"] for word in expected], rel=1e-4)
    assert sum(map(len, tokenizer(texts)["input_ids"])) > 2 * len(" ".join(texts).split())


@pytest.mark.parametrize("decoding", ["argmax", "viterbi"])
def test_a_sentence_of_many_parts_has_the_tags_of_the_whole(
    decoding: str, tiny_bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, tokenizer = load_tagger(save_tagger(tmp_path, tiny_bert, window=16, stride=5, decoding=decoding))
    for name, parameter in net.named_parameters():
        if name.endswith(("LayerNorm.weight", "bias")):  # else they outweigh the tokens
            torch.nn.init.constant_(parameter, float(name.endswith("weight")))
    rng = random.Random(0)
    texts = [" ".join(rng.choices(["story", "bright", "cast", "boring", "zz"], k=size)) for size in (700, 0, 3, 90)]
    whole = find_tags(net, tokenizer, texts)
    monkeypatch.setattr(parts, "WORDS_PER_PART", 64)
    for one, other in zip(whole, find_tags(net, tokenizer, texts), strict=True):
        assert (one.words, one.tags) == (other.words, other.tags)
        for name in ("type", "text", "start", "end"):
            assert [e[name] for e in one.entities] == [e[name] for e in other.entities]  # type: ignore[literal-required]
    assert len(set(whole[0].tags)) > 2


def test_batch_size_changes_no_tag_and_stride_is_followed(tiny_bert: str, tmp_path: Path) -> None:
    net, tokenizer = load_tagger(save_tagger(tmp_path, tiny_bert, window=10, stride=3))
    stub: Any = Speller(net, {})
    words = [["the", "was", "a"] * 10, ["a"]]
    assert len({str(tag_words(net, tokenizer, words, batch_size=size)) for size in (None, 1, 3, 100)}) == 1
    for stride, expected in ((None, 6), (0, 4), (7, 23)):
        stub.lengths.clear()
        tag_words(stub, tokenizer, [["the"] * 30], stride=stride)
        assert len(stub.lengths) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"stride": -1}, "stride must be at least 0, got -1"),
        ({"stride": 8}, "stride must be less than the 8 tokens of a window, got 8"),
        ({"aggregation": "mean"}, "aggregation must be one of first, max, average, got 'mean'"),
    ],
)
def test_wrong_options_are_refused(options: Any, message: str, tiny_bert: str, tmp_path: Path) -> None:
    net, tokenizer = load_tagger(save_tagger(tmp_path, tiny_bert, window=10))
    with pytest.raises(InputError, match=f"^{message}"):
        tag_texts(net, tokenizer, ["a"], **options)
