"""Runs are compared on the same units, or refused."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from transformers import AutoModelForMaskedLM, AutoModelForTokenClassification, AutoTokenizer

from lit_mlm.cli import compare
from lit_mlm.cli.main import main
from lit_mlm.metrics.paired import METRICS, compare_sides
from lit_mlm.runs.units import read_units, write_units
from tests.conftest import FIXTURES, imdb_args
from tests.metrics.test_paired import estimate_slowly

Run = Callable[..., Path]

QUIET = ("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false", "--trainer.logger", "false")


def change_model(model: str, folder: Path, auto_class: Any, seed: int, size: float) -> str:
    """Saves a model with random changes of its weights, in place of a training with a seed."""
    net = auto_class.from_pretrained(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in net.parameters():
            weights.add_(size * torch.randn(weights.shape, generator=generator))
    net.save_pretrained(folder)
    AutoTokenizer.from_pretrained(model).save_pretrained(folder)
    return str(folder)


def score_masked(run_cli: Run, run: str, model: str, cache_dir: str, *options: object) -> Path:
    """Evaluates a masked language model on the fixtures' reviews, and returns the folder."""
    args = imdb_args(model, cache_dir)
    return run_cli("validate", *args, *QUIET, "--run_dir", run, *options) / run


def score_tagger(run_cli: Run, run: str, model: str, cache_dir: str, *options: object) -> Path:
    """Evaluates a tagger on the sample news, and returns the folder."""
    data = ("--data", "CoNLLDataModule", "--data.data_dir", FIXTURES / "conll", "--data.cache_dir", cache_dir)
    args = ("--model", "TokenClassification", "--model.model", model, *data, *QUIET, "--run_dir", run)
    return run_cli("validate", *args, *options) / run


def compare_json(run_cli: Run, capsys: pytest.CaptureFixture[str], *args: object) -> dict[str, Any]:
    capsys.readouterr()
    run_cli("compare", *args, "--json")
    return dict(json.loads(capsys.readouterr().out))


def read_metrics(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "metrics.json").read_text()))


def sum_up(folder: Path) -> dict[str, float]:
    """All metrics of `METRICS` that the units of a run give."""
    _, arrays = read_units(folder / "units-val.npz")
    metrics = {name: metric for name, metric in METRICS.items() if set(metric.columns) <= set(arrays)}
    totals = {name: [arrays[column].sum() for column in metric.columns] for name, metric in metrics.items()}
    return {name: float(metric.compute(np.array(totals[name], dtype=float))) for name, metric in metrics.items()}


