"""Training sentences by the loss of nets that have not seen them."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lit_mlm.errors import InputError
from tests.cli.test_repeat import run_here
from tests.conftest import FIXTURES


def test_a_wrong_label_is_first(
    run_cli: Callable[..., Path],
    news_tagger: str,
    tmp_path: Path,
    cache_dir: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of a net that knows the others; killed folds are resumed."""
    monkeypatch.setattr(subprocess, "run", run_here)
    data = shutil.copytree(FIXTURES / "conll", tmp_path / "conll")
    lines = (data / "train.txt").read_text().splitlines()
    wrong = next(i for i, line in enumerate(lines) if line.endswith(" B-PER"))
    lines[wrong] = lines[wrong].replace("B-PER", "B-LOC")
    (data / "train.txt").write_text("\n".join(lines) + "\n")
    options = ["--config", "ner-sample.yaml", "--data.data_dir", "conll", "--data.cache_dir", cache_dir]
    options += ["--model.config", "null", "--model.model", news_tagger, "--data.vocab_size", "null"]
    options += [
        "--data.lowercase",
        "null",
        "--trainer.limit_train_batches",
        "2",
        "--trainer.max_epochs",
        "1",
        "--trainer.enable_progress_bar",
        "false",
    ]
    args = ["audit", "--with_model", "--folds", "2", *options, "--run_dir", "noise", "--num_examples", "3"]
    args += ["--trainer.enable_progress_bar", "false"]
    run_cli(*args)
    result: dict[str, Any] = json.loads((tmp_path / "noise" / "audit.json").read_text())
    sentences = result["sentences"]
    assert len(sentences) == result["num_sentences"] == len({sentence["place"] for sentence in sentences}) == 420
    losses = [sentence["loss"] for sentence in sentences]
    assert losses == sorted(losses, reverse=True)
    assert {sentence["fold"] for sentence in sentences} == {0, 1}
    pair = lines[wrong].split()[0], "B-LOC"
    assert any(pair in zip(s["words"], s["tags"], strict=True) for s in sentences[:10])
    out = capsys.readouterr().out
    assert out.count("fit --config ner-sample.yaml") == 2
    (tmp_path / "noise" / "audit.json").unlink()
    run_cli(*args, "--json")
    assert json.loads((tmp_path / "noise" / "audit.json").read_text()) == result
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["sentences"] == sentences[:3]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--config", "ner-sample.yaml", "--folds", "1"], "--folds must be at least 2, got 1"),
        (["--config", "ner-sample.yaml", "--splits", "val"], "--splits can't be given with --with_model"),
        (["--config", "none.yaml"], "there is no config none.yaml"),
        ([], "the following arguments are required: --config"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(args: list[str], message: str, run_cli: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match=message):
        run_cli("audit", "--with_model", *args)
