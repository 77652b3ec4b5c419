"""Metrics of tagged words against seqeval and scikit-learn, over any batches."""

import numpy as np
import pytest
import torch
from seqeval.metrics import accuracy_score, classification_report, f1_score, precision_score, recall_score
from sklearn.metrics import precision_recall_fscore_support

from lit_mlm.errors import InputError
from lit_mlm.metrics.entities import EntityMetrics, TagMetrics, compute_rates
from lit_mlm.metrics.intervals import estimate_f1_interval
from lit_mlm.metrics.sums import add_up
from lit_mlm.text.arrays import IntArray
from lit_mlm.text.tagging.schemes import Scheme
from tests.text.tagging.test_schemes import REFERENCES, SCHEMES, list_labels, rename

CONLL = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"]


def draw_pairs(num_labels: int, num: int = 1500, seed: int = 0) -> tuple[list[IntArray], list[IntArray]]:
    """Any labels at any place as gold; of the predicted ones two thirds are the same."""
    rng = np.random.default_rng(seed)
    gold = [rng.integers(0, num_labels, rng.integers(0, 12)) for _ in range(num)]
    predicted = [np.where(rng.random(len(ids)) < 2 / 3, ids, rng.integers(0, num_labels, len(ids))) for ids in gold]
    return predicted, gold


def name(sentences: list[IntArray], labels: list[str]) -> list[list[str]]:
    return [[labels[i] for i in ids] for ids in sentences]


@pytest.mark.parametrize("scheme", [scheme for scheme in SCHEMES if scheme != "IOE1"])  # seqeval's is wrong
def test_figures_equal_seqeval_s(scheme: Scheme) -> None:
    labels = list_labels(scheme)
    predicted, gold = draw_pairs(len(labels), 3000)
    metrics = EntityMetrics(labels, scheme)
    metrics.update(predicted, gold)
    figures = metrics.compute()
    tags = name(gold, labels), name(predicted, labels)
    loose = [[rename(sentence) for sentence in sentences] for sentences in tags]
    f1_strict, precision_strict, recall_strict = [
        score(*(tags if scheme == "BILOU" else loose), mode="strict", scheme=REFERENCES[scheme])
        for score in (f1_score, precision_score, recall_score)
    ]
    expected = {
        "precision": precision_score(*loose),
        "recall": recall_score(*loose),
        "f1": f1_score(*loose),
        "f1_macro": f1_score(*loose, average="macro"),
        "precision_strict": precision_strict,
        "recall_strict": recall_strict,
        "f1_strict": f1_strict,
        "accuracy": accuracy_score(*tags),
    }
    report = classification_report(*loose, output_dict=True)
    for kind in ("PER", "LOC", "art-work"):
        for ours, theirs in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            expected[f"{ours}/{kind}"] = report[kind][theirs]
        expected[f"num_gold/{kind}"] = report[kind]["support"]
    assert {key: figures[key] for key in expected} == pytest.approx(expected, rel=1e-12)
    assert figures["num_gold_entities"] == report["micro avg"]["support"]
    assert figures["num_words"] == sum(map(len, gold))
    assert abs(figures["f1"] - figures["f1_strict"]) > 0.01
    assert figures["f1_low"] < figures["f1"] < figures["f1_high"]
    assert {key for key, value in figures.items() if isinstance(value, int)} == {
        *("num_words", "num_gold_entities", "num_predicted_entities"),
        *("num_gold/PER", "num_gold/LOC", "num_gold/art-work"),
    }
    assert figures.pop("f1_interval_unit") == "sentence"
    assert all(type(value) in (int, float) for value in figures.values())


def test_labels_without_prefixes_are_entities_of_neighbouring_words() -> None:
    metrics = EntityMetrics(["O", "PER", "LOC"], "IO")
    metrics.update([np.array([1, 1, 0, 2])], [np.array([1, 1, 2, 0])])
    figures = metrics.compute()
    assert (figures["num_gold_entities"], figures["num_predicted_entities"], figures["f1"]) == (2, 2, 0.5)
    assert (figures["f1_strict"], figures["num_gold/PER"], figures["f1/PER"]) == (0.5, 1, 1.0)


