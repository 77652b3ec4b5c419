"""Which metrics belong to which text."""

from lit_mlm.inference.card.figures import find_splits, format_types


def test_named_sets_are_told_from_classes() -> None:
    """Even if a class is named as a metric is."""
    metrics = {
        "val/f1": 0.5,
        "val/loss": 1.0,
        "val/f1/PER": 0.6,
        "val/f1/loss": 0.7,
        "val/num_gold/loss": 3,
        "val/news/f1": 0.4,
        "val/news/loss": 2.0,
        "val/news/f1/PER": 0.3,
        "start/val/news/f1": 0.1,
        "start/val/f1": 0.2,
        "last/val/f1": 0.45,
        "train/loss": 0.1,
        "step": 3,
    }
    whole, news = find_splits(metrics)
    assert (whole.key, news.key) == ("val", "val/news")
    assert whole.figures == {"f1": 0.5, "loss": 1.0, "f1/PER": 0.6, "f1/loss": 0.7, "num_gold/loss": 3}
    assert news.figures == {"f1": 0.4, "loss": 2.0, "f1/PER": 0.3}
    assert (whole.start, news.start) == ({"f1": 0.2}, {"f1": 0.1})


def test_metrics_before_training_are_of_the_same_text() -> None:
    metrics = {"start/val/loss": 3.0, "start/val/data_fingerprint": "ab", "val/loss": 2.0}
    for fingerprint, start in (("ab", 3.0), ("cd", None)):
        (split,) = find_splits(metrics | {"val/data_fingerprint": fingerprint})
        assert split.start.get("loss") == start


def test_all_metrics_are_shown_without_a_headline() -> None:
    (split,) = find_splits(
        {"test/own": 0.5, "test/own_low": 0.4, "test/own_high": 0.6, "test/num": 3, "test/own/A": 1.0}
    )
    assert split.list_figures([]) == ["own"]
    assert split.list_figures(["other"]) == ["own"]
    assert split.format("own") == ("0.50", "0.40 to 0.60")


def test_types_of_plain_tags_have_their_support() -> None:
    metrics = {"val/precision/NN": 0.5, "val/recall/NN": 1.0, "val/f1/NN": 2 / 3, "val/support/NN": 1200}
    (split,) = find_splits(metrics)
    assert format_types(split)[-1] == "| NN | 0.5000 | 1.000 | 0.6667 | 1,200 |"
