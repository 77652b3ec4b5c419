"""The notebooks run from top to bottom and define nothing of their own."""

import ast
import json
import re
from pathlib import Path

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


def test_masked_language_modelling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (notebook,) = [path for path in NOTEBOOKS if path.stem == "01_masked_language_modelling"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    names: dict[str, object] = {}
    for cell in read_code(notebook):
        exec(compile(cell, notebook.name, "exec"), names)
    model, figures = names["model"], names["figures"]
    assert model.results["val"]["perplexity"] < 0.5 * model.results["start/val"]["perplexity"]  # type: ignore[attr-defined]
    assert figures["perplexity_low"] < figures["perplexity"] < figures["perplexity_high"]  # type: ignore[index]
    lines = capsys.readouterr().out.splitlines()
    by_call = [tuple(line.split()[:3:2]) for line in lines if " This method" in line]
    by_hand = [tuple(line.split()) for line in lines if re.fullmatch(r"\d\.\d{3}  \S+", line)]
    assert len(by_call) == 5
    assert by_call == by_hand
    repeated = [line.partition(": ")[2] for line in lines if line.startswith("batch size ")]
    assert len(repeated) == 2
    assert repeated[0][:20] == repeated[1][:20]
    assert repeated[0][-12:] == repeated[1][-12:]
