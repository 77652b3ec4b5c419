"""The notebooks run from top to bottom and define nothing, but in files that they write."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
WRITES = re.compile(r"%%writefile (\S+)\n(.*)", re.DOTALL)


def read_cells(notebook: Path) -> list[dict[str, Any]]:
    """The code cells of a notebook."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [cell | {"source": "".join(cell["source"])} for cell in cells if cell["cell_type"] == "code"]


def translate(cell: str) -> str:
    """Python for the two forms of IPython in the notebooks: a cell that writes a file, and a line that is a command."""
    written = WRITES.fullmatch(cell)
    if written:
        return f"write_file({written[1]!r}, {written[2] + chr(10)!r})"
    return re.sub(r"^!(.*)$", lambda line: f"run_shell(f{line[1]!r})", cell, flags=re.MULTILINE)


def write_file(name: str, text: str) -> None:
    Path(name).write_text(text, encoding="utf-8")


def run_shell(command: str) -> None:
    """Runs a command and prints its output; IPython goes on after one that fails, the tests do not."""
    done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout)
    assert done.returncode == 0, done.stdout


def iterate_written(suffix: str) -> Iterator[tuple[str, str]]:
    """The names and texts of the files that notebooks write."""
    for notebook in NOTEBOOKS:
        for cell in read_cells(notebook):
            written = WRITES.fullmatch(cell["source"])
            if written and written[1].endswith(suffix):
                yield written[1], written[2] + "\n"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_defines_nothing(notebook: Path) -> None:
    for cell in read_cells(notebook):
        for node in ast.walk(ast.parse(translate(cell["source"]))):
            assert not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda)


@pytest.mark.parametrize(("name", "text"), [pytest.param(*file, id=file[0]) for file in iterate_written(".py")])
def test_written_file_is_like_one_of_the_package(name: str, text: str) -> None:
    """It has a docstring and classes, nothing that runs when it is imported, and passes the linters."""
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    for node in tree.body[1:]:
        assert isinstance(node, ast.Import | ast.ImportFrom | ast.ClassDef), ast.unparse(node)
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["check"], ["format", "--diff"]):
        path = Path(__file__).parent.parent / "lit_mlm" / name  # has the rules of the package
        done = subprocess.run(
            [*ruff, *command, "--stdin-filename", str(path), "-"], input=text.encode(), cwd=path.parent
        )
        assert done.returncode == 0


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_those_of_one_run(notebook: Path) -> None:
    """From the first cell to the last, without errors, paths of a machine, colours and widgets."""
    cells = read_cells(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    for output in (output for cell in cells for output in cell["outputs"]):
        assert output["output_type"] in ("stream", "display_data"), output
        assert set(output.get("data", {})) <= {"image/png", "text/plain"}
        text = "".join(output.get("text", "")) + "".join(output.get("data", {}).get("text/plain", ""))
        assert not re.search(r"[\x1b\r\b]|Warning|Traceback|/(?:home|root|tmp|usr|work|Users)/", text), text
        assert text.count("\n") < 40
    assert notebook.stat().st_size < 100_000


@pytest.fixture
def run_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Runs the cells of a notebook in an empty folder and gives all names that they leave."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.syspath_prepend("")  # as in Jupyter

    def run(stem: str) -> dict[str, Any]:
        (notebook,) = [path for path in NOTEBOOKS if path.stem == stem]
        names: dict[str, Any] = {"write_file": write_file, "run_shell": run_shell}
        for cell in read_cells(notebook):
            exec(compile(translate(cell["source"]), notebook.name, "exec"), names)
        return names

    yield run
    for name, _ in iterate_written(".py"):
        sys.modules.pop(name.removesuffix(".py"), None)


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


def test_your_own_data(run_notebook: Callable[[str], dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    names = run_notebook("03_your_own_data")
    printed = capsys.readouterr().out
    assert names["process"].returncode == 130
    assert "stopped by SIGINT at step" in printed
    assert "resumed from" in printed
    first = Path("runs/first")
    for name in ("metrics.json", "hf/model.safetensors"):
        assert (first / name).read_bytes() == (names["resumed"] / name).read_bytes()
    assert printed.count("the same, byte by byte") == 2

    metrics = names["metrics"]
    assert metrics["first"]["val/perplexity"] < 0.5 * metrics["first"]["start/val/perplexity"]
    assert metrics["first"]["val/perplexity"] != metrics["second"]["val/perplexity"]
    assert metrics["first"]["val/mask_fingerprint"] == metrics["second"]["val/mask_fingerprint"]
    (compared,) = re.findall(r"^perplexity  B - A +([\d.]+) +([\d.]+)", printed, re.MULTILINE)
    assert compared == tuple(f"{metrics[run]['val/perplexity']:.1f}" for run in ("second", "first"))
    for line, run in zip(names["axes"].lines, ("first", "second"), strict=True):
        steps, perplexities = line.get_data()
        assert line.get_label() == run
        assert len(steps) == len(perplexities) == 6
        assert (steps[0], steps[-1]) == (0, metrics[run]["last/step"])
        assert perplexities[0] == metrics[run]["start/val/perplexity"]
        assert perplexities[-1] == metrics[run]["last/val/perplexity"]

    assert names["model"].results["val"]["f1"] > 0.9
    found = [(entity["type"], entity["text"]) for entity in names["entities"]]
    assert found == [("AMOUNT", "half a cup"), ("FOOD", "brown sugar"), ("AMOUNT", "two cups"), ("FOOD", "cold milk")]


def test_extend(run_notebook: Callable[[str], dict[str, Any]]) -> None:
    names = run_notebook("04_extend")
    results = names["model"].results
    assert results["val"]["perplexity"] < 0.2 * results["start/val"]["perplexity"]
    assert names["masked"]
    assert all(len(token.removeprefix("##")) >= 4 for token in names["masked"])
    assert names["candidates"][0]["token_str"] == "letter"
    metrics = json.loads(Path("runs/replaced/metrics.json").read_text())
    assert metrics["val/f1"] > 0.5 > metrics["start/val/f1"]
    found = dict(zip(names["tokens"], names["scores"].tolist(), strict=True))
    assert max(found, key=found.__getitem__) not in ("greek", "small", "letter", "with", "oxia")


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
