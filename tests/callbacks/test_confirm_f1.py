"""F1 by seqeval at the end of an evaluation."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lit_mlm.callbacks import confirm_f1
from lit_mlm.callbacks.confirm_f1 import compute_seqeval_f1
from lit_mlm.metrics.entities import EntityMetrics
from lit_mlm.metrics.words import ScoredTags
from lit_mlm.text.tagging.schemes import Scheme
from tests.conftest import FIXTURES
from tests.metrics.test_entities import draw_pairs, name
from tests.text.tagging.test_schemes import SCHEMES, list_labels

RunCLI = Callable[..., Path]


@pytest.mark.parametrize("scheme", [*SCHEMES, "IO"])
def test_the_same_f1_in_every_scheme(scheme: Scheme) -> None:
    labels = ["O", "PER", "LOC"] if scheme == "IO" else list_labels(scheme, ("PER", "art-work", ""))
    labels = [label.removesuffix("-") for label in labels]
    predicted, gold = draw_pairs(len(labels), 300)
    metrics = EntityMetrics(labels, scheme)
    metrics.update(predicted, gold)
    sentences = [
        ScoredTags(g, p, [0.5] * len(g)) for g, p in zip(name(gold, labels), name(predicted, labels), strict=True)
    ]
    assert compute_seqeval_f1(sentences, scheme) == pytest.approx(metrics.compute()["f1"], abs=1e-12)


def test_no_entities_are_no_warning() -> None:
    assert compute_seqeval_f1([ScoredTags(["O"], ["O"], [1.0])], "IOB2") == 0


def evaluate(command: str, news_tagger: str, run_cli: RunCLI, *options: Any) -> None:
    model = ("--model", "TokenClassification", "--model.model", news_tagger)
    data = (
        "--data",
        "CoNLLDataModule",
        "--data.data_dir",
        FIXTURES / "conll",
        "--data.window",
        14,
        "--data.cache_dir",
        "cache",
    )
    trainer = ("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false")
    run_cli(command, *model, *data, *trainer, "--run_dir", "run", *options)


@pytest.mark.parametrize("command", ["validate", "test"])
def test_the_line_says_so(command: str, news_tagger: str, run_cli: RunCLI, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(command, news_tagger, run_cli)
    text = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert re.search(r": f1 [^;]+; F1 confirmed by seqeval 1\.2\.2 on 100 sentences", text)


def test_a_part_of_a_split_is_confirmed_too(
    news_tagger: str, run_cli: RunCLI, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate("test", news_tagger, run_cli, "--trainer.limit_test_batches", 2, "--data.eval_batch_size", 8)
    found = re.search(r"seqeval\s+1\.2\.2\s+on\s+(\d+)\s+sentences", capsys.readouterr().out)
    assert found is not None
    assert 0 < int(found[1]) < 20


def test_a_difference_is_an_error_and_nothing_is_written(
    news_tagger: str, run_cli: RunCLI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirm_f1, "compute_seqeval_f1", lambda *_: np.float64(0.123))
    with pytest.raises(RuntimeError, match=r"F1 is 0\.\d+, but seqeval's is 0\.123, on 100 sentences"):
        evaluate("test", news_tagger, run_cli)
    assert not (tmp_path / "run" / "metrics.json").exists()
