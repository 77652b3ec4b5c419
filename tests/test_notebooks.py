"""The notebooks run from top to bottom and define nothing of their own."""

import ast
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


def read_code(notebook: Path) -> list[str]:
    """The code cells of a notebook."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_defines_nothing(notebook: Path) -> None:
    for cell in read_code(notebook):
        for node in ast.walk(ast.parse(cell)):
            assert not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda)


@pytest.fixture
def run_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, Any]]:
    """Runs the cells of a notebook in an empty folder and gives all names that they leave."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(stem: str) -> dict[str, Any]:
        (notebook,) = [path for path in NOTEBOOKS if path.stem == stem]
        names: dict[str, Any] = {}
        for cell in read_code(notebook):
            exec(compile(cell, notebook.name, "exec"), names)
        return names

    return run


def test_masked_language_modelling(
    run_notebook: Callable[[str], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    names = run_notebook("01_masked_language_modelling")
    model, figures = names["model"], names["figures"]
    assert model.results["val"]["perplexity"] < 0.5 * model.results["start/val"]["perplexity"]
    assert figures["perplexity_low"] < figures["perplexity"] < figures["perplexity_high"]
    lines = capsys.readouterr().out.splitlines()
    by_call = [tuple(line.split()[:3:2]) for line in lines if " This method" in line]
    by_hand = [tuple(line.split()) for line in lines if re.fullmatch(r"\d\.\d{3}  \S+", line)]
    assert len(by_call) == 5
    assert by_call == by_hand
    repeated = [line.partition(": ")[2] for line in lines if line.startswith("batch size ")]
    assert len(repeated) == 2
    assert repeated[0][:20] == repeated[1][:20]
    assert repeated[0][-12:] == repeated[1][-12:]


def test_token_classification(
    run_notebook: Callable[[str], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    file = (Path(__file__).parent / "fixtures" / "conll" / "valid.txt").read_text(encoding="utf-8")
    rows = [line.split() for line in file.splitlines() if line.strip() and not line.startswith("-DOCSTART-")]
    names = run_notebook("02_token_classification")
    results = names["model"].results
    assert results["start/val"]["f1"] < 0.2
    assert results["val"]["f1"] > 0.85
    assert results["val"]["num_words"] == names["num_words"] == len(rows)
    assert names["predicted"] != names["gold"]
    assert [len(tags) for tags in names["predicted"]] == [len(tags) for tags in names["gold"]]
    assert [tag for tags in names["gold"] for tag in tags] == [row[-1] for row in rows]
    assert set(names["by_hand"]) == {"f1", "f1_strict", "f1_pieces"}
    for name, value in names["by_hand"].items():
        assert value == pytest.approx(results["val"][name], abs=1e-12)

    found = [(e["type"], e["start"], e["end"], e["text"]) for entities in names["found"] for e in entities]
    assert found == [
        ("PER", 0, 8, "Tom Reed"),
        ("ORG", 16, 33, "Acme  Steel Works"),
        ("LOC", 37, 44, "Nairobi"),
        ("MISC", 0, 8, "Japanese"),
        ("PER", 21, 32, "Maria Lopez"),
        ("LOC", 38, 47, "New\nDelhi"),
    ]
    assert len(names["long_tags"]) == len(names["long_words"]) > 5 * names["num_kept"]
    assert names["num_right"] > 0.75 * len(names["long_words"])
    assert len(names["tags"]) == len(names["words"])
    assert names["plain_tags"] == list(names["tags"])
    lines = capsys.readouterr().out.splitlines()
    repeated = [line.partition(": ")[2] for line in lines if line.startswith("batch size ")]
    assert len(repeated) == 2
    assert repeated[0] == repeated[1]
    check_aligned_labels(names["pieces"], names["aligned"], rows)


def check_aligned_labels(pieces: list[str], labels: list[str | int], rows: list[list[str]]) -> None:
    """Pieces of a sentence of the file: a word's first one has its tag, later ones I-X, special tokens have none."""
    assert (pieces[0], labels[0], pieces[-1], labels[-1]) == ("[CLS]", -100, "[SEP]", -100)
    words: list[tuple[str, list[str | int]]] = []
    for piece, label in zip(pieces[1:-1], labels[1:-1], strict=True):
        if piece.startswith("##"):
            word, of_word = words.pop()
            words.append((word + piece.removeprefix("##"), [*of_word, label]))
        else:
            words.append((piece, [label]))
    sentence = [word for word, _ in words]
    (start,) = [i for i in range(len(rows)) if [row[0] for row in rows[i : i + len(words)]] == sentence]
    for (_, of_word), row in zip(words, rows[start:], strict=False):
        assert of_word == [row[-1]] + [row[-1].replace("B-", "I-")] * (len(of_word) - 1)
    assert any(of_word[0] != of_word[-1] for _, of_word in words)
