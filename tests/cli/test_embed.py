"""The command that writes vectors, against the library's functions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from lit_mlm.cli.main import run_command
from lit_mlm.errors import InputError
from lit_mlm.inference.embed import embed_spans, embed_texts, embed_words, load_encoder

TEXTS = ["The story was good.", "", "A dull film"]
SPANS = [[(4, 9), (0, 19)], [], [(2, 6)]]


def write_inputs(folder: Path) -> tuple[str, str]:
    (folder / "texts.txt").write_text("\n".join(TEXTS) + "\n")
    spans: list[Any] = [SPANS[0], SPANS[1], [{"start": 2, "end": 6, "label": "X"}]]
    records = ({"text": text, "spans": marked} for text, marked in zip(TEXTS, spans, strict=True))
    (folder / "spans.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(folder / "texts.txt"), str(folder / "spans.jsonl")


def run_embed(model: str, *args: str | Path) -> None:
    run_command(["embed", "--model", model, *map(str, args)])


def test_texts(tiny_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, _ = write_inputs(tmp_path)
    run_embed(tiny_bert, "--file", file, "--out", tmp_path / "new" / "v.npy", "--pooling", "cls")
    vectors = np.load(tmp_path / "new" / "v.npy")
    assert capsys.readouterr().out.endswith(f"v.npy: 3 vectors of {vectors.shape[1]} numbers\n")
    np.testing.assert_array_equal(vectors, embed_texts(*load_encoder(tiny_bert), TEXTS, "cls"))
    run_embed(tiny_bert, *TEXTS, "--out", tmp_path / "v.npz", "--normalize", "--layers", "0", "-1")
    arrays = np.load(tmp_path / "v.npz")
    expected = embed_texts(*load_encoder(tiny_bert), TEXTS, layers={0: 1, -1: 1})
    np.testing.assert_allclose(arrays["vectors"] * np.linalg.norm(expected, axis=1)[:, None], expected, atol=1e-6)
    assert arrays["end"].tolist() == [len(text) for text in TEXTS]


def test_words_and_spans(tiny_bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lit_mlm.cli.texts.TEXTS_AT_A_TIME", 2)
    file, marked = write_inputs(tmp_path)
    run_embed(tiny_bert, "--file", file, "--unit", "word", "--out", tmp_path / "words.parquet")
    rows = pq.read_table(tmp_path / "words.parquet").to_pylist()
    expected = np.concatenate(embed_words(*load_encoder(tiny_bert), TEXTS))
    np.testing.assert_array_equal(np.array([row["vector"] for row in rows], np.float32), expected)
    assert [row["text"] for row in rows] == ["The", "story", "was", "good", ".", "A", "dull", "film"]
    assert all(TEXTS[row["index"]][row["start"] : row["end"]] == row["text"] for row in rows)
    run_embed(tiny_bert, "--file", marked, "--unit", "span", "--out", tmp_path / "spans.npz")
    arrays = np.load(tmp_path / "spans.npz")
    expected = np.concatenate(embed_spans(*load_encoder(tiny_bert), TEXTS, SPANS))
    np.testing.assert_array_equal(arrays["vectors"], expected)
    found = zip(arrays["index"].tolist(), arrays["start"].tolist(), arrays["end"].tolist(), strict=True)
    assert list(found) == [(i, *span) for i, spans in enumerate(SPANS) for span in spans]


def test_parquet_begins_with_texts_without_words(
    tiny_bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lit_mlm.cli.texts.TEXTS_AT_A_TIME", 1)
    run_embed(tiny_bert, "", "a\ud800 b", "--unit", "word", "--out", tmp_path / "words.parquet")
    assert pq.read_table(tmp_path / "words.parquet")["text"].to_pylist() == ["a", "\ufffd", "b"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["a", "--out", "v.txt"], r"--out v.txt must end with .npy, .npz or .parquet"),
        (["a", "--out", "v.npy"], r"--out v.npy is a folder"),
        (["a", "--out", "bad.jsonl/v.npz"], r"bad.jsonl is a file, not a folder"),
        (["a", "--out", "v.npy", "--unit", "word"], r"--out v.npy must end with .npz or .parquet"),
        (["a", "--out", "v.npz", "--unit", "word", "--pooling", "cls"], "--pooling cls has no effect on words"),
        (["a", "--out", "v.npz", "--unit", "span"], r"needs the spans of .jsonl records"),
        (["a", "--out", "v.npz", "--layers", "1", "--layer_weights", "1", "2"], "one weight for each"),
        (["a", "--out", "v.npz", "--layers", "1", "1"], "names a layer twice"),
        (
            ["--out", "v.npz", "--unit", "span", "--file", "bad.jsonl"],
            r"bad.jsonl, line 2: the column 'spans' must hold",
        ),
    ],
)
def test_what_is_invalid_is_refused_before_the_model_is_read(
    args: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.jsonl").write_text('{"text": "abc", "spans": [[0, 3]]}\n{"text": "abc", "spans": [[0, 4]]}\n')
    Path("v.npy").mkdir()
    with pytest.raises(InputError, match=message):
        run_embed("nothing", *args)
    assert {path.name for path in tmp_path.iterdir()} == {"bad.jsonl", "v.npy"}
