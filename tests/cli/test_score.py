"""`python -m lit_mlm score`."""

import io
import json
import re
from pathlib import Path

import pytest

from lit_mlm.cli.main import run_command
from lit_mlm.errors import InputError
from lit_mlm.inference.fill import load_masked_lm
from lit_mlm.inference.score import score_texts, summarise_scores

TEXTS = ["The story was bright.", "", "It's a wonderful café!", "was dull " * 40]


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(TEXTS) + "\n")
    return str(path)


def test_each_text_has_a_record_in_its_place(tiny_bert: str, corpus: str, capsys: pytest.CaptureFixture[str]) -> None:
    run_command(["score", "--model", tiny_bert, "--file", corpus, "--method", "original", "--tokens"])
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    expected = score_texts(*load_masked_lm(tiny_bert), TEXTS, "original")
    assert [record["index"] for record in records] == [0, 1, 2, 3]
    assert [record.get("windows") for record in records] == [None, None, None, True]
    for record, text in zip(records, expected, strict=True):
        assert record["text"] == text.text
        assert (record["num_tokens"], record["num_words"]) == (text.num_tokens, text.num_words)
        assert record["score"] == pytest.approx(text.score, rel=1e-6)
        assert [token.pop("log_prob") for token in record["tokens"]] == pytest.approx(text.log_probs, abs=1e-5)
        assert [text.text[token["start"] : token["end"]] for token in record["tokens"]] == [
            token["text"] for token in record["tokens"]
        ]
    assert (records[1]["score"], records[1]["num_tokens"], records[1]["tokens"]) == (0, 0, [])


def test_metrics_of_the_corpus_are_printed_and_written(
    tiny_bert: str, corpus: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = tmp_path / "summary.json"
    run_command(["score", "--model", tiny_bert, "--file", corpus, "--summary", str(summary)])
    written, printed = json.loads(summary.read_text()), capsys.readouterr()
    assert written == pytest.approx(summarise_scores(score_texts(*load_masked_lm(tiny_bert), TEXTS)), rel=1e-6)
    assert "tokens" not in json.loads(printed.out.splitlines()[0])
    for name in ("pseudo_perplexity", "score_per_word"):
        value, low, high = (f"{written[name + end]:,.4g}" for end in ("", "_low", "_high"))
        assert re.search(rf"{name.replace('_', ' ')} +{value}  {low} to {high} \(95 %\)\n", printed.err)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_table(tiny_bert: str, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    run_command(["score", "--model", tiny_bert, "was\tdull \x1b[31m", "", "--tokens"])
    header, line, *tokens, empty = terminal.getvalue().splitlines()
    (text, _) = score_texts(*load_masked_lm(tiny_bert), ["was\tdull \x1b[31m", ""])
    assert header.split() == ["score", "tokens", "per", "token", "text"]
    assert line.split(None, 3) == [
        *(f"{text.score:.2f}", str(text.num_tokens), f"{text.score / text.num_tokens:.3f}"),
        r"was dull \u001b[31m",
    ]
    assert [token.split() for token in tokens] == [[f"{token['log_prob']:.3f}", token["text"]] for token in text.tokens]
    assert empty.split() == ["0.00", "0"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--normalize", "words", "a"], "--normalize words has no effect without --pairs"),
        (["b", "--pairs", "a.jsonl"], "--pairs a.jsonl excludes texts, got 'b'"),
        (["--pairs", "a.jsonl", "--file", "b.txt"], "--pairs a.jsonl excludes --file b.txt"),
        (["--pairs", "a.jsonl", "--tokens"], "--pairs a.jsonl excludes --tokens"),
        (["--summary", "/dev/null/s.json", "a"], "--summary /dev/null: /dev/null is a file, not a folder"),
        (["--summary", ".", "a"], "--summary . is a folder"),
        (["--method", "l2r", "a"], "argument --method: invalid choice: 'l2r'"),
        (["--file", "missing.txt"], "missing.txt"),
    ],
)
def test_bad_options_are_refused_before_a_model_is_loaded(args: list[str], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        run_command(["score", "--model", "no-such-model", *args])
