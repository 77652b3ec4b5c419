"""`errors` on runs: its counts against the metrics of `test`, nervaluate's figures, and what it refuses."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_mlm.cli import errors_run
from lit_mlm.errors import InputError
from lit_mlm.metrics.entity_errors import MATCHINGS, ScoredSentence, list_entities
from lit_mlm.metrics.error_report import report_errors
from tests.callbacks.test_save_predictions import TASKS, fit
from tests.conftest import FIXTURES, imdb_args

RunCLI = Callable[..., Path]


@pytest.fixture(scope="module")
def ner_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch, whose windows cut sentences, on data of its own."""
    folder = tmp_path_factory.mktemp("ner")
    shutil.copytree(FIXTURES / "conll", folder / "data")
    run = fit(folder / "run", *TASKS["viterbi"])
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["data"]["init_args"]["data_dir"] = str(folder / "data")
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    return run


def read(run: Path, name: str = "errors-test") -> dict[str, Any]:
    report: dict[str, Any] = json.loads((run / f"{name}.json").read_text())
    return report


def test_counts_are_those_of_test_and_figures_those_of_nervaluate(
    ner_run: Path, run_cli: RunCLI, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    nervaluate = pytest.importorskip("nervaluate")
    scored: list[ScoredSentence] = []

    def keep(sentences: list[ScoredSentence], train: Any) -> dict[str, Any]:
        scored[:] = sentences
        return original(sentences, train)

    original = report_errors
    monkeypatch.setattr(errors_run, "report_errors", keep)
    run_cli("test", "--run_dir", ner_run)
    before = {path: path.read_bytes() for path in ner_run.rglob("*") if path.is_file() and path.suffix != ".json"}
    with pytest.raises(InputError, match=r"metrics-last.json has none of the test split: run test first"):
        run_cli("errors", "--run_dir", ner_run, "--metrics", "--checkpoint", "last")
    run_cli("errors", "--run_dir", ner_run, "--metrics")
    assert {path: path.read_bytes() for path in before} == before
    metrics, report = json.loads((ner_run / "metrics.json").read_text()), read(ner_run)
    counts = report["counts"]
    assert metrics["test/num_windows"] > metrics["test/num_sentences"]
    assert (counts["gold"], counts["predicted"]) == (
        metrics["test/num_gold_entities"],
        metrics["test/num_predicted_entities"],
    )
    assert report["num_words"] == metrics["test/num_words"]
    assert sum(metrics[f"test/num_gold_by_novelty/{name}"] for name in report["training"]) == counts["gold"]
    assert metrics["test/f1_by_frequency/0"] == report["frequency"]["0"]["f1"]
    groups = [name for name in metrics if "/num_words_by_frequency/" in name]
    words = sum(metrics[name] for name in groups)
    right = sum(metrics[name] * metrics[name.replace("num_words", "accuracy")] for name in groups)
    assert (words, right) == (report["num_words"], pytest.approx(metrics["test/accuracy"] * words))
    for name in ("precision", "recall", "f1"):
        assert counts[name] == pytest.approx(metrics[f"test/{name}"], abs=1e-12)
        for kind, row in report["types"].items():
            assert row[name] == pytest.approx(metrics[f"test/{name}/{kind}"], abs=1e-12)
    assert 0 < counts["correct"] < counts["gold"]
    spans = [
        [[{"label": e.type, "start": e.start, "end": e.end - 1} for e in list_entities(tags, "IOB2")] for tags in side]
        for side in ([s.gold for s in scored], [s.found for s in scored])
    ]
    reference = nervaluate.Evaluator(*spans, tags=list(report["types"]), loader="dict").evaluate()["overall"]
    for name in MATCHINGS:
        theirs = reference["ent_type" if name == "type" else name]
        found = report["matchings"][name]
        assert found == pytest.approx({key: getattr(theirs, key) for key in found}, abs=1e-12)
    out = capsys.readouterr().out
    assert out.count("; F1 confirmed by seqeval") == 2
    assert f"page: {ner_run / 'errors-test.html'}" in out
    assert out.count("\nsentence ") == min(5, report["num_sentences_with_errors"]) > 0
    assert f"{counts['gold']:,} entities in gold" in out
    first = report["sentences"][0]
    lines = (FIXTURES / "conll" / "test.txt").read_text().splitlines()
    assert lines[int(first["place"].rpartition(" ")[2]) - 1].split()[0] == first["words"][0]
    assert first["document"] is not None
    assert not (ner_run / ".lock").exists()


def test_without_training_data_what_training_has_seen_is_left_out(
    ner_run: Path, run_cli: RunCLI, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ner_run.parent / "data" / "train.txt"
    train.rename(ner_run.parent / "moved.txt")
    tokenizer = ("--data.vocab_size", "null", "--data.lowercase", "null")  # that of the checkpoint
    try:
        run_cli(
            "errors", "--run_dir", ner_run, "--split", "val", "--checkpoint", "last", "--num_sentences", 0, *tokenizer
        )
    finally:
        (ner_run.parent / "moved.txt").rename(train)
    report = read(ner_run, "errors-val-last")
    assert not {"training", "frequency", "contradictions"} & set(report)
    captured = capsys.readouterr()
    assert "the training data can't be read: " in captured.err
    assert "the training data can&#x27;t be read: " in (ner_run / "errors-val-last.html").read_text()
    assert "Worst sentences" not in captured.out


def test_plain_tags(tmp_path_factory: pytest.TempPathFactory, run_cli: RunCLI) -> None:
    run = fit(tmp_path_factory.mktemp("pos") / "run", *TASKS["pos"])
    run_cli("test", "--run_dir", run)
    run_cli("errors", "--run_dir", run)
    metrics, report = json.loads((run / "metrics.json").read_text()), read(run)
    assert report["scheme"] is None
    assert report["f1"] == pytest.approx(metrics["test/accuracy"], abs=1e-12)
    wrong = report["counts"]["gold"] - report["counts"]["correct"]
    assert sum(row["number"] for row in report["confusions"]) == wrong > 0
    assert "accuracy 0." in (run / "errors-test.html").read_text()


def copy_data(run: Path, folder: Path, test: str) -> Path:
    """The data of a run with another test split."""
    data = shutil.copytree(run.parent / "data", folder / "data")
    (data / "test.txt").write_text(test)
    return data


def test_strange_text_is_shown_and_not_obeyed(
    ner_run: Path, tmp_path: Path, run_cli: RunCLI, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["<script>alert(1)</script>", "\x1b[31mred", "\u202eevil", "\u200b", "&", "ok"]
    data = copy_data(ner_run, tmp_path, "\n".join(f"{word}\tB-LOC" for word in words) + "\n\nTom\tO\n")
    run_cli("errors", "--run_dir", ner_run, "--data.data_dir", data, "--data.context_tokens", 0, "--num_sentences", 9)
    out, page = capsys.readouterr().out, (ner_run / "errors-test.html").read_text()
    for text in (out, page):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "\\u202eevil" in text
        assert "\\u001b[31mred" in text
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_no_entities_in_gold(ner_run: Path, tmp_path: Path, run_cli: RunCLI) -> None:
    data = copy_data(ner_run, tmp_path, "It\tO\nrained\tO\n\n")
    run_cli("errors", "--run_dir", ner_run, "--data.data_dir", data, "--data.context_tokens", 0)
    assert read(ner_run)["counts"]["gold"] == 0
    with pytest.raises(InputError, match=r"metrics.json has the test metrics of data_fingerprint \w{12}, not "):
        run_cli("errors", "--run_dir", ner_run, "--data.data_dir", data, "--data.context_tokens", 0, "--metrics")


def test_masked_words(tiny_bert: str, cache_dir: str, run_cli: RunCLI, capsys: pytest.CaptureFixture[str]) -> None:
    """Masks and loss are those of `validate`, though words are found."""
    options = ("--trainer.max_epochs", 1, "--run_dir", "run", "--data.num_mask_draws", 2)
    folder = run_cli("fit", *imdb_args(tiny_bert, cache_dir), *options)
    metrics = json.loads((folder / "run" / "metrics.json").read_text())
    (folder / "pos.txt").write_text("the\tDT\nThe\tDT\n.\tPUNCT\n,\tPUNCT\n")
    run_cli("errors", "--run_dir", "run", "--split", "val", "--pos", "pos.txt", "--metrics")
    report = read(folder / "run", "errors-val")
    assert report["loss"] == pytest.approx(metrics["val/loss"], abs=1e-9)
    assert report["counts"]["num_tokens"] == metrics["val/num_scored_tokens"]
    assert set(report["part_of_speech"]) == {"DT", "PUNCT", "not in the file"}
    assert len(report["position"]) == 8
    added = json.loads((folder / "run" / "metrics.json").read_text())
    assert added["val/loss_by_position/4 to 7"] == report["position"]["4 to 7"]["nats_per_token"]
    assert set(added) > set(metrics)
    for groups in (report["frequency"], report["training"], report["position"], report["part_of_speech"]):
        assert sum(group["num_tokens"] for group in groups.values()) == report["counts"]["num_tokens"]
    text = " ".join(path.read_text() for path in (FIXTURES / "aclImdb" / "train").rglob("*.txt")).lower()
    words = {row["text"]: row["in_training"] for row in report["costliest"]}
    assert words["the"] > 20
    assert words["the"] <= text.split().count("the") + text.count("(the") + text.count('"the')
    out = capsys.readouterr().out
    assert "Costliest words" in out
    run_cli("errors", "--run_dir", "run", "--split", "train")
    trained = read(folder / "run", "errors-train")
    assert trained["counts"]["num_tokens"] > report["counts"]["num_tokens"]
    assert 0 < trained["loss"] < report["loss"] + 0.5
    with pytest.raises(InputError, match=r"trainer\.limit_val_batches would leave out masked words"):
        run_cli("errors", "--run_dir", "run", "--split", "val", "--trainer.limit_val_batches", 1)


def test_labelled_texts(text_run: Path, run_cli: RunCLI, capsys: pytest.CaptureFixture[str]) -> None:
    run_cli("test", "--run_dir", text_run)
    run_cli("errors", "--run_dir", text_run)
    metrics, report = json.loads((text_run / "metrics.json").read_text()), read(text_run)
    assert report["accuracy"] == metrics["test/accuracy"]
    assert report["num_texts"] - report["num_right"] == len(report["texts"]) > 0
    for name, row in report["sets"].items():
        assert row["accuracy"] == metrics[f"test/{name}/accuracy"]
        assert sum(text["set"] == name for text in report["texts"]) == row["num_texts"] - row["num_right"]
    assert list(report["sets"]) == ["first", "second"]
    for name, row in report["types"].items():
        assert [row[rate] for rate in ("f1", "gold")] == [metrics[f"test/f1/{name}"], metrics[f"test/support/{name}"]]
    assert sum(row["num_texts"] for row in report["lengths"].values()) == 12
    assert report["training"]["seen_as_other_label"]["num_texts"] == 1
    (found,) = report["contradictions"]["texts"]
    assert (found["gold"], found["training"][0]["labels"]) == ("neg", "pos")
    assert found["training"][0]["place"].endswith("train.jsonl, line 25")
    surest = [next(iter(text["gold"].values())) for text in report["texts"]]
    assert surest == sorted(surest)
    out, page = capsys.readouterr().out, (text_run / "errors-test.html").read_text()
    for text in ("Contradictions", "Seen in training", "By set", "seen with another label only", "Worst texts"):
        assert text in out
        assert text in page
    with pytest.raises(InputError, match=r"config.yaml has no effect on tagged words or texts"):
        run_cli("errors", "--run_dir", text_run, "--pos", text_run / "config.yaml")


def test_training_split(text_run: Path, ner_run: Path, run_cli: RunCLI) -> None:
    """It is read and scored as an evaluation split is; what training has seen would be all of it."""
    for run, key, number in ((text_run, "num_texts", 25), (ner_run, "num_sentences", 420)):
        before = (run / "metrics.json").read_bytes()
        run_cli("errors", "--run_dir", run, "--split", "train", "--num_sentences", 0)
        report = read(run, "errors-train")
        assert (report["split"], report[key]) == ("train", number)
        assert not {"training", "frequency"} & set(report)
        assert (run / "metrics.json").read_bytes() == before
    assert {"confusions", "contradictions"} <= set(report)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--run_dir", "nothing"], "there is no run in nothing"),
        (["--run_dir", "{run}", "--checkpoint", "step_1"], "there is no step_1"),
        (["--run_dir", "{run}", "--ckpt_path", "x"], "name the checkpoint by --checkpoint"),
        (["--run_dir", "{run}", "--num_sentences", "-1"], "--num_sentences must be at least 0, got -1"),
        (["--run_dir", "{run}", "--split", "dev"], "invalid choice: 'dev'"),
        (["--run_dir", "{run}", "--pos", "none.txt"], "--pos: there is no file none.txt"),
        (["--run_dir", "{run}", "--pos", "{run}/config.yaml"], "has no effect on tagged words"),
        (["--run_dir", "{run}", "--sentences", "3"], "sentences"),
        (["--run_dir", "{run}", "--trainer.devices", "2"], "errors runs in one process"),
    ],
)
def test_mistakes_are_told(options: list[str], message: str, ner_run: Path, run_cli: RunCLI) -> None:
    with pytest.raises(InputError, match=message):
        run_cli("errors", *(option.format(run=ner_run) for option in options))
