"""The benchmarks run, on a tiny net, and the page of results has a place for each comparison."""

import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks import growth, inference, mlm, ner
from benchmarks.all import COMPARISONS, fill
from benchmarks.sides import Benchmark, Runs, check_same, format_runs
from tests.conftest import FIXTURES

PAGE = Path(__file__).parents[1] / "docs" / "results.md"

RUNS: Runs = {
    "recipe": [{"step cpu": 4.0, "step wall": 9.0, "f1": 0.5, "peak MiB": 100.0, "same loss": 1.0}] * 2,
    "ours": [
        {"step cpu": 2.0, "step wall": 3.0, "f1": 0.6, "peak MiB": 50.0, "same loss": 1.00001},
        {"step cpu": 1.0, "step wall": 4.5, "f1": 0.4, "peak MiB": 70.0, "same loss": 1.00001},
    ],
}

SCRIPT = """
import json, os, sys
assert os.environ["OMP_NUM_THREADS"] == "1"
print(json.dumps({"same loss": float(sys.argv[sys.argv.index("--seed") + 1])}))
"""
"""A side whose figure is its seed."""

pytestmark = pytest.mark.filterwarnings("ignore")  # of the Trainer and of pipelines


def run_sides(benchmark: Any, *args: str) -> dict[str, dict[str, float]]:
    """The figures of each side, in this process."""
    options = benchmark.parse([*args, "--seed", "1"])
    return {side: run(options) for side, run in benchmark.sides.items() if side in options.sides}


def test_tables_have_medians_and_ratios_of_pairs() -> None:
    lines = "\n".join(format_runs(RUNS))
    assert "| step | CPU s | recipe / this | wall s | recipe / this | peak MiB |" in lines
    assert "| ours | 1.5 | 3.00 x (2.00 to 4.00) | 3.75 | 2.50 x (2.00 to 3.00) | 60 |" in lines
    assert "| ours | 0.600 0.400 | 0.500 | +0.000 (0.100) |" in lines
    one = {"recipe": RUNS["recipe"], "ours": [{"own cpu": 1.0, "own wall": 1.0, "peak MiB": 1.0}] * 2}
    assert "| ours | 1 |  | 1 |  | 1 |" in list(format_runs({side: runs[:1] for side, runs in one.items()}))


def test_sides_that_differ_end_the_run() -> None:
    check_same(RUNS)
    with pytest.raises(SystemExit, match=r"the sides differ: loss is \{'recipe': 1.0, 'ours': 1.1\}"):
        check_same(
            {
                side: [figures | {"same loss": loss} for figures in runs]
                for (side, runs), loss in zip(RUNS.items(), (1.0, 1.1), strict=True)
            }
        )


def test_what_must_be_the_same_is_compared_seed_by_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each side in a process, in turn."""
    (tmp_path / "sides.py").write_text(SCRIPT)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{PAGE.parents[1]}")
    sides: dict[str, Any] = {"first": None, "second": None}
    runs = Benchmark("sides", None, sides, lambda _: None).run(["--seeds", "3", "4"])
    assert runs == {side: [{"same loss": 3.0}, {"same loss": 4.0}] for side in sides}


@pytest.mark.parametrize("precision", mlm.PRECISIONS)
def test_masked_language_modelling(precision: str, tiny_bert: str) -> None:
    args = ["--model", tiny_bert, "--data", str(FIXTURES / "aclImdb"), "--precision", precision]
    found = run_sides(mlm.BENCHMARK, *args, "--batch_size", "4", "--length", "16", "--steps", "2")
    check_same({side: [figures] for side, figures in found.items()})
    assert found["recipe"].keys() == found["lit-mlm"].keys() >= {"training cpu", "evaluation wall", "training share"}
    assert all(value > 0 for figures in found.values() for value in figures.values())


def test_tagging(tiny_bert: str, tmp_path: Path) -> None:
    for split in ("train", "valid"):
        (tmp_path / f"{split}.txt").write_bytes((FIXTURES / "conll" / f"{split}.txt").read_bytes())
    args = ["--model", tiny_bert, "--data", str(tmp_path), "--sentences", "16", "--batch_size", "8"]
    found = run_sides(ner.BENCHMARK, *args)
    assert found.keys() == {"recipe", "packed", "padded", "by length"}
    assert all(figures["training cpu"] > 0 and 0 <= figures["f1"] <= 1 for figures in found.values())
    # The same sentences in each step, in packed rows or padded.
    assert found["packed"]["f1"] == pytest.approx(found["padded"]["f1"], abs=0.02)


@pytest.mark.parametrize("task", ["fill", "tag"])
def test_inference(task: str, tiny_bert: str, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text(
        "\n".join(f"the {word} film was great {i}" for i in range(5) for word in ("new", "old"))
    )
    found = run_sides(
        inference.BENCHMARK, "--task", task, "--model", tiny_bert, "--data", str(tmp_path), "--num_texts", "8"
    )
    check_same({side: [figures] for side, figures in found.items()})
    assert all(figures[f"{task} cpu"] > 0 for figures in found.values())


def test_growth_finds_its_exponent(tmp_path: Path) -> None:
    runs: Runs = {f"{n} documents": [{"prepare cpu": n**1.5, "prepare wall": 1.0, "peak MiB": n}] for n in (1, 2, 4)}
    assert growth.format_curves(runs)[-1] == "| documents | 1, 2, 4 | 1.00, 2.83, 8.00 | 1.50 | 1, 2, 4 |"
    growth.draw_curves(runs, tmp_path / "growth.svg")
    assert "proportional" in (tmp_path / "growth.svg").read_text()


def test_each_comparison_has_a_place_in_the_results(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    text = re.sub(r"(<!-- benchmark [\w ]+ -->\n).*?(<!-- end -->)", r"\1\2", PAGE.read_text(), flags=re.DOTALL)
    page.write_text(text)
    about = {"module": "m", "args": [], "date": "today", "machine": {"cores": 2, "cpu": "a machine"}}
    runs = {
        name: RUNS if name != "growth" else {"1 length": [{"step cpu": 1.0, "peak MiB": 1.0}]} for name in COMPARISONS
    }
    found = {name: about | {"runs": each} for name, each in runs.items()}
    fill(page, {"comparisons": found})
    assert page.read_text().count("today, one thread of 2 cores, a machine") == len(COMPARISONS)
    assert len(re.findall("<!-- end -->", text)) == len(COMPARISONS)
    page.write_text("no place")
    with pytest.raises(SystemExit, match="needs <!-- benchmark mlm -->"):
        fill(page, {"comparisons": found})


def test_options_of_all_comparisons_and_of_the_page_are_taken() -> None:
    for benchmark, folder, args in COMPARISONS.values():
        parsed = benchmark.parse(["--model", "m", *(["--data", "d"] if folder else []), *args])
        assert parsed.model == "m"
        assert set(parsed.sides) <= benchmark.sides.keys()
    modules = {benchmark.module: benchmark for benchmark, _, _ in COMPARISONS.values()}
    shown = re.findall(r"^python -m (benchmarks\.\w+) (.*)$", PAGE.read_text(), re.MULTILINE)
    parsed_models = [modules[module].parse(args.split()).model for module, args in shown if module in modules]
    assert len(parsed_models) >= len(COMPARISONS)
    assert set(parsed_models) == {"MINILM"}