@pytest.mark.parametrize("seed", range(30))
def test_figures_equal_seqeval_s_on_little(seed: int) -> None:
    """Few sentences, so that some types are in neither or in one of gold and prediction."""
    labels = list_labels("IOB2", ("A", "B", "C", "D"))
    predicted, gold = draw_pairs(len(labels), 2, seed)
    metrics = EntityMetrics(labels, "IOB2")
    metrics.update(predicted, gold)
    figures = metrics.compute()
    tags = name(gold, labels), name(predicted, labels)
    assert figures["f1"] == pytest.approx(f1_score(*tags, zero_division=0))
    assert figures["precision"] == pytest.approx(precision_score(*tags, zero_division=0))
    if figures["num_gold_entities"] or figures["num_predicted_entities"]:
        assert figures["f1_macro"] == pytest.approx(f1_score(*tags, average="macro", zero_division=0))


def test_published_example() -> None:
    """The first sentence of CoNLL-2003 with its first MISC predicted as O, from Hugging Face's course, chapter 7.2."""
    gold = np.array([3, 0, 7, 0, 0, 0, 7, 0, 0])
    predicted = gold.copy()
    predicted[2] = 0
    metrics = EntityMetrics(CONLL, "IOB2")
    metrics.update([predicted], [gold])
    figures = metrics.compute()
    expected = {
        "precision, recall, f1, accuracy, f1_strict": (1.0, 0.667, 0.8, 0.889, 0.8),
        "precision/MISC, recall/MISC, f1/MISC, num_gold/MISC": (1.0, 0.5, 0.667, 2),
        "precision/ORG, recall/ORG, f1/ORG, num_gold/ORG": (1.0, 1.0, 1.0, 1),
        "f1/PER, num_gold/PER": (0.0, 0),
        "num_words, num_gold_entities, num_predicted_entities": (9, 3, 2),
    }
    for keys, values in expected.items():
        assert tuple(round(figures[key], 3) for key in keys.split(", ")) == values
    assert figures["f1_macro"] == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize("size", [1, 7, 64, 400])
def test_figures_are_the_same_for_any_batches_and_order(size: int) -> None:
    predicted, gold = draw_pairs(len(CONLL), 400)
    whole, parts = EntityMetrics(CONLL, "IOB2"), EntityMetrics(CONLL, "IOB2")
    whole.update(predicted, gold)
    order = np.random.default_rng(1).permutation(400).tolist()
    parts.update([], [])
    for start in range(0, 400, size):
        rows = order[start : start + size]
        parts.update([predicted[i] for i in rows], [gold[i] for i in rows])
    assert parts.compute() == whole.compute()


def test_sums_over_metrics_and_ranks_are_the_whole() -> None:
    predicted, gold = draw_pairs(len(CONLL), 300)
    parts = [EntityMetrics(CONLL, "IOB2") for _ in range(3)]
    whole = EntityMetrics(CONLL, "IOB2")
    whole.update(predicted, gold)
    for i, part in enumerate(parts):
        part.update(predicted[i * 150 : (i + 1) * 150], gold[i * 150 : (i + 1) * 150])  # nothing for the last one
    first = parts[0].compute()
    assert add_up(parts).compute() == whole.compute()
    assert parts[0].compute() == first != whole.compute()
    total = add_up(parts)
    assert isinstance(total, EntityMetrics)
    total.units = torch.cat(total.units)  # type: ignore[assignment]  # as after the ranks' reduction
    assert total.compute() == whole.compute()


def test_figures_without_entities_are_zero() -> None:
    metrics = EntityMetrics(CONLL, "IOB2")
    sentences = [np.zeros(3, dtype=np.int64), np.zeros(0, dtype=np.int64)]
    metrics.update(sentences, sentences)
    figures = metrics.compute()
    assert figures["accuracy"] == 1
    assert {value for key, value in figures.items() if key not in ("accuracy", "num_words")} == {0, "sentence"}
    metrics.reset()
    metrics.update([], [])
    assert set(metrics.compute().values()) == {0, "sentence"}


