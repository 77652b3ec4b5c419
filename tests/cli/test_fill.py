"""`python -m lit_mlm fill`."""

import io
import json

import pytest

from lit_mlm.cli.main import run_command


def run(capsys: pytest.CaptureFixture[str], *args: str) -> list[str]:
    run_command(["fill", *args])
    return capsys.readouterr().out.splitlines()


def test_candidates_are_printed(tiny_bert: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = run(capsys, "--model", tiny_bert, "--top_k", "2", "The [MASK] was dull.", "A <mask> and a [mask].")
    assert [line for line in lines if not line.startswith(" ")] == ["The [MASK] was dull.", "A <mask> and a [mask]."]
    assert len(lines) == 2 + 2 + 2 + 2 * 2
    assert lines[4:5] == ["  mask 1"]


def test_json_has_the_pipeline_s_fields(tiny_roberta: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = run(capsys, "--json", "The [MASK] was dull.", "--model", tiny_roberta)
    (record,) = [json.loads(line) for line in lines]
    assert record["text"] == "The [MASK] was dull."
    assert len(record["masks"][0]) == 5
    assert set(record["masks"][0][0]) == {"score", "token", "token_str", "sequence", "text"}


def test_standard_input(tiny_bert: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("one [MASK]\r\n\ntwo [MASK]\n"))
    lines = run(capsys, "--model", tiny_bert, "--top_k", "1")
    assert [line for line in lines if not line.startswith(" ")] == ["one [MASK]", "two [MASK]"]


def test_text_without_mask_is_an_error_after_the_texts_before_it(
    tiny_bert: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=r"the text has no mask.*'nothing to fill'"):
        run_command(["fill", "--model", tiny_bert, "one [MASK]", "nothing to fill"])
    assert capsys.readouterr().out.startswith("one [MASK]\n")


def test_control_characters_reach_no_terminal(tiny_bert: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = "\x1b[31mred \x9b2J [MASK]\ta\x7f"
    first, *_ = run(capsys, "--model", tiny_bert, text)
    assert first == r"\u001b[31mred \u009b2J [MASK]" + "\ta" + r"\u007f"
    (line,) = run(capsys, "--model", tiny_bert, "--json", text)
    assert line.isprintable()
    assert json.loads(line)["text"] == text