def test_three_seeds_of_two_taggers(
    run_cli: Run, news_tagger: str, cache_dir: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The p-value is that of an independent computation from the files of predictions alone."""
    scores: list[list[float]] = []
    for name, size in (("a", 0.0), ("b", 0.02)):
        scores.append([])
        for seed in (1, 2, 3):
            model = change_model(news_tagger, tmp_path / "net", AutoModelForTokenClassification, seed, size + 0.005)
            folder = score_tagger(run_cli, f"{name}/seed_{seed}", model, cache_dir)
            metrics = read_metrics(folder)
            scores[-1].append(metrics["val/f1"])
            names = "f1", "precision", "recall", "accuracy"
            assert {name: sum_up(folder)[name] for name in names} == {name: metrics[f"val/{name}"] for name in names}
        (tmp_path / name / "repeat.json").write_text(json.dumps({"seeds": [1, 2, 3]}))
    found = compare_json(run_cli, capsys, "a", "b", "--metrics", "f1", "accuracy")
    assert [run["values"]["f1"] for run in found["runs"]] == scores
    units = [[read_sentences(tmp_path / name / f"seed_{seed}") for seed in (1, 2, 3)] for name in "ab"]
    assert found["num_units"] == len(units[0][0])
    f1, accuracy = found["comparisons"]
    assert f1["value"] == pytest.approx(np.mean(scores[1]) - np.mean(scores[0]))
    error, freedom = estimate_slowly([np.array(side) for side in units], METRICS["f1"].compute)
    assert f1["p"] == pytest.approx(2 * stats.t.sf(abs(f1["value"]) / error, freedom), rel=0.1, abs=1e-4)
    assert f1["low"] == pytest.approx(f1["value"] - stats.t.ppf(0.975, freedom) * error, rel=0.05)
    smaller, larger = sorted([f1, accuracy], key=lambda test: float(test["p"]))
    assert smaller["p_holm"] == min(1, 2 * smaller["p"])
    assert larger["p_holm"] == max(smaller["p_holm"], larger["p"])
    run_cli("compare", "a", "b")
    output = capsys.readouterr().out.splitlines()
    assert output[:2] == ["A: a (3 seeds)", "B: b (3 seeds)"]
    assert output[3].split()[:4] == ["f1", "B", "-", "A"]
    assert output[-2].endswith("p by t test over seeds and units") or output[-1].endswith("over seeds and units")


def read_sentences(folder: Path) -> list[list[float]]:
    """Correct, predicted and gold entities of each document, or of each sentence."""
    _, arrays = read_units(folder / "units-val.npz")
    rows: dict[int, list[float]] = {}
    documents = arrays["document"] if len(set(arrays["document"].tolist())) > 1 else arrays["unit"]
    for document, *counts in zip(documents, arrays["correct"], arrays["predicted"], arrays["gold"], strict=True):
        row = rows.setdefault(int(document), [0.0] * 3)
        row[:] = [old + float(new) for old, new in zip(row, counts, strict=True)]
    return [rows[key] for key in sorted(rows)]


def test_masked_language_models_by_document(
    run_cli: Run, tiny_bert: str, cache_dir: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sums are the same for any batches and packed rows, and add up to the metrics; one more net, all pairs."""
    more = [change_model(tiny_bert, tmp_path / f"net{i}", AutoModelForMaskedLM, i, 0.02) for i in (1, 2)]
    cases: list[tuple[Any, ...]] = [
        ("a", tiny_bert),
        ("one", tiny_bert, "--data.batch_size", 1, "--data.eval_batch_size", 1),
        ("b", more[0]),
        ("c", more[1]),
        ("packed", tiny_bert, "--data.block_policy", "document", "--data.pack_length", 64),
        ("draws", tiny_bert, "--data.num_mask_draws", 3),
    ]
    for run, model, *options in cases:
        folder = score_masked(run_cli, run, model, cache_dir, *options)
        metrics = read_metrics(folder)
        expected = {name: metrics[f"val/{name}"] for name in ("loss", "perplexity", "top1_accuracy", "bits_per_byte")}
        assert sum_up(folder) == pytest.approx(expected, rel=1e-12)
    about, whole = read_units(tmp_path / "a/units-val.npz")
    assert about["kind"] == "document"
    for name, array in read_units(tmp_path / "one/units-val.npz")[1].items():
        assert array == pytest.approx(whole[name], rel=1e-6)
    found = compare_json(run_cli, capsys, "a", "b", "c", "--all_pairs", "--num_resamples", 500)
    assert [(test["first"], test["second"]) for test in found["comparisons"]] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert found["unit"] == "document"
    first, second = (
        np.stack([arrays[column] for column in METRICS["perplexity"].columns], axis=-1)[None]
        for arrays in (read_units(tmp_path / run / "units-val.npz")[1] for run in "ab")
    )
    expected_test = compare_sides(first, second, METRICS["perplexity"], 500)
    assert {key: found["comparisons"][0][key] for key in ("value", "low", "high", "p")} == expected_test._asdict()
    with pytest.raises(ValueError, match=r"draws can't be compared with a: its mask_fingerprint is \w{12}, not \w{12}"):
        run_cli("compare", "a", "draws")
    run_cli("compare", "a", "b")
    output = capsys.readouterr().out
    assert "perplexity  B - A" in output
    assert "p by approximate randomisation" in output


def test_bits_per_byte_across_tokenizers(
    run_cli: Run, tiny_bert: str, tiny_roberta: str, cache_dir: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for run, model in (("a", tiny_bert), ("b", tiny_roberta)):
        folder = score_masked(run_cli, run, model, cache_dir)
        assert sum_up(folder)["bits_per_byte"] == pytest.approx(read_metrics(folder)["val/bits_per_byte"], rel=1e-12)
    found = compare_json(run_cli, capsys, "a", "b")
    assert [test["metric"] for test in found["comparisons"]] == ["bits_per_byte"]
    with pytest.raises(ValueError, match="the tokenizers of the runs differ, so only bits_per_byte can be compared"):
        run_cli("compare", "a", "b", "--metrics", "perplexity")
    score_masked(run_cli, "c", tiny_roberta, cache_dir, "--data.num_val_blocks", 3)
    with pytest.raises(ValueError, match="the blocks of c hold other text than those of a: leave out"):
        run_cli("compare", "a", "c")
    score_masked(run_cli, "d", tiny_roberta, cache_dir, "--data.mask_prob", 0.3)
    with pytest.raises(ValueError, match=r"its mask_rates is 0\.3/0\.8/0\.1, not 0\.15/0\.8/0\.1"):
        run_cli("compare", "a", "d")


def test_runs_without_an_evaluation_are_evaluated_once(
    run_cli: Run, tiny_bert: str, cache_dir: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands: list[list[str]] = []

    def run_here(command: list[str], **options: Any) -> Any:
        commands.append(command[3:])
        with redirect_stdout(options["stdout"] or sys.stdout):
            main(command[3:])
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", run_here)
    for seed in (1, 2):
        options = "--trainer.max_epochs", 1, "--seed_everything", seed, "--run_dir", f"run{seed}"
        root = run_cli("fit", *imdb_args(tiny_bert, cache_dir), *options)
    run_cli("compare", "run1", "run2")
    assert [command[:3] for command in commands] == [["validate", "--run_dir", f"run{seed}"] for seed in (1, 2)]
    found = compare_json(run_cli, capsys, "run1", "run2")
    assert len(commands) == 2
    values = [run["values"]["perplexity"][0] for run in found["runs"]]
    assert values == pytest.approx([read_metrics(root / f"run{seed}")["val/perplexity"] for seed in (1, 2)])

    path = root / "run2/units-val.npz"
    about, arrays = read_units(path)
    write_units(path, about | {"checkpoint": "0" * 64}, {"unit": arrays["unit"][:2], "nats": np.zeros(2)})
    assert compare_json(run_cli, capsys, "run1", "run2")["comparisons"] == found["comparisons"]
    assert len(commands) == 3
    with pytest.raises(ValueError, match=r"run1: validate wrote no units-val\.npz, as it scores only a part"):
        run_cli("compare", "run1", "run2", "--trainer.limit_val_batches", 1)


def test_two_classifiers(text_run: Path, run_cli: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("best", "last"):
        folder = shutil.copytree(text_run, tmp_path / name) / "checkpoints"
        for end in ("", ".sha256"):
            (folder / f"{name}.ckpt{end}").replace(folder / f"best.ckpt{end}")
        run_cli("test", "--run_dir", name)
    options = "--split", "test", "--metrics", "accuracy", "f1_macro"
    found = compare_json(run_cli, capsys, "best", "last", *options)
    assert (found["unit"], found["num_units"]) == ("text", 12)
    for run in found["runs"]:
        metrics = read_metrics(tmp_path / run["run"])
        assert run["values"] == {name: [pytest.approx(metrics[f"test/{name}"])] for name in ("accuracy", "f1_macro")}
    run_cli("compare", "best", "last", "--split", "test")
    assert capsys.readouterr().out.splitlines()[3].startswith("accuracy  B - A")


def write_run(folder: Path, about: dict[str, Any] | None = None, **arrays: Any) -> None:
    """Writes units of three sentences."""
    known = {"kind": "sentence", "text_fingerprint": "t" * 64, "tokenizer": "x", "labels": ["B-X", "O"]}
    counts = {name: np.array([1, 2, 3]) for name in ("correct", "predicted", "gold", "words", "right")}
    sums = {"unit": np.arange(3), "document": np.full(3, -1), **counts} | arrays
    folder.mkdir()
    write_units(folder / "units-val.npz", known | (about or {}), sums)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            {"about": {"text_fingerprint": "u" * 64}},
            r"b can.t be compared with a: its text_fingerprint is u{12}, not t",
        ),
        ({"about": {"labels": ["B-Y", "O"]}}, r"its labels is \['B-Y', 'O'\], not \['B-X', 'O'\]"),
        ({"gold": np.array([1, 2, 4])}, "b and a were scored on different units: evaluate them again"),
        ({"unit": np.array([0, 1, 3])}, "b and a were scored on different units"),
        ({"right": np.array([1, np.nan, 3])}, r"b/units-val\.npz has right that are not finite"),
        ({"nats": np.ones(3), "scored": np.ones(3)}, "b scores masked tokens, but a tagged words"),
        ({"texts": np.ones(3), "gold/x": np.ones(3)}, "b scores labelled texts, but a tagged words"),
    ],
    ids=str,
)
def test_different_evaluations_are_refused(other: Any, message: str, run_cli: Run, tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", **other)
    with pytest.raises(ValueError, match=message):
        run_cli("compare", "a", "b")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["a"], "compare needs two or more folders of runs, got a"),
        ([], "compare needs two or more folders of runs, got none"),
        (["a", "nowhere"], "there is no folder nowhere$"),
        (["--trainer.devices", "1", "a", "b"], "there is no folder 1; give the runs before --trainer.devices"),
        (["a", "a"], "a is given twice"),
        (["a", "empty"], r"empty has no checkpoints/best\.ckpt to evaluate: give the folder of a run"),
        (["a", "seeds"], "seeds has 2 seeds, but a is a single run"),
        (["a", "broken"], r"broken/repeat\.json does not fit its folder: there is no broken/seed_7"),
        (["a", "b", "--num_resamples", "9"], "--num_resamples must be at least 100, got 9"),
        (["a", "b", "--seed", "-1"], "--seed must be at least 0"),
        (["a", "b", "--ckpt_path", "last"], "--ckpt_path can't be given to compare"),
        (
            ["a", "b", "--metrics", "recal"],
            r"--metrics recal: of these runs only f1, .* can be compared; did you mean recall\?",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_refused(args: list[str], message: str, run_cli: Run, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_run(tmp_path / name)
    for name, seeds in (("seeds", [1, 2]), ("broken", [7, 8])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "repeat.json").write_text(json.dumps({"seeds": seeds}))
    for seed in (1, 2):
        write_run(tmp_path / "seeds" / f"seed_{seed}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=message):
        run_cli("compare", *args)


def test_few_units_are_reported(run_cli: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", correct=np.array([0, 2, 3]))
    run_cli("compare", "a", "b")
    assert capsys.readouterr().out.splitlines()[-1].startswith("3 sentences are few")
    assert compare.FEW_UNITS == 20
