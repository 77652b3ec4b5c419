"""`python -m lit_mlm tag`, of a model that was trained on the sample files."""

import gzip
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from seqeval.metrics import f1_score

from lit_mlm.cli import tag
from lit_mlm.cli.main import run_command
from lit_mlm.data.tagged.columns import read_columns
from lit_mlm.data.tagged.sentences import TaggedSentence
from lit_mlm.errors import InputError
from lit_mlm.inference.tag import Entity, find_tags, load_tagger
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
            *("--trainer.max_epochs", "1", "--data.window", "14", "--data.stride", "3", "--data.context_tokens", "4"),
            *("--model.decoding", "viterbi", "--data.cache_dir", str(folder / "cache")),
            *("--trainer.enable_progress_bar", "false"),
        ]
    )
    return folder


@pytest.fixture
def type_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Puts bytes on standard input."""
    return lambda content: monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))


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
    assert [line.split(" ")[0] for line in lines] == ["Tom", "Reed", "", "rose"]
    records = run(capsys, "--model", tagger, "--columns", tmp_path / "words.txt", "--json")
    assert [json.loads(record)["words"] for record in records] == [["Tom", "Reed"], ["rose"]]
    assert [tag for record in records for tag in json.loads(record)["tags"]] == [
        line.split(" ")[1] for line in lines if line
    ]


def test_columns_stay_and_one_is_added(tagger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As conlleval reads it: gold and prediction side by side, the same number of columns on each line."""
    lines, gold = run(capsys, "--model", tagger, "--columns", VALID), VALID.read_text().splitlines()
    assert [line.rpartition(" ")[0] for line in lines] == gold
    assert {len(line.split()) for line in lines} == {0, 5}
    assert lines[0] == "-DOCSTART- -X- O O O"


def test_texts(tagger: Path, capsys: pytest.CaptureFixture[str], type_in: Any) -> None:
    texts = ["Tom Reed joined German farmers.", "prices rose again"]
    records = [json.loads(line) for line in run(capsys, "--model", tagger, *texts)]
    assert [record["text"] for record in records] == texts
    assert records[0]["entities"]
    for entity in records[0]["entities"]:
        assert set(entity) == {"type", "score", "text", "start", "end"}
        assert 0 < entity["score"] <= 1
    type_in(f"\ufeff{texts[0]}\r\n\n{texts[1]}\n".encode())
    lines = run(capsys, "--model", tagger, "--text")
    assert [line for line in lines if not line.startswith(" ")] == [texts[0], "", texts[1]]
    first = records[0]["entities"][0]
    assert lines[1].split()[:3] == [first["type"], f"{first['score']:.3f}", f"{first['start']}:{first['end']}"]
    assert lines[1].endswith(first["text"])


