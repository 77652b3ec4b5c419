"""The base data module for tagged words: labels, schemes, windows, batches, facts and fingerprints."""

import json
import random
from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from lit_mlm.batch import IGNORE_INDEX, NO_WORD
from lit_mlm.data.tagged.module import TaggedDataModule
from lit_mlm.data.tagged.sentences import TaggedSentence
from lit_mlm.errors import InputError
from lit_mlm.text.packing import find_padding
from lit_mlm.text.tagging.schemes import Scheme, find_spans, write_tags
from tests.families import FAMILIES, SPACED, draw_sentence, encode_slowly, is_surrogate

CoNLL = {
    "EU rejects German call to boycott British lamb .": "B-ORG O B-MISC O O O B-MISC O O",
    "Peter Blackburn": "B-PER I-PER",
    "BRUSSELS 1996-08-22": "B-LOC O",
}
"""The first sentences of CoNLL-2003."""


def make_sentences(texts: dict[str, str], place: str = "train.txt", **fields: Any) -> list[TaggedSentence]:
    sentences, line = [], 1
    for words, tags in texts.items():
        sentences.append(TaggedSentence(words.split(), tags.split(), place, line, **fields))
        line += len(words.split()) + 1
    return sentences


def make_long_sentences(num_sentences: int = 30) -> list[TaggedSentence]:
    """Sentences of the first letters, some of them long."""
    rng = np.random.default_rng(0)
    sentences = []
    for number in range(num_sentences):
        words = ["".join(rng.choice(list("abcd"), rng.integers(1, 6))) for _ in range(rng.integers(1, 60))]
        tags = [["O", "B-X", "B-Y"][i] for i in rng.integers(0, 3, len(words))]
        sentences.append(TaggedSentence(words, tags, "long.txt", 100 * number, number // 5))
    return sentences


class SentencesDataModule(TaggedDataModule):
    """A data set as a researcher adds one: a class with one method."""

    def __init__(self, splits: dict[str, list[TaggedSentence]] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.save_hyperparameters(logger=False, ignore="splits")
        self.splits = splits or dict.fromkeys(("train", "val", "test"), make_sentences(CoNLL))
        self.asked: list[str] = []

    def load_sentences(self, splits: Collection[str]) -> dict[str, list[TaggedSentence]]:
        self.asked += sorted(splits)
        return {split: self.splits[split] for split in splits}


MODEL = {"max_length": None, "has_final_tokenizer": False, "load_tokenizer": lambda: None}
"""What data asks of a model built from scratch."""


@pytest.fixture
def make_data(conll_tokenizer: str, cache_dir: str) -> Any:
    def make(
        splits: dict[str, list[TaggedSentence]] | None = None,
        stage: str = "fit",
        model: dict[str, Any] | None = None,
        **options: Any,
    ) -> SentencesDataModule:
        defaults = {"tokenizer": conll_tokenizer, "cache_dir": cache_dir, "batch_size": 4}
        data = SentencesDataModule(splits, **(defaults | options))
        if model is not None:
            data.attach(SimpleNamespace(**(MODEL | model)))
        data.setup(stage)
        return data

    return make


def collect(data: TaggedDataModule, split: str = "val") -> dict[tuple[int, int], tuple[list[int], list[int]]]:
    """Ids and labels of the pieces of each word, each of which must be there once; (sentence, word) is the key."""
    found: dict[tuple[int, int], tuple[list[int], list[int]]] = {}
    for batch in getattr(data, f"{split}_dataloader")():
        for ids, labels, words, sentence in zip(*read_arrays(batch), batch["sentences"].tolist(), strict=True):
            for word in sorted(set(words) - {NO_WORD}):
                places = [i for i, number in enumerate(words) if number == word]
                assert (sentence, word) not in found
                found[sentence, word] = ([ids[i] for i in places], [labels[i] for i in places])
    return found


def read_arrays(batch: dict[str, Tensor]) -> list[list[list[int]]]:
    return [batch[name].tolist() for name in ("input_ids", "labels", "words")]


def test_golden_labels(make_data: Any) -> None:
    data = make_data()
    assert data.labels == ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"]
    (batch,) = data.val_dataloader()
    row = batch["sentences"].tolist().index(0)
    assert batch["labels"][row].tolist() == [-100, 3, 0, 7, 0, 0, 0, 7, 0, 0, 0, -100]
    assert batch["words"][row].tolist() == [-1, 0, 1, 2, 3, 4, 5, 6, 7, 7, 8, -1]
    row = batch["sentences"].tolist().index(1)
    assert batch["labels"][row].tolist()[:5] == [-100, 1, 2, 2, -100]
    (ignored,) = make_data(label_later_pieces="ignore").val_dataloader()
    assert ignored["labels"][row].tolist()[:5] == [-100, 1, 2, -100, -100]


def test_ids_are_those_of_the_tokenizer(make_data: Any, conll_tokenizer: str) -> None:
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(conll_tokenizer)
    data = make_data()
    (batch,) = data.val_dataloader()
    for row, number in enumerate(batch["sentences"].tolist()):
        expected = tokenizer(data.sentences["val"][number].words, is_split_into_words=True)["input_ids"]
        assert batch["input_ids"][row][batch["attention_mask"][row] == 1].tolist() == expected
    assert data.sequence_length == 12


@pytest.mark.parametrize("family", FAMILIES)
def test_pieces_and_labels_of_any_words_equal_those_of_the_tokenizer(
    make_data: Any, families: dict[str, PreTrainedTokenizerFast], family: str
) -> None:
    """Word by word; windows cut the sentences, and longer words keep the pieces that fit one."""
    tokenizer, rng = families[family], random.Random(family)
    drawn = [draw_sentence(rng, rng.randrange(1, 40)) for _ in range(25)]
    tags = [[rng.choice(["O", "B-PER", "B-LOC"]) for _ in words] for words in drawn]
    sentences = [TaggedSentence(*pair, "train.txt") for pair in zip(drawn, tags, strict=True)]
    model = {"load_tokenizer": lambda: tokenizer, "max_length": 30}
    data = make_data(dict.fromkeys(("train", "val"), sentences), model=model, tokenizer=None, batch_size=5)
    size = 30 - tokenizer.num_special_tokens_to_add()
    expected, whole = {}, []
    for number, (words, its_tags) in enumerate(zip(drawn, tags, strict=True)):
        pieces = [encode_slowly(tokenizer, family, word)[:size] for word in words]
        whole.append([piece for its_pieces in pieces for piece in its_pieces])
        for word, (ids, tag) in enumerate(zip(pieces, its_tags, strict=True)):
            labels = [tag] + [tag.replace("B-", "I-")] * (len(ids) - 1)
            expected[number, word] = (ids, [data.labels.index(label) for label in labels])
    assert collect(data) == expected
    assert collect(data, "train") == expected
    num_rows = 0
    for batch in data.val_dataloader():
        for row, number in enumerate(batch["sentences"].tolist()):
            ids = batch["input_ids"][row][batch["attention_mask"][row] == 1].tolist()
            middle = ids[0 if family.startswith("unigram") else 1 : -1]
            length = len(middle)
            assert any(whole[number][i : i + length] == middle for i in range(len(whole[number]) - length + 1))
            num_rows += 1
    assert num_rows > 2 * len(sentences)


@pytest.mark.parametrize("family", sorted({*FAMILIES} - SPACED))
def test_words_equal_the_library_s(make_data: Any, families: dict[str, PreTrainedTokenizerFast], family: str) -> None:
    """Labels by `word_ids` of `tokenizer(words, is_split_into_words=True)`, of words that this doesn't swallow."""
    tokenizer, rng = families[family], random.Random(family)
    sentences: list[TaggedSentence] = []
    while len(sentences) < 20:
        words = ["".join(c for c in word if not is_surrogate(c)) for word in draw_sentence(rng, rng.randrange(1, 9))]
        words = [
            word for word in words if tokenizer([word], is_split_into_words=True, add_special_tokens=False)["input_ids"]
        ]
        if words:
            sentences.append(TaggedSentence(words, [rng.choice(["O", "B-PER"]) for _ in words], "train.txt"))
    data = make_data(
        dict.fromkeys(("train", "val"), sentences), model={"load_tokenizer": lambda: tokenizer}, tokenizer=None
    )
    for batch in data.val_dataloader():
        for row, number in enumerate(batch["sentences"].tolist()):
            encoded = tokenizer(sentences[number].words, is_split_into_words=True)
            ids, before = encoded.word_ids(), None
            labels = []
            for word in ids:
                tag = "" if word is None else sentences[number].tags[word]
                tag = tag.replace("B-", "I-") if word == before else tag
                labels.append(data.labels.index(tag) if tag else IGNORE_INDEX)
                before = word
            length = len(encoded["input_ids"])
            assert int(batch["attention_mask"][row].sum()) == length
            assert batch["input_ids"][row][:length].tolist() == encoded["input_ids"]
            assert batch["labels"][row][:length].tolist() == labels


@pytest.mark.parametrize("scheme", ["IOB1", "IOB2", "BIOES", "BILOU"])
def test_every_scheme_gives_the_same_batches(make_data: Any, scheme: Scheme) -> None:
    def write(sentence: TaggedSentence) -> TaggedSentence:
        tags = write_tags(find_spans(sentence.tags), len(sentence.tags), scheme)
        return TaggedSentence(sentence.words, tags, sentence.place, sentence.first_line)

    expected = make_data()
    data = make_data({split: [write(sentence) for sentence in make_sentences(CoNLL)] for split in ("train", "val")})
    assert (data.labels, data.scheme, data.fingerprint) == (expected.labels, "IOB2", expected.fingerprint)
    assert data.describe_split("val") == expected.describe_split("val")
    assert collect(data) == collect(expected)


def test_target_scheme(make_data: Any) -> None:
    data = make_data(scheme="BIOES")
    assert data.scheme == "BIOES"
    assert data.labels[:5] == ["O", "B-PER", "I-PER", "E-PER", "S-PER"]
    assert data.sentences["val"][1].tags == ["B-PER", "E-PER"]
    names = data.labels[::-1]
    assert make_data(stage="validate", model={"label_names": names}).sentences["val"][1].tags == ["B-PER", "E-PER"]


def test_plain_tags(make_data: Any) -> None:
    sentences = make_sentences({"Peter Blackburn": "NNP NNP", "EU rejects lamb": "NNP VBZ NN"})
    data = make_data({"train": sentences, "val": sentences})
    assert (data.labels, data.scheme) == (["NN", "NNP", "VBZ"], None)
    assert collect(data)[0, 1][1] == [1, 1]
    assert "num_gold_entities" not in data.describe_split("val")
    with pytest.raises(InputError, match=r"data.scheme IOB2 has no effect: the tags are plain"):
        make_data({"train": sentences, "val": sentences}, scheme="IOB2")


def test_labels_that_are_given(make_data: Any) -> None:
    given = ["I-PER", "B-PER", "O", *(f"{prefix}-{kind}" for kind in ("ORG", "LOC", "MISC") for prefix in "BI")]
    data = make_data(labels=given, stage="validate")
    assert (data.labels, data.asked) == (given, ["val"])
    assert collect(data)[1, 0][1] == [1]
    with pytest.raises(
        InputError, match=r"line 1 \('EU'\): tag 'B-ORG' is not among the labels of data.labels: O, B-P"
    ):
        make_data(labels=["O", "B-PER", "I-PER"])
    with pytest.raises(InputError, match="each once, got"):
        make_data(labels=["O", "O"])


@pytest.mark.parametrize("stage", ["fit", "validate", "test"])
def test_labels_of_a_model_go_by_name(make_data: Any, stage: str) -> None:
    names = make_data().labels[::-1]
    data = make_data(stage=stage, model={"label_names": names})
    assert data.labels == names
    assert data.asked == {"fit": ["train", "val"], "validate": ["val"], "test": ["test"]}[stage]
    assert collect(data, "val" if stage == "fit" else data.asked[0])[1, 0][1] == [names.index("B-PER")]


def test_labels_that_a_model_lacks(make_data: Any) -> None:
    names = ["O", "B-PER", "I-PER"]
    assert make_data(model={"label_names": names}).labels == make_data().labels  # training makes a new head
    with pytest.raises(
        InputError, match=r"line 1 \('EU'\): tag 'B-ORG' is not among the labels of the model: O, B-PER"
    ):
        make_data(stage="validate", model={"label_names": names})
    with pytest.raises(InputError, match=r"but data.labels are O, B-X, I-X"):
        make_data(stage="validate", model={"label_names": names}, labels=["O", "B-X", "I-X"])


def test_labels_come_from_the_training_split(make_data: Any) -> None:
    few = {"train": make_sentences({"Peter a": "B-PER O"}), "val": make_sentences(CoNLL, "valid.txt")}
    with pytest.raises(
        InputError, match=r"valid.txt, line 1 \('EU'\): tag 'B-ORG' is not among the labels of the train"
    ):
        make_data(few)
    splits = {"train": make_sentences(CoNLL), "test": make_sentences({"Peter Blackburn": "B-LOC I-LOC"})}
    data = make_data(splits, stage="test")
    assert (len(data.labels), data.asked) == (9, ["test", "train"])
    assert collect(data, "test")[0, 0][1] == [data.labels.index("B-LOC")]


def test_tags_out_of_place_are_told_once_and_refused_on_request(
    make_data: Any, caplog: pytest.LogCaptureFixture
) -> None:
    stray = {"a b c": "O I-PER O", "d e": "I-LOC I-PER"}
    splits = {"train": make_sentences(CoNLL), "val": make_sentences(stray, "valid.txt")}
    right = splits | {"val": make_sentences({"a b c": "O B-PER O", "d e": "B-LOC B-PER"}, "valid.txt")}
    data, expected = make_data(splits), make_data(right, strict_tags=True)
    assert caplog.messages == [
        "val: tags out of place, read as in conlleval: 3, the first: valid.txt, line 2 ('b'): tag 'I-PER', expected "
        "B-PER, as no entity of this type comes right before (IOB2); data.strict_tags true rejects them"
    ]
    assert (data.fingerprint, data.describe_split("val")) == (expected.fingerprint, expected.describe_split("val"))
    assert collect(data) == collect(expected)
    with pytest.raises(InputError, match=r"valid.txt, line 2 \('b'\): tag 'I-PER', expected B-PER.*data.strict_tags"):
        make_data(splits, strict_tags=True)


LONG = dict.fromkeys(("train", "val", "test"), make_long_sentences())


@pytest.mark.parametrize("window", [7, 16, None])
def test_every_word_of_long_sentences_is_there_once(make_data: Any, window: int | None) -> None:
    whole, data = make_data(LONG), make_data(LONG, window=window)
    assert collect(data) == collect(whole)
    assert len(collect(data)) == sum(len(sentence.words) for sentence in LONG["val"])
    assert data.sequence_length <= (window or 10**6)
    assert data.describe_split("val")["num_words"] == len(collect(whole))


@pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_size": 64}, {"eval_batch_size": 7}])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_evaluation_does_not_depend_on_batches(make_data: Any, options: dict[str, Any], num_workers: int) -> None:
    def read(data: TaggedDataModule) -> list[Any]:
        rows = []
        for batch in data.val_dataloader():
            for i, sentence in enumerate(batch["sentences"].tolist()):
                length = int(batch["attention_mask"][i].sum())
                rows.append((sentence, *(array[i][:length] for array in read_arrays(batch))))
        return sorted(rows)

    expected = make_data(LONG, window=16, max_tokens_per_batch=200)
    data = make_data(LONG, window=16, num_workers=num_workers, **options)
    assert read(data) == read(expected)
    facts = [{k: v for k, v in d.describe_split("val").items() if k != "padding_fraction"} for d in (data, expected)]
    assert facts[0] == facts[1]


def test_windows_of_a_sentence_share_a_batch(make_data: Any) -> None:
    data = make_data(LONG, window=12, batch_size=3)
    batches = [set(batch["sentences"].tolist()) for batch in data.val_dataloader()]
    assert sum(map(len, batches)) == len(LONG["val"])
    assert data.describe_split("val")["num_windows"] > len(LONG["val"])


def test_training_order_follows_seed_and_epoch(make_data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(seed: int, epoch: int, **options: Any) -> list[list[int]]:
        monkeypatch.setenv("PL_GLOBAL_SEED", str(seed))
        loader = make_data(LONG, window=16, **options).train_dataloader()
        loader.sampler.set_epoch(epoch)
        return [batch["sentences"].tolist() for batch in loader]

    assert read(1, 2) == read(1, 2, num_workers=1)
    assert len({json.dumps(read(*key)) for key in ((1, 2), (1, 3), (2, 2))}) == 3
    assert sorted(sum(read(1, 2), [])) == sorted(sum(read(1, 2, group_by_length=True), []))  # noqa: RUF017


def test_training_batches_go_by_length_on_request_and_where_tokens_size_them(make_data: Any) -> None:
    def read(**options: Any) -> tuple[set[int], float, int]:
        """The numbers of windows of whole batches, the share of padding, and the most tokens in a batch."""
        data = make_data(LONG, window=16, **options)
        shapes = [tuple(batch["input_ids"].shape) for batch in data.train_dataloader()]
        padding = find_padding(data.make_sampler("train", is_training=True).list_lengths())
        return {rows for rows, _ in shapes}, padding, max(rows * length for rows, length in shapes)

    chance, grouped = read(), read(group_by_length=True)
    assert chance == read(group_by_length=False)
    assert grouped[1] < chance[1] / 2
    tokens, alike = ({"max_tokens_per_batch": 64, **more} for more in ({}, {"group_by_length": False}))
    assert read(**tokens) == read(**tokens, group_by_length=True)
    assert len(read(**tokens)[0]) > 2
    assert read(**alike)[0] <= {4, 3, 2, 1}
    assert read(**tokens)[2] <= 64 >= read(**alike)[2]
    assert make_data(LONG).describe_split("val") == make_data(LONG, group_by_length=True).describe_split("val")


def test_context(make_data: Any) -> None:
    plain, data = make_data(LONG, window=40), make_data(LONG, window=40, context_tokens=20)
    assert collect(data) == collect(plain)
    tokens = [sum(int(batch["attention_mask"].sum()) for batch in d.val_dataloader()) for d in (plain, data)]
    assert tokens[1] > tokens[0]
    assert plain.fingerprint != data.fingerprint
    with pytest.raises(InputError, match=r"data.context_tokens needs document boundaries, which train.txt does no"):
        make_data(context_tokens=5)


def test_facts(make_data: Any) -> None:
    data = make_data(model={"max_length": 7})
    facts = data.describe_split("val")
    # Five pieces are kept: "EU rejects German call to", "Peter Black ##burn" and "BRUSSELS 1996 - 08 -".
    assert (facts["num_sentences"], facts["num_words"], facts["num_gold_entities"]) == (3, 13, 5)
    assert (facts["num_words_lost_by_truncation"], facts["num_entities_lost_by_truncation"]) == (4, 1)
    assert 0 <= facts["padding_fraction"] < 1
    assert make_data(stage="validate").describe_split("val")["num_words_lost_by_truncation"] == 0
    assert make_data(model={"max_length": 7}, window=5).describe_split("val")["num_words_lost_by_truncation"] == 4


def test_options_for_taggers(make_data: Any) -> None:
    data = make_data(model={"max_length": 10}, label_later_pieces="ignore")
    rest = {"label_later_pieces": "ignore", "context_tokens": 0}
    assert data.tagging_options == {"scheme": "IOB2", "window": 10, "stride": 2} | rest
    assert data.truncation == 8
    whole = make_data(label_later_pieces="ignore")
    assert whole.tagging_options == {"scheme": "IOB2", "window": None, "stride": None} | rest
    assert whole.truncation is None


def test_fingerprint_sees_all_that_shapes_examples(make_data: Any) -> None:
    variants: list[dict[str, Any]] = [
        {},
        {"window": 20},
        {"window": 20, "stride": 2},
        {"label_later_pieces": "ignore"},
        {"labels": make_data().labels[::-1]},
        {"scheme": "BIOES"},
    ]
    assert len({make_data(**options).fingerprint for options in variants}) == len(variants)
    assert make_data(batch_size=7).fingerprint == make_data().fingerprint
    named = make_data(stage="validate", model={"label_names": make_data().labels})
    assert make_data().describe_split("val")["data_fingerprint"] == named.describe_split("val")["data_fingerprint"]


def test_description(make_data: Any) -> None:
    assert make_data(model={"max_length": 10}).describe() == (
        "3 train sentences (13 words, 5 entities), 3 val sentences (13 words, 5 entities), 9 labels (IOB2), "
        "2 sentences longer than a window of 10, 20.0% of a training batch is padding"
    )


def test_tokenizer_is_trained_on_the_words(make_data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_data(stage="test", tokenizer=None, vocab_size=60)
    assert data.asked == ["test", "train"]
    assert data.tokenizer.unk_token_id not in {i for ids, _ in collect(data, "test").values() for i in ids}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 2}, "data.window 2 leaves no room beside 2 special tokens"),
        ({"window": 30}, "data.window is 30, but the model takes at most 20 tokens"),
        ({"stride": 18}, "data.stride 18 must be less than the 18 tokens of a window"),
        ({"max_tokens_per_batch": 11}, "data.max_tokens_per_batch 11 is less than the longest sequence of the train"),
        (
            {"max_tokens_per_batch": 50, "eval_batch_size": 2},
            "data.eval_batch_size and data.max_tokens_per_batch are mut",
        ),
        ({"num_proc": 2}, "data.num_proc has no effect on tagged words"),
        ({"context_tokens": -1}, "data.context_tokens must be at least 0, got -1"),
    ],
)
def test_options_that_do_not_fit(make_data: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_data(model={"max_length": 20}, **options).train_dataloader()


def test_splits_without_words(make_data: Any) -> None:
    nothing = [TaggedSentence([], [], "valid.txt")]
    with pytest.raises(InputError, match="the val split has no words"):
        make_data({"train": make_sentences(CoNLL), "val": nothing})
    data = make_data({split: [*nothing, *make_sentences(CoNLL)] for split in ("train", "val")})
    assert data.describe_split("val")["num_sentences"] == 4
    assert {sentence for sentence, _ in collect(data)} == {1, 2, 3}


def test_missing_batches_of_a_rank_are_empty(make_data: Any) -> None:
    data = make_data()
    data.trainer = SimpleNamespace(
        global_rank=1, world_size=2, strategy=SimpleNamespace(root_device=torch.device("cpu")), lightning_module=None
    )
    (batch,) = data.val_dataloader()
    assert batch["sentences"].tolist() == [-1]
    assert (batch["labels"] == IGNORE_INDEX).all()


def test_data_is_read_once_where_lightning_prepares_it(make_data: Any) -> None:
    data = make_data(stage="validate")
    data.asked.clear()
    data.trainer = SimpleNamespace(state=SimpleNamespace(fn=SimpleNamespace(value="test")), lightning_module=None)
    data.prepare_data()
    data.setup("test")
    assert data.asked == ["test", "train"]
    data.splits = data.splits | {"test": []}
    data.prepare_data()
    with pytest.raises(InputError, match="the test split has no words"):
        data.setup("test")


def test_types_without_prefixes_are_entities(make_data: Any) -> None:
    sentences = make_sentences({"Peter Blackburn a EU": "PER PER O ORG", "a b": "O O"})
    splits = {"train": sentences, "val": sentences}
    data = make_data(splits)
    assert (data.labels, data.scheme) == (["O", "PER", "ORG"], "IO")
    assert data.describe_split("val")["num_gold_entities"] == 2
    converted = make_data(splits, scheme="IOB2")
    assert list(converted.sentences["val"][0].tags) == ["B-PER", "I-PER", "O", "B-ORG"]
    assert converted.describe_split("val")["num_gold_entities"] == 2


def test_labels_without_prefixes_join_neighbouring_entities(make_data: Any) -> None:
    """As a model without prefixes is evaluated: counts are those that it can be scored on."""
    sentences = make_sentences({"Peter Blackburn EU": "B-PER B-PER B-ORG"})
    data = make_data({"val": sentences}, stage="validate", model={"label_names": ["O", "PER", "ORG"]})
    assert (data.scheme, data.sentences["val"][0].tags) == ("IO", ["PER", "PER", "ORG"])
    assert data.describe_split("val")["num_gold_entities"] == 2


@pytest.mark.parametrize("tags", ["o b-PER i-PER b-ORG", "O B_PER I_PER B_ORG", "O PER-B PER-I ORG-B"])
def test_other_spellings_give_the_same_data(make_data: Any, tags: str) -> None:
    right, other = ({"train": make_sentences({"a Peter Blackburn EU": t})} for t in ("O B-PER I-PER B-ORG", tags))
    expected, data = (make_data(splits | {"val": splits["train"]}) for splits in (right, other))
    assert (data.labels, data.fingerprint) == (expected.labels, expected.fingerprint)


def test_sentences_with_misspelt_tags_are_skipped_on_request(make_data: Any, caplog: pytest.LogCaptureFixture) -> None:
    splits = {"train": make_sentences(CoNLL), "val": make_sentences(CoNLL | {"a b": "O BPER", "c": "O"}, "valid.txt")}
    with pytest.raises(InputError, match=r"valid.txt.*tag 'BPER'.*data.skip_bad true to skip bad records"):
        make_data(splits)
    data = make_data(splits, skip_bad=True)
    assert [len(s.words) for s in data.sentences["val"]] == [9, 2, 2, 1]
    assert data.describe_split("val")["num_skipped"] == 1
    assert data.describe_split("val")["num_words"] == 14
    assert any(m.startswith("val: bad records skipped: 1, the first: valid.txt") for m in caplog.messages)


def test_labels_of_a_wrong_column_are_told(make_data: Any, caplog: pytest.LogCaptureFixture) -> None:
    sentences = make_sentences({"a b": "O O"})
    make_data({"train": sentences, "val": sentences})
    assert caplog.messages == [
        "train: all 2 words have the tag 'O', so there is nothing to learn; data.tag_column or data.tags_column names "
        "the column of the tags"
    ]
