"""`python -m lit_mlm tag`, of a model that was trained on the sample files."""

import io
import json
import shlex
from pathlib import Path

import pytest
from seqeval.metrics import f1_score

from lit_mlm.cli import run_command
from lit_mlm.data.columns import read_columns
from lit_mlm.data.sentences import TaggedSentence
from lit_mlm.errors import InputError
from lit_mlm.modules.token_classification import TokenClassification
from tests.conftest import FIXTURES

VALID = FIXTURES / "conll" / "valid.txt"


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run whose windows cut sentences, with context and constrained decoding."""
    folder = tmp_path_factory.mktemp("run")
    run_command(
        [
            *(
                "fit",
                "--config",
                "ner-sample.yaml",
                "--data.data_dir",
                str(FIXTURES / "conll"),
                "--run_dir",
                str(folder),
            ),
            *("--trainer.max_epochs", "1", "--data.window", "14", "--data.overlap", "3", "--data.context_pieces", "4"),
            *("--model.decoding", "viterbi", "--data.cache_dir", str(folder / "cache")),
            *("--trainer.enable_progress_bar", "false"),
        ]
    )
    return folder


def run(capsys: pytest.CaptureFixture[str], *args: object) -> list[str]:
    capsys.readouterr()
    run_command(["tag", *map(str, args)])
    return capsys.readouterr().out.splitlines()


def read(path: Path) -> list[TaggedSentence]:
    return [sentence for sentence in read_columns(path) if isinstance(sentence, TaggedSentence)]


def test_validation_s_words_give_validation_s_f1(
    tagger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "predicted.txt"
    out.write_text("\n".join(run(capsys, "--model", tagger, "--columns", VALID)) + "\n")
    gold, predicted = read(VALID), read(out)
    assert [(s.words, s.document, len(s.tags)) for s in predicted] == [(s.words, s.document, len(s.tags)) for s in gold]
    metrics = json.loads((tagger / "metrics.json").read_text())
    assert metrics["val/num_windows"] > metrics["val/num_sentences"]
    f1 = f1_score([list(s.tags) for s in gold], [list(s.tags) for s in predicted])
    assert 0.1 < f1 < 1
    assert metrics["val/f1"] == pytest.approx(f1, abs=1e-12)


def test_words_alone_are_read(tagger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "words.txt").write_text("Tom\nReed\n\nrose\n")
    lines = run(capsys, "--model", tagger, "--columns", tmp_path / "words.txt")
    assert [line.split("\t")[0] for line in lines] == ["Tom", "Reed", "", "rose", ""]
    records = run(capsys, "--model", tagger, "--columns", tmp_path / "words.txt", "--json")
    assert [json.loads(record)["words"] for record in records] == [["Tom", "Reed"], ["rose"]]
    assert [tag for record in records for tag in json.loads(record)["tags"]] == [
        line.split("\t")[1] for line in lines if line
    ]


def test_texts(tagger: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["Tom Reed joined German farmers.", "prices rose again"]
    records = [json.loads(line) for line in run(capsys, "--model", tagger, "--json", *texts)]
    assert [record["text"] for record in records] == texts
    assert records[0]["entities"]
    for entity in records[0]["entities"]:
        assert set(entity) == {"type", "score", "text", "start", "end"}
        assert 0 < entity["score"] <= 1
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{texts[0]}\r\n\n{texts[1]}\n"))
    lines = run(capsys, "--model", tagger)
    assert [line for line in lines if not line.startswith(" ")] == texts
    first = records[0]["entities"][0]
    assert lines[1].split()[:3] == [first["type"], f"{first['score']:.3f}", f"{first['start']}:{first['end']}"]
    assert lines[1].endswith(first["text"])


def test_the_run_says_how_to_tag(tagger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert TokenClassification.next_command is not None
    command = shlex.split(TokenClassification.next_command.format(model=tagger / "hf"))
    assert command[:4] == ["python", "-m", "lit_mlm", "tag"]
    assert run(capsys, *command[4:])[0] == command[-1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "nothing.txt"),
        ("a b\nc\n", "line 2: 1 column separated by spaces, expected 2, as line 1 has"),
        ("\n", "--columns .*nothing.txt is empty$"),
        ("-DOCSTART-\n", "has no words"),
    ],
)
def test_bad_files_are_refused(tagger: Path, tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "nothing.txt").write_text(content)
    with pytest.raises(InputError, match=message):
        run_command(["tag", "--model", str(tagger), "--columns", str(tmp_path / "nothing.txt")])


def test_nothing_to_tag_and_two_sources_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    with pytest.raises(InputError, match="no text to tag"):
        run_command(["tag", "--model", "any"])
    with pytest.raises(InputError, match=r"--columns and texts exclude each other, got a\.txt and 'one'"):
        run_command(["tag", "--model", "any", "--columns", "a.txt", "one"])
