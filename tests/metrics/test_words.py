"""Words from windows, and pieces as the published recipe counts them, against seqeval on words read by hand."""

from typing import Any

import pytest
import torch
from seqeval.metrics import accuracy_score, f1_score, precision_score, recall_score
from torch import Tensor
from torch.nn import functional as F

from lit_mlm.metrics.sums import add_up
from lit_mlm.metrics.words import WordMetrics
from tests.modules.tagged_data import CONLL, EU_TAGS, TaggedData, draw_sentences

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def say(ids: Any, num_labels: int) -> Tensor:
    """Logits of a net that is sure of these labels, and of O where there is none."""
    return 8.0 * F.one_hot(ids.clamp(min=0), num_labels)


def test_published_example_of_words_and_pieces() -> None:
    """CoNLL-2003's first sentence, "... British lamb .", in BERT's pieces; lamb is two. The first MISC is missed."""
    aligned = [-100, 3, 0, 7, 0, 0, 0, 7, 0, 0, 0, -100]
    words = [-1, 0, 1, 2, 3, 4, 5, 6, 7, 7, 8, -1]
    assert [CONLL[aligned[words.index(i)]] for i in range(9)] == EU_TAGS
    batch = {"labels": torch.tensor([aligned]), "words": torch.tensor([words]), "sentences": torch.tensor([0])}
    predicted = torch.tensor([aligned])
    predicted[0, 3] = 0
    metrics = WordMetrics(CONLL, "IOB2")
    metrics.update(say(predicted, 9), batch)
    figures = metrics.compute()
    expected = {
        "precision, recall, f1, accuracy": (1.0, 0.667, 0.8, 0.889),
        "precision/MISC, recall/MISC, f1/MISC, num_gold/MISC": (1.0, 0.5, 0.667, 2),
        "precision/ORG, recall/ORG, f1/ORG, num_gold/ORG": (1.0, 1.0, 1.0, 1),
        "precision_pieces, recall_pieces, f1_pieces, accuracy_pieces": (1.0, 0.667, 0.8, 0.9),
        "num_words, num_gold_entities": (9, 3),
    }
    for keys, values in expected.items():
        assert tuple(round(figures[key], 3) for key in keys.split(", ")) == values
    assert figures["loss"] == pytest.approx(float(F.cross_entropy(say(predicted, 9)[0].float(), batch["labels"][0])))


@pytest.fixture
def data(wordpiece: Any) -> TaggedData:
    data = TaggedData(draw_sentences(60), LABELS, wordpiece, batch_size=7, num_empty=1)
    data.setup("fit")
    assert sum(len(rows) > 2 for rows in data.rows) > 20
    return data


