"""`predict`: its lines against `tag`'s, against validation's F1 and against one process's."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from seqeval.metrics import accuracy_score, f1_score

from lit_mlm.callbacks.save_predictions import format_sentences
from lit_mlm.cli.main import run_command
from lit_mlm.data.tagged.columns import read_columns
from lit_mlm.data.tagged.schemes import blank_tags
from lit_mlm.data.tagged.sentences import TaggedSentence, number_documents
from lit_mlm.errors import InputError
from lit_mlm.inference.tag import find_tags, load_tagger
from tests.conftest import FIXTURES, imdb_args

CONLL = FIXTURES / "conll"
Run = Callable[..., Path]
TASKS = {
    "argmax": ["--config", "ner-sample.yaml"],
    "viterbi": ["--config", "ner-sample.yaml", "--model.decoding", "viterbi", "--data.context_tokens", "4"],
    "pos": ["--config", "conll-pos.yaml", "--model.model", "null"],
}


def fit(folder: Path, *options: str) -> Path:
    """A run of one epoch, whose windows cut sentences."""
    pos = [
        *("--model.config.model_type", "bert", "--model.config.hidden_size", "32", "--data.vocab_size", "1000"),
        *("--model.config.num_hidden_layers", "1", "--model.config.num_attention_heads", "2"),
        *("--model.config.intermediate_size", "64", "--trainer.accelerator", "cpu", "--model.lr", "3e-3"),
    ]
    run_command(
        [
            *("fit", *options, *(pos if "conll-pos.yaml" in options else []), "--data.data_dir", str(CONLL)),
            *("--run_dir", str(folder), "--trainer.max_epochs", "1", "--data.window", "14", "--data.stride", "3"),
            *("--data.cache_dir", str(folder.parent / "cache"), "--trainer.enable_progress_bar", "false"),
        ]
    )
    return folder


def predict(folder: Path, *options: str) -> list[dict[str, Any]]:
    run_command(["predict", "--config", str(folder / "config.yaml"), *options])
    return [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]


def read(column: Any = "last") -> list[TaggedSentence]:
    found = read_columns(CONLL / "valid.txt", column)
    return [sentence for sentence in found if isinstance(sentence, TaggedSentence)]


@pytest.fixture(scope="module", params=TASKS)
def task(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return request.param, fit(tmp_path_factory.mktemp(request.param) / "run", *TASKS[request.param])


@pytest.fixture(scope="module")
def ner_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit(tmp_path_factory.mktemp("ner") / "run", *TASKS["argmax"])


def test_lines_are_those_of_tag_and_give_validation_s_figures(
    task: tuple[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    name, folder = task
    metrics = (folder / "metrics.json").read_bytes()
    lines = predict(folder, "--run_dir", str(folder), "--ckpt_path", "best", "--split", "val")
    assert f"predictions: {folder / 'predictions.jsonl'} ({len(lines)} lines)" in capsys.readouterr().out
    assert (folder / "metrics.json").read_bytes() == metrics
    sentences = read("second" if name == "pos" else "last")
    assert [line["words"] for line in lines] == [list(s.words) for s in sentences]
    figures = json.loads(metrics)
    assert figures["val/num_windows"] > figures["val/num_sentences"]
    assert [line["index"] for line in lines] == [*range(len(lines))]
    assert [line["gold"] for line in lines] == [list(s.tags) for s in sentences]
    assert [line["document"] for line in lines] == [s.document for s in sentences]
    assert all(len(line["scores"]) == len(line["words"]) and max(line["scores"]) <= 1 for line in lines)
    tags = [list(s.tags) for s in sentences], [line["tags"] for line in lines]
    key, score = ("val/accuracy", accuracy_score) if name == "pos" else ("val/f1", f1_score)
    assert 0.1 < figures[key] < 1
    assert figures[key] == pytest.approx(score(*tags), abs=1e-12)
    documents = number_documents(sentences).tolist()
    tagged = find_tags(*load_tagger(str(folder)), [s.words for s in sentences], documents)
    for line, found in zip(lines, tagged, strict=True):
        assert (line["tags"], found.text) == (found.tags, " ".join(line["words"]))
        assert [e | {"score": 0} for e in line["entities"]] == [e | {"score": 0} for e in found.entities]
        scores = [[e["score"] for e in entities] for entities in (line["entities"], found.entities)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-5)
    if name == "pos":
        assert all([e["type"] for e in line["entities"]] == line["tags"] for line in lines)


def test_two_processes_write_the_same_file(ner_run: Path, tmp_path: Path) -> None:
    """One batch of evaluation, so that a rank has none; and several of them."""
    options = ("--run_dir", str(ner_run), "--ckpt_path", "best", "--split", "val")
    expected = predict(ner_run, *options)
    for size in (7, 1000):
        command = [sys.executable, "-m", "lit_mlm", "predict", "--config", str(ner_run / "config.yaml"), *options]
        command += ["--config", "overlays/ddp.yaml", "--trainer.devices", "2", "--data.eval_batch_size", str(size)]
        (ner_run / "predictions.jsonl").unlink()
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        found = [json.loads(line) for line in (ner_run / "predictions.jsonl").read_text().splitlines()]
        assert [line["words"] for line in found] == [line["words"] for line in expected]
        assert [line["tags"] for line in found] == [line["tags"] for line in expected]


def test_a_pretrained_tagger_needs_no_checkpoint_and_no_right_tags(ner_run: Path, tmp_path: Path, run_cli: Run) -> None:
    """Tags that are none of the labels, and a sentence without words, which has a line all the same."""
    (tmp_path / "data").mkdir()
    rows = [["Tom", "Reed", "rose"], [], ["\ud800", "Paris"]]
    (tmp_path / "data" / "test.jsonl").write_text(
        "\n".join(json.dumps({"tokens": words, "ner_tags": ["?"] * len(words)}) for words in rows)
    )
    options = ("--config", "ner-sample.yaml", "--model.config", "null", "--model.model", ner_run / "hf")
    run_cli("predict", *options, "--data.vocab_size", "null", "--data.lowercase", "null", "--data.data_dir", "data")
    (path,) = tmp_path.glob("runs/ner-sample/version_0/predictions.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["words"] for line in lines] == rows
    assert lines[1] == {"index": 1, "words": [], "tags": [], "scores": [], "entities": []}
    assert not (path.parent / "metrics.json").exists()


def test_the_training_split_is_written_in_its_order(ner_run: Path) -> None:
    lines = predict(ner_run, "--run_dir", str(ner_run), "--ckpt_path", "last", "--split", "train")
    found = [s for s in read_columns(CONLL / "train.txt") if isinstance(s, TaggedSentence)]
    assert [line["words"] for line in lines] == [list(s.words) for s in found]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--trainer.default_root_dir", "x"], "nothing trained to predict with: give --ckpt_path, or a trained"),
        (["--trainer.default_root_dir", "x", "--model.config", "null", "--model.model", "{mlm}"], "nothing trained to"),
        (["--run_dir", "{run}", "--ckpt_path", "best", "--trainer.limit_predict_batches", "1"], "limit_predict_batch"),
        (["--run_dir", "{run}", "--ckpt_path", "best", "--trainer.fast_dev_run", "true"], "trainer.fast_dev_run would"),
        (["--run_dir", "{run}", "--ckpt_path", "best", "--split", "dev"], "split is 'dev', expected train, val or"),
    ],
)
def test_mistakes_are_told(options: list[str], message: str, ner_run: Path, tiny_bert: str, run_cli: Run) -> None:
    typed = [option.format(run=ner_run, mlm=tiny_bert) for option in options]
    with pytest.raises(InputError, match=message):
        run_cli("predict", "--config", ner_run / "config.yaml", *typed)


def test_masked_language_models_have_nothing_to_predict(tiny_bert: str, cache_dir: str, run_cli: Run) -> None:
    with pytest.raises(InputError, match=r"IMDBDataModule has nothing to predict.*to fill masks in text use fill"):
        run_cli("predict", *imdb_args(tiny_bert, cache_dir))


def test_a_sentence_that_was_lost_is_a_fault() -> None:
    found = {0: (["O"], [0.5])}
    assert len(list(format_sentences(make_sentences(["a"], []), found, "IOB2"))) == 2
    for words in ([["a"], ["b"]], [["a", "b"]]):
        with pytest.raises(RuntimeError, match="tags were predicted"):
            list(format_sentences(make_sentences(*words), found, "IOB2"))


def make_sentences(*words: list[str]) -> list[TaggedSentence]:
    return [TaggedSentence(each, ["O"] * len(each), "a.txt") for each in words]


def test_gold_tags_are_those_of_the_model_or_none() -> None:
    def find(labels: list[str], *tags: list[str]) -> list[Any]:
        sentences = [TaggedSentence(["w"] * len(each), each, "a.txt") for each in tags]
        return [sentence.gold for sentence in blank_tags(sentences, labels)]

    labels = ["O", "B-LOC", "I-LOC"]
    assert find(labels, ["S-LOC", "O"], ["B-LOC", "E-LOC"]) == [["B-LOC", "O"], ["B-LOC", "I-LOC"]]
    assert find(labels, ["I-LOC"], ["I-PER"]) == [None, None]
    assert find(labels, ["?"], []) == [None, None]
    assert find(["NN", "VB"], ["NN", "VB"]) == [["NN", "VB"]]
    assert find(["NN", "VB"], ["NN", "JJ"]) == [None]


def test_entities_count_the_characters_of_joined_words() -> None:
    found = {0: (["O", "B-LOC", "I-LOC"], [0.5, 0.25, 0.75])}
    (line,) = format_sentences(make_sentences(["in", "New York", "City"]), found, "IOB2")
    entity = {"type": "LOC", "score": 0.5, "text": "New York City", "start": 3, "end": 16}
    assert json.loads(line)["entities"] == [entity]
    assert "in New York City"[3:16] == entity["text"]