def test_states_stay_integers_when_the_net_is_cast() -> None:
    metrics = EntityMetrics(CONLL, "IOB2")
    predicted, gold = draw_pairs(len(CONLL), 50)
    metrics.update(predicted, gold)
    expected = metrics.compute()
    metrics._computed = None
    torch.nn.ModuleList([metrics]).half()
    assert metrics.entities.dtype == metrics.units[0].dtype == torch.int64
    assert metrics.compute() == expected


def test_untyped_entities_have_seqeval_s_name() -> None:
    metrics = EntityMetrics(["O", "B", "I"], "IOB2")
    metrics.update([np.array([1, 2, 0])], [np.array([1, 2, 1])])
    assert metrics.compute()["num_gold/_"] == 2


def test_metrics_refuse_what_does_not_fit() -> None:
    with pytest.raises(InputError, match="'E-PER' is no tag of IOB2"):
        EntityMetrics(["O", "E-PER"], "IOB2")
    for metrics in (EntityMetrics(CONLL, "IOB2"), TagMetrics(CONLL)):
        with pytest.raises(ValueError, match="differ in the number"):
            metrics.update([np.array([1, 2])], [np.array([1])])
        with pytest.raises(ValueError, match=r"must be in \[0, 9\), got -100 to 1"):
            metrics.update([np.array([1, 1])], [np.array([-100, 1])])


def test_interval_is_over_documents_where_they_are_known() -> None:
    predicted, gold = draw_pairs(len(CONLL), 300)
    documents = np.arange(300) // 10 * 7
    order = np.random.default_rng(0).permutation(300).tolist()
    found = []
    for numbers in (None, np.zeros(300, int), np.arange(300), documents, documents[order]):
        metrics = EntityMetrics(CONLL, "IOB2")
        rows = order if numbers is not None and numbers[0] != 0 else range(300)
        metrics.update([predicted[i] for i in rows], [gold[i] for i in rows], numbers)  # type: ignore[arg-type]
        found.append(metrics.compute())
    assert [each.pop("f1_interval_unit") for each in found] == ["sentence", "sentence", *["document"] * 3]
    assert found[0] == found[1] == found[2]
    assert found[3] == found[4]
    counts = metrics.units[0].numpy()[np.argsort(order), 2:5]
    assert (found[3]["f1_low"], found[3]["f1_high"]) == estimate_f1_interval(counts.reshape(30, 10, 3).sum(axis=1))
    assert found[3]["f1"] == found[0]["f1"]


def test_rates_by_hand() -> None:
    precision, recall, f1 = compute_rates(np.array([[1, 2, 4], [0, 0, 0], [0, 3, 0]]))
    assert precision.tolist() == [0.5, 0, 0]
    assert recall.tolist() == [0.25, 0, 0]
    assert f1.tolist() == [pytest.approx(1 / 3), 0, 0]


@pytest.mark.parametrize("size", [1, 7, 200])
def test_plain_tags_equal_scikit_learn(size: int) -> None:
    labels = ["NN", "VB", "B-X", ".", "never"]
    predicted, gold = draw_pairs(4, 200)
    metrics = [TagMetrics(labels), TagMetrics(labels)]
    for i in range(0, 200, size):
        metrics[i % 2].update(predicted[i : i + size], gold[i : i + size])
    metrics[1].update([], [])
    figures = add_up(metrics).compute()
    found, expected = np.concatenate(predicted), np.concatenate(gold)
    reference = precision_recall_fscore_support(expected, found, labels=range(5), zero_division=0)
    for i, label in enumerate(labels):
        values = [figures[f"{key}/{label}"] for key in ("precision", "recall", "f1", "support")]
        assert values == pytest.approx([column[i] for column in reference])
    assert figures["accuracy"] == float((found == expected).mean())
    assert figures["num_words"] == len(found)
    assert type(figures["support/never"]) is int
