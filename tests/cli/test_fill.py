"""`python -m lit_mlm fill`."""

import io
import json
from pathlib import Path

import pytest

from lit_mlm.cli import texts
from lit_mlm.cli.main import run_command
from lit_mlm.errors import InputError
from lit_mlm.inference.fill import fill_masks, load_masked_lm
from lit_mlm.inference.fill_jointly import fill_jointly


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
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"one [MASK]\r\n\ntwo [MASK]\n")))
    lines = run(capsys, "--model", tiny_bert, "--top_k", "1")
    assert [line for line in lines if not line.startswith(" ")] == ["one [MASK]", "two [MASK]"]


def test_files(tiny_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_bytes("caf\u00e9 [MASK]\n\ntwo [MASK]\n".encode("latin-1"))
    (tmp_path / "b.jsonl").write_text('{"text": "three [MASK]"}\n')
    files = ["--file", str(tmp_path / "a.txt"), str(tmp_path / "b.jsonl"), "--encoding", "latin-1"]
    records = [json.loads(line) for line in run(capsys, "--model", tiny_bert, "--json", *files)]
    assert [record["index"] for record in records] == [0, 2, 3]
    given = ["caf\u00e9 [MASK]", "two [MASK]", "three [MASK]"]
    assert [record["text"] for record in records] == given
    assert [record["masks"] for record in records] == fill_masks(*load_masked_lm(tiny_bert), given)


def test_an_invalid_text_of_a_file_is_named_after_the_results_before_it(
    tiny_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "TEXTS_AT_A_TIME", 3)
    lines = [f"{i} [MASK]" for i in range(4)]
    (tmp_path / "a.txt").write_text("\n".join([*lines, "none", "5 [MASK]"]))
    with pytest.raises(InputError, match=r"a\.txt, line 5: the text has no mask; .*: 'none'$"):
        run_command(["fill", "--model", tiny_bert, "--file", str(tmp_path / "a.txt")])
    assert [line for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")] == lines


def test_joint_fillings(tiny_bert: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = "The [MASK] was [MASK]."
    net, tokenizer = load_masked_lm(tiny_bert)
    for args, options in (
        (["--joint"], {}),
        (["--joint", "confident", "--beam_size", "3"], {"method": "confident", "beam_size": 3}),
    ):
        (expected,) = fill_jointly(net, tokenizer, [text], **options)  # type: ignore[arg-type]
        (line,) = run(capsys, "--model", tiny_bert, text, "--json", *args)
        assert json.loads(line) == {"index": 0, "text": text, "fillings": expected}
        first, second, *lines = run(capsys, "--model", tiny_bert, text, *args)
        assert [first, second] == [text, "  jointly, log p"]
        assert lines == [f"  {filling['score']:.3f}  {filling['text']}" for filling in expected]


def test_targets(tiny_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, words = "The [MASK] was dull.", ["film", "splendid story", "cast"]
    net, tokenizer = load_masked_lm(tiny_bert)
    (expected,) = fill_masks(net, tokenizer, [text], targets=words)
    (line,) = run(capsys, "--model", tiny_bert, "--json", text, "--targets", *words)
    assert json.loads(line)["masks"] == expected
    (tmp_path / "words.txt").write_text("\n".join(words) + "\n\n")
    lines = run(capsys, "--model", tiny_bert, "--targets_file", str(tmp_path / "words.txt"), text)
    assert lines == [text, *(f"  {target['score']:.2e}  {target['text']}" for target in expected[0])]
    (line,) = run(capsys, "--model", tiny_bert, "--json", text, "--normalize", "candidates", "--targets", *words)
    assert sum(target["score"] for target in json.loads(line)["masks"][0]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--joint", "--targets", "film"], "--joint and --targets are mutually exclusive"),
        (["--targets", "film", "A [MASK]."], r"--targets: 'A \[MASK\]\.' has a mask; put texts before --targets"),
        (["--beam_size", "3"], "--beam_size 3 has no effect without --joint"),
        (["--normalize", "tokens"], "--normalize tokens has no effect without --targets or --targets_file"),
        (["--joint", "best"], "argument --joint: invalid choice: 'best'"),
        (["--targets_file", "none.txt"], r"--targets_file: there is no file none\.txt"),
        (["--file", "none.txt"], r"--file none\.txt and texts are mutually exclusive"),
        (["--top_k", "0"], "top_k must be between 1 and the vocabulary's 150, got 0"),
    ],
)
def test_bad_options_are_refused(args: list[str], message: str, tiny_bert: str) -> None:
    with pytest.raises(InputError, match=message):
        run_command(["fill", "--model", tiny_bert, "a [MASK]", *args])


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