def draw_logits(data: TaggedData) -> list[Tensor]:
    """Right more often than not; different for a word in each of its windows."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(*batch["labels"].shape, 5, generator=generator) + 0.3 * say(batch["labels"], 5)
        for batch in data.make_batches()
    ]


def read_by_hand(data: TaggedData, logits: list[Tensor]) -> dict[str, list[list[str]]]:
    """Tags of words, and of the pieces that truncation keeps, by a loop over cells."""
    tags: dict[str, dict[int, dict[int, tuple[str, str]]]] = {"words": {}, "pieces": {}}
    seen: dict[int, int] = {}
    for batch, scores in zip(data.make_batches(), logits, strict=True):
        for row, sentence in enumerate(batch["sentences"].tolist()):
            for column, word in enumerate(batch["words"][row].tolist()):
                if word < 0:
                    continue
                gold = int(batch["labels"][row, column])
                pair = LABELS[int(scores[row, column].argmax())], LABELS[max(gold, 0)]
                tags["words"].setdefault(sentence, {}).setdefault(word, pair)
                number = seen[sentence] = seen.get(sentence, -1) + 1
                if number < data.truncation and gold >= 0:
                    tags["pieces"].setdefault(sentence, {})[number] = pair
    return {
        f"{kind}_{side}": [[pair[i] for _, pair in sorted(cells.items())] for cells in sentences.values()]
        for kind, sentences in tags.items()
        for i, side in enumerate(("found", "gold"))
    }


@pytest.mark.parametrize("inside", [True, False])
def test_words_and_pieces_of_windows_equal_seqeval_s(data: TaggedData, inside: bool) -> None:
    data.inside = inside
    data.setup("fit")
    logits = draw_logits(data)
    parts = [WordMetrics(LABELS, "IOB2", truncation=data.truncation) for _ in range(2)]
    for i, (batch, scores) in enumerate(zip(data.make_batches(), logits, strict=True)):
        parts[i % 2].update(scores, batch)
    tags = read_by_hand(data, logits)
    assert tags["words_gold"] == [tags for _, tags in data.sentences]
    alone = parts[0].compute()
    figures = add_up(parts).compute()
    assert parts[0].compute() == alone != figures
    for kind, suffix in (("words", ""), ("pieces", "_pieces")):
        pair = tags[f"{kind}_gold"], tags[f"{kind}_found"]
        for name, reference in (
            ("precision", precision_score),
            ("recall", recall_score),
            ("f1", f1_score),
            ("accuracy", accuracy_score),
        ):
            assert figures[name + suffix] == pytest.approx(reference(*pair))
    assert 0.2 < figures["f1"] < 0.9
    assert figures["f1"] != figures["f1_pieces"]
    assert figures["num_words"] == data.describe_split("val")["num_words"]
    whole = (
        torch.cat([s.flatten(0, 1) for s in logits]),
        torch.cat([b["labels"].flatten() for b in data.make_batches()]),
    )
    assert figures["loss"] == pytest.approx(float(F.cross_entropy(*whole)), rel=1e-5)


def test_viterbi_leaves_no_impossible_tags(data: TaggedData) -> None:
    figures = {}
    for decoding in ("argmax", "viterbi"):
        metrics = WordMetrics(LABELS, "IOB2", decoding)
        for batch, scores in zip(data.make_batches(), draw_logits(data), strict=True):
            metrics.update(scores, batch)
        figures[decoding] = metrics.compute()
    assert figures["argmax"]["f1"] != figures["argmax"]["f1_strict"]
    assert figures["viterbi"]["f1"] == figures["viterbi"]["f1_strict"] > figures["argmax"]["f1"]
    for name in ("f1_pieces", "loss"):
        assert figures["viterbi"][name] == figures["argmax"][name]


def test_plain_tags_have_accuracies(data: TaggedData) -> None:
    metrics = WordMetrics(LABELS, None, "viterbi", truncation=5)
    logits = draw_logits(data)
    for batch, scores in zip(data.make_batches(), logits, strict=True):
        metrics.update(scores, batch)
    figures = metrics.compute()
    tags = read_by_hand(data, logits)
    assert figures["accuracy"] == pytest.approx(accuracy_score(tags["words_gold"], tags["words_found"]))
    assert 0 < figures["accuracy_pieces"] < 1
    assert "f1_pieces" not in figures
    assert figures["support/B-PER"] == sum(tags.count("B-PER") for _, tags in data.sentences)


def test_nothing_is_zero_and_is_forgotten(data: TaggedData) -> None:
    batch = data.make_batches()[-1]
    assert set(batch["sentences"].tolist()) == {-1}
    metrics = WordMetrics(LABELS, "IOB2")
    metrics.update(torch.randn(*batch["labels"].shape, 5), batch)
    assert set(metrics.compute().values()) == {0, "sentence"}
    other = data.make_batches()[0]
    metrics.update(say(other["labels"], 5), other)
    assert metrics.compute()["f1"] == 1
    metrics.reset()
    metrics.update(torch.randn(*batch["labels"].shape, 5), batch)
    assert set(metrics.compute().values()) == {0, "sentence"}


def test_words_twice_or_not_at_all_are_a_fault(data: TaggedData) -> None:
    for old, new in ((0, -1), (1, 0)):
        batch = data.make_batches()[0]
        batch["words"][batch["words"] == old] = new
        with pytest.raises(RuntimeError, match="its windows own the words"):
            WordMetrics(LABELS, "IOB2").update(torch.zeros(*batch["labels"].shape, 5), batch)


def test_rows_of_other_sentences_may_lie_between(data: TaggedData) -> None:
    batch, logits = data.make_batches()[0], draw_logits(data)[0]
    places = [torch.arange(int((batch["sentences"] == i).sum())) for i in range(7)]  # in their sentences
    rows = torch.cat(places).argsort(stable=True)
    assert batch["sentences"][rows].tolist() != sorted(batch["sentences"].tolist())
    expected, found = WordMetrics(LABELS, "IOB2"), WordMetrics(LABELS, "IOB2")
    expected.update(logits, batch)
    found.update(logits[rows], {name: value[rows] for name, value in batch.items()})
    assert found.compute() == pytest.approx(expected.compute())