def test_options_are_those_of_the_library(tagger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["Tom", "Reed", "joined", "German", "farmers", "in", "Washingtonshire", "and", "Johannesburg"] * 3
    options: dict[str, Any] = {"batch_size": 2, "stride": 0, "aggregation": "average"}
    args = [part for name, value in options.items() for part in (f"--{name}", value)]
    (record,) = map(json.loads, run(capsys, "--model", tagger, "--words", " ".join(words), *args))
    loaded = load_tagger(str(tagger))
    (expected,), (usual,) = (find_tags(*loaded, [words], **chosen) for chosen in (options, {}))
    assert (record["tags"], record["entities"]) == (expected.tags, expected.entities)
    assert expected.entities != usual.entities


def test_files_of_every_kind(tagger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_bytes("Tom Reed, caf\u00e9\n\nrose\n".encode("latin-1"))
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as file:
        file.write('{"text": "in Paris", "tokens": ["Rome"]}\n{"tokens": ["New York", "rose"]}\n{"tokens": []}\n')
    files = ("--file", tmp_path / "a.txt", tmp_path / "b.jsonl.gz", "--encoding", "latin-1")
    records = [json.loads(line) for line in run(capsys, "--model", tagger, *files)]
    assert [record.get("text") for record in records] == ["Tom Reed, caf\u00e9", "", "rose", "in Paris", None, None]
    assert [record.get("words") for record in records[3:]] == [None, ["New York", "rose"], []]
    assert [list(record) for record in records[4:]] == [["index", "words", "tags", "entities"]] * 2
    words = [json.loads(line).get("words") for line in run(capsys, "--model", tagger, *files, "--words")]
    assert words == [["Tom", "Reed,", "caf\u00e9"], [], ["rose"], ["Rome"], ["New York", "rose"], []]


def test_empty_texts_have_empty_results_in_their_places(
    tagger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], type_in: Any
) -> None:
    (tmp_path / "a.txt").write_bytes(b"\nTom Reed\r\n  \nrose\n\n")
    (tmp_path / "b.jsonl").write_text('{"text": ""}\n{"text": "Tom"}\n{"text": null}\n')
    records = [
        json.loads(line) for line in run(capsys, "--model", tagger, "--file", tmp_path / "a.txt", tmp_path / "b.jsonl")
    ]
    assert [record["index"] for record in records] == [*range(8)]
    assert [record["text"] for record in records] == ["", "Tom Reed", "  ", "rose", "", "", "Tom", ""]
    assert all(records[i]["entities"] == [] for i in (0, 2, 4, 5, 7))
    type_in((tmp_path / "a.txt").read_bytes())
    assert [json.loads(line) for line in run(capsys, "--model", tagger)] == records[:5]
    (tmp_path / "c.jsonl").write_text('{"text": ""}\n')
    (record,) = map(json.loads, run(capsys, "--model", tagger, "--file", tmp_path / "c.jsonl"))
    assert record == {"index": 0, "text": "", "entities": []}


def test_columns_of_words_and_right_tags(tagger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("# sent_id = 1\n1\tTom\tB-PER\tO\n2\tReed\tI-PER\tO\n\n1\trose\tO\tO\n")
    columns = ("--model", tagger, "--columns", tmp_path / "a.txt")
    capsys.readouterr()
    run_command(["tag", *map(str, columns)])
    out, err = capsys.readouterr()
    assert err.splitlines()[-1].endswith(
        "a.txt: its first column counts words, so words are column 2; --word_column and --tag_column choose others"
    )
    records = [json.loads(line) for line in run(capsys, *columns, "--json")]
    assert [(record["index"], record["words"]) for record in records] == [(0, ["Tom", "Reed"]), (1, ["rose"])]
    tags = [tag for record in records for tag in record["tags"]]
    first, *rest = out.splitlines()
    assert first == "# sent_id = 1"
    assert [line.split("\t")[4:] for line in rest if line] == [[tag] for tag in tags]
    lines = run(capsys, *columns, "--word_column", 2, "--tag_column", 3)
    assert [line.split("\t")[4:] for line in lines[1:] if line] == [
        list(pair) for pair in zip(["B-PER", "I-PER", "O"], tags, strict=True)
    ]


def test_words_of_a_text_keep_their_places(tagger: Path, capsys: pytest.CaptureFixture[str], type_in: Any) -> None:
    text = "  Tom  Reed, joined\tGerman. farmers"
    (record,) = map(json.loads, run(capsys, "--model", tagger, "--words", text))
    assert record["text"] == text
    assert record["words"] == text.split()
    assert len(record["tags"]) == 5
    assert record["entities"]
    for entity in record["entities"]:
        assert text[entity["start"] : entity["end"]] == entity["text"]
    (same,) = find_tags(*load_tagger(str(tagger)), [text.split()])
    assert same.tags == record["tags"]
    assert [e["text"] for e in same.entities] == [" ".join(e["text"].split()) for e in record["entities"]]
    type_in(text.encode())
    assert json.loads(run(capsys, "--model", tagger, "--words")[0]) == record


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_terminal_shows_colours(tagger: Path, no_color: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm-256color")
    text = "Tom Reed joined German farmers"
    for options in ([], ["--json"]):
        terminal = Terminal()
        monkeypatch.setattr("sys.stdout", terminal)
        run_command(["tag", "--model", str(tagger), text, *options])
        shown = terminal.getvalue()
        if options:
            assert json.loads(shown)["text"] == text
        elif no_color:
            assert shown.splitlines()[0] == text
            assert "\033" not in shown
        else:
            assert re.sub(r"\033\[\d+m [A-Z]+\033\[0m|\033\[[\d;]+m", "", shown.splitlines()[0]) == text
            assert "\033[1;32m" in shown


def test_output_that_can_t_be_written(tagger: Path) -> None:
    """An encoding that lacks a character, half a character, and a reader that goes away: no traceback."""
    command = [sys.executable, "-m", "lit_mlm", "tag", "--model", str(tagger)]
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, "caf\u00e9 \udce9"], capture_output=True, env=environment, check=True, timeout=120)
    assert json.loads(done.stdout)["text"] == "caf\u00e9 \udce9"
    with subprocess.Popen([*command, *["Tom Reed"] * 3000], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
        assert process.wait(120) == 141


def test_the_run_says_how_to_tag(tagger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert TokenClassification.next_command is not None
    command = shlex.split(TokenClassification.next_command.format(model=tagger / "hf"))
    assert command[:4] == ["python", "-m", "lit_mlm", "tag"]
    assert json.loads(run(capsys, *command[4:])[0])["text"] == command[-1]


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


def test_nothing_to_tag_and_two_sources_are_refused(type_in: Any) -> None:
    type_in(b"\n")
    with pytest.raises(InputError, match="no text to tag"):
        run_command(["tag", "--model", "any"])
    for options, message in (
        (["--columns", "a.txt", "one"], r"--columns a\.txt and texts are mutually exclusive, got 'one'"),
        (["one", "--file", "a.txt"], r"--file a\.txt and texts are mutually exclusive, got 'one'"),
        (["--columns", "a.txt", "--file", "b.txt"], r"--columns a\.txt and --file b\.txt are mutually exclusive"),
        (["--columns", "a.txt", "--words"], r"--columns a\.txt and --words are mutually exclusive"),
        (["--json", "--text", "one"], "argument --text: not allowed with argument --json"),
        (["--file", "none.txt"], r"--file: no file matches none\.txt"),
        (["--columns", "a.txt", "--encoding", "utf8x"], "--encoding utf8x is not a text encoding"),
        (["one", "--word_column", "2"], "--word_column 2 has no effect without --columns"),
        (["--columns", str(VALID), "--word_column", "9"], r"--word_column is 9, but .*valid\.txt has 4 columns"),
        (
            ["--columns", str(VALID), "--tag_column", "NER"],
            r"--tag_column NER names no column of .*valid\.txt: it has no",
        ),
        (["--columns", str(VALID), "--word_column", "0"], "--word_column must be at least 1, got 0"),
        (["one", "--batch_size", "0"], "--batch_size must be at least 1, got 0"),
        (["one", "--stride", "-1"], "--stride must be at least 0, got -1"),
        (["one", "--aggregation", "mean"], "argument --aggregation: invalid choice: 'mean'"),
    ):
        with pytest.raises(InputError, match=message):
            run_command(["tag", "--model", "any", *options])


def test_unreadable_input_names_the_option(tmp_path: Path, type_in: Any) -> None:
    advice = r"byte 0xe9 at position 4 is not valid utf-8; set its encoding, such as --encoding latin-1"
    (tmp_path / "a.txt").write_bytes(b"caf\xe9\n")
    for option in ("--file", "--columns"):
        with pytest.raises(InputError, match=rf"a\.txt, line 1: {advice}"):
            run_command(["tag", "--model", "any", option, str(tmp_path / "a.txt")])
    type_in(b"caf\xe9\n")
    with pytest.raises(InputError, match=f"^standard input, line 1: {advice}"):
        run_command(["tag", "--model", "any"])
    for record, message in (('{"tokens": [1]}', "must hold a list of words"), ('{"a": 1}', "no column 'text'")):
        (tmp_path / "a.jsonl").write_text(record)
        with pytest.raises(InputError, match=rf"a\.jsonl, line 1: .*{message}"):
            run_command(["tag", "--model", "any", "--file", str(tmp_path / "a.jsonl")])


def test_control_characters_reach_no_terminal(tagger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither those of a text nor those of labels, but colours do; a file of columns keeps its own."""
    entity = Entity(type="\x1b]0;title\x07", score=0.5, start=4, end=8, text="a\x1bcb")
    text = f"\x9b2J {entity['text']} x"
    expected = [r"\u009b2J a\u001bcb x", r"  \u001b]0;title\u0007  0.500  4:8  a\u001bcb"]
    assert tag.format_text(text, [entity]).splitlines() == expected
    coloured = tag.format_text(text, [entity], {})
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured).splitlines() == [
        r"\u009b2J a\u001bcb \u001b]0;title\u0007 x",
        expected[1],
    ]
    assert run(capsys, "--model", tagger, "--text", "\x1b[31mred")[0] == r"\u001b[31mred"
    path = tmp_path / "words.txt"
    path.write_text("Tom\x1b[31m O\n")
    assert run(capsys, "--model", tagger, "--columns", path)[0].startswith("Tom\x1b[31m O ")
