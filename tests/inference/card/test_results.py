"""The results for leaderboards, as the Hub's own classes read them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from huggingface_hub import EvalResultEntry, parse_eval_result_entries

from lit_mlm.inference.card.facts import Facts
from lit_mlm.inference.card.results import save_results
from tests.inference.card.conftest import CORPUS, IMDB, METRICS


def read_results(folder: Path) -> list[EvalResultEntry]:
    found: list[EvalResultEntry] = []
    for path in (folder / ".eval_results").glob("*.yaml"):
        found += parse_eval_result_entries(yaml.safe_load(path.read_text()))
    return found


def test_test_metric_of_a_data_set_of_the_hub(make_facts: Callable[..., Facts], tmp_path: Path) -> None:
    test = {"test/perplexity": 1234.5678, "test/perplexity_low": 1200.0, "test/perplexity_high": 1270.0}
    save_results(make_facts(corpora=[IMDB], metrics=METRICS | test), tmp_path)
    assert (tmp_path / ".eval_results" / "imdb.yaml").is_file()
    (entry,) = read_results(tmp_path)
    assert (entry.dataset_id, entry.dataset_revision, entry.task_id) == (IMDB["hub_id"], IMDB["revision"], "fill-mask")
    assert entry.value == 1235
    assert entry.notes is not None
    assert entry.notes.startswith("perplexity (95 % interval 1,200 to 1,270); ")
    assert "|split:test|" in f"|{entry.notes.partition('; ')[2]}"


def test_validation_metric_without_test(make_facts: Callable[..., Facts], tmp_path: Path) -> None:
    save_results(make_facts(corpora=[IMDB]), tmp_path)
    assert [entry.value for entry in read_results(tmp_path)] == [11.12]


@pytest.mark.parametrize(
    ("corpora", "metrics"),
    [
        ([CORPUS], METRICS),
        ([], METRICS),
        ([IMDB, CORPUS], METRICS),
        ([IMDB], {}),
        ([IMDB], {"val/perplexity": None}),
        ([IMDB], {"val/perplexity": float("inf")}),
        ([IMDB], {"val/perplexity": 7.4, "val/data_fingerprint": "1", "start/val/data_fingerprint": "2"}),
        ([IMDB], {"val/news/loss": 2.0, "val/news/perplexity": 7.4}),
    ],
)
def test_nothing_is_written_without_the_hub_or_a_metric(
    make_facts: Callable[..., Facts], tmp_path: Path, corpora: list[object], metrics: dict[str, object]
) -> None:
    save_results(make_facts(corpora=corpora, metrics=metrics), tmp_path)
    assert list(tmp_path.iterdir()) == []
