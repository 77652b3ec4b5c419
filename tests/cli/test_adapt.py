"""Adaptation: what is run, what a killed one runs again, its tables, and what is refused."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from lit_mlm.cli import adapt_runs
from lit_mlm.cli.main import main, run_command
from lit_mlm.errors import InputError
from tests.conftest import FIXTURES

CPU = "overlays/cpu.yaml"
QUIET = ["--trainer.enable_progress_bar", "false", "--trainer.logger", "false"]


def make_plan(model: str, cache_dir: str) -> dict[str, Any]:
    """A plan of short runs."""
    blocks = {"data.block_size": 32, "data.batch_size": 8, "data.cache_dir": cache_dir}
    lines = {"data.train_files": str(FIXTURES / "conll" / "train.txt"), "data.document_per": "line", **blocks}
    reviews = {"data.data_dir": str(FIXTURES / "aclImdb"), "data.cache_dir": cache_dir}
    whole = {"data.num_train_blocks": None, "data.num_val_blocks": None}
    return {
        "model": model,
        "seeds": [1, 2],
        "adaptation": {
            "config": ["imdb.yaml", CPU],
            "options": {**reviews, **whole, **blocks, "trainer.max_epochs": 1, "model.lr": 3.0e-3},
        },
        "control": {"config": ["text.yaml", CPU], "options": lines},
        "general": {"config": ["text.yaml", CPU], "options": lines},
        "tasks": {
            "sentiment": {
                "config": ["imdb-sentiment.yaml", CPU],
                "options": {**reviews, "data.window": 32, "trainer.max_epochs": 1, "model.lr": 1.0e-3},
                "old": True,
            }
        },
    }


class Here:
    """Runs commands in this process, which a kill ends before or after one of them."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.kills: dict[int, str] = {}

    def start(self, args: list[str], log: Path, *_: Any) -> Any:
        log.touch()
        self.started.append(f"{Path(args[args.index('--run_dir') + 1])} {args[0]}")
        kill, status = self.kills.pop(len(self.started), ""), 0
        if kill != "before":
            try:
                main(args)
            except SystemExit as end:
                status = int(end.code or 0)
        if kill:
            raise KeyboardInterrupt
        return SimpleNamespace(wait=lambda: status)


@pytest.fixture(scope="module")
def here() -> Here:
    return Here()


@pytest.fixture(scope="module")
def adapted(tiny_bert: str, cache_dir: str, tmp_path_factory: pytest.TempPathFactory, here: Here) -> Path:
    """The folder of an adaptation that was killed several times."""
    folder = tmp_path_factory.mktemp("adapted")
    (folder / "plan.yaml").write_text(yaml.safe_dump(make_plan(tiny_bert, cache_dir)))
    here.kills = {2: "after", 3: "before", 5: "after", 9: "before", 11: "after"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["lit_mlm"])
        patch.chdir(folder)
        patch.setattr(adapt_runs, "start_process", here.start)
        args = ["adapt", "--config", "plan.yaml", "--run_dir", "out", "--checkpoints", "2", *QUIET]
        for _ in range(5):
            with pytest.raises(KeyboardInterrupt):
                run_command(args)
        run_command(args)
        run_command(args)  # has nothing left to run
    return folder / "out"


def test_nothing_is_run_twice(adapted: Path, here: Here) -> None:
    """But for what was killed before it had written its results."""
    runs = {f"out/{part}" for part in ("adapted/seed_1 fit", "control/seed_1 fit")}
    for model in ("unadapted", "control", "adapted", "step_3"):
        runs |= {f"out/texts/{text}/{model}/seed_1 validate" for text in ("adaptation", "general")}
        runs |= {f"out/tasks/sentiment/{model}/seed_{n} {name}" for n in (1, 2) for name in ("fit", "test")}
    assert set(here.started) == runs
    assert len(here.started) == len(runs) + 2
    assert here.started[0] == "out/texts/adaptation/unadapted/seed_1 validate"
    assert not [*adapted.glob("tasks/*/*/*/hf"), *adapted.glob("tasks/*/*/*/checkpoints")]
    assert (adapted / "adapted" / "seed_1" / "hf" / "model.safetensors").is_file()


def test_figures_are_those_of_the_runs(
    adapted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the comparisons those of `compare`."""
    content = json.loads((adapted / "adapt.json").read_text())
    figures = {figure["name"]: figure for figure in content["figures"]}
    assert {name: (figure["kind"], figure["metric"]) for name, figure in figures.items()} == {
        "sentiment": ("old task", "accuracy"),
        "new domain": ("text", "perplexity"),
        "general text": ("text", "perplexity"),
    }
    for model in ("unadapted", "control", "adapted"):
        for name, folder, key in (
            ("sentiment", "tasks/sentiment", "test/accuracy"),
            ("new domain", "texts/adaptation", "val/perplexity"),
            ("general text", "texts/general", "val/perplexity"),
        ):
            runs = sorted((adapted / folder / model).glob("seed_*"))
            found = [json.loads((run / "metrics.json").read_text())[key] for run in runs]
            assert figures[name]["values"][model] == pytest.approx(found, rel=1e-6)
    before, after = (figures["new domain"]["values"][name][0] for name in ("unadapted", "adapted"))
    trained = json.loads((adapted / "adapted" / "seed_1" / "metrics.json").read_text())
    assert after == pytest.approx(trained["val/perplexity"], rel=1e-6)
    assert after < before
    assert [point["step"] for point in content["curve"]] == [0, 3, 6]
    assert content["curve"][1]["values"]["new domain"][0] > after

    tests = figures["sentiment"]["comparisons"]
    assert [(test["second"], test["first"]) for test in tests] == [
        ("control", "unadapted"),
        ("adapted", "unadapted"),
        ("adapted", "control"),
    ]
    monkeypatch.chdir(adapted / "tasks" / "sentiment")
    main(["compare", "unadapted", "control", "adapted", "--all_pairs", "--split", "test", "--json"])
    expected = json.loads(capsys.readouterr().out)["comparisons"]
    assert [test["p"] for test in tests] == [test["p"] for test in expected]
    assert all(test["p_holm"] >= test["p"] for figure in content["figures"] for test in figure["comparisons"])


def test_cost_and_tables(adapted: Path) -> None:
    content, page = json.loads((adapted / "adapt.json").read_text()), (adapted / "adapt.md").read_text()
    cost = {each["name"]: each for each in content["cost"]}
    assert {name: each["num_runs"] for name, each in cost.items()} == {"adaptation": 1, "control": 1, "sentiment": 8}
    assert cost["control"]["num_steps"] == cost["adaptation"]["num_steps"] == 6
    assert 40 * 32 <= cost["adaptation"]["num_tokens"] <= 41 * 32
    assert all(each["seconds"] > 0 for each in cost.values())
    for line in (
        "|  | unadapted | control | adapted |",
        "2 documents may be too narrow",
        "| sentiment, accuracy (old task) |",
        "| new domain, perplexity | adapted - unadapted | -",
        "![Figures over the steps of the adaptation](curve.png)",
    ):
        assert line in page
    assert (adapted / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_failed_run_ends_the_command(
    adapted: Path, tiny_bert: str, cache_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(make_plan(tiny_bert, cache_dir)))
    monkeypatch.chdir(tmp_path)

    def fail(args: list[str], log: Path, *_: Any) -> Any:
        log.write_text("error: no memory left\n")
        return SimpleNamespace(wait=lambda: 3)

    monkeypatch.setattr(adapt_runs, "start_process", fail)
    with pytest.raises(SystemExit) as stop:
        run_command(["adapt", "--config", "plan.yaml", "--run_dir", "out", *QUIET])
    assert stop.value.code == 3
    with pytest.raises(InputError, match=r"--run_dir out holds an adapt with seeds \[1, 2\], not \[5\]"):
        run_command(["adapt", "--config", "plan.yaml", "--run_dir", "out", "--seeds", "5", *QUIET])
    change = ["--control.model.lr", "0.5", "--general.data.batch_size", "3"]
    with pytest.raises(SystemExit):  # what has no figures may change
        run_command(["adapt", "--config", "plan.yaml", "--run_dir", "out", *change, *QUIET])
    for part, same, refused in (
        ("control", [], "control.model.lr 0.5, not "),
        ("texts/general", change[:2], "general.data.batch_size 3, not "),
    ):
        (Path("out") / part / "seed_1").mkdir(parents=True)
        (Path("out") / part / "seed_1" / "metrics.json").write_text("{}")
        with pytest.raises(InputError, match=f"holds an adapt with {refused}"):
            run_command(["adapt", "--config", "plan.yaml", "--run_dir", "out", *same, *QUIET])


@pytest.mark.parametrize(
    ("change", "args", "message"),
    [
        ({"modle": "bert"}, [], r"plan.yaml, line \d+: there is no modle .*did you mean model\?"),
        ({"model": None}, [], "plan.yaml: give model, the name or folder of the pretrained model"),
        ({"tasks": {}}, [], "plan.yaml: give adaptation, a config of a masked language model, and tasks by name"),
        (
            {"tasks": {"../a": {"config": "ner.yaml"}}},
            [],
            "name a task by letters, digits, _ and -, not '../a'",
        ),
        ({"tasks": {"a": {"options": {}}}}, [], "plan.yaml: tasks.a: give config, a config of fit"),
        ({"tasks": {"a": {"config": "ner.yaml", "odl": True}}}, [], r"line \d+: tasks.a: there is no odl .*mean old"),
        ({"tasks": {"a": {"config": "nre.yaml"}}}, [], r"there is no config nre.yaml .*did you mean ner.yaml"),
        ({"tasks": {"a": {"config": "ner.yaml", "split": "dev"}}}, [], "tasks.a: split must be val or test, got 'dev'"),
        ({"tasks": {"a": {"config": "imdb.yaml"}}}, [], "tasks.a needs a config of a task with labels"),
        ({"adaptation": {"config": "ner.yaml"}}, [], "adaptation needs a config of MaskedLM, not of an AutoModelForT"),
        ({"seeds": [1, 1]}, [], "seeds must be different numbers, got 1 1"),
        ({"seeds": 3}, [], "seeds must be a list of numbers"),
        ({"adapt_per_seed": 1}, [], "adapt_per_seed must be true or false, got 1"),
        (
            {},
            ["--tasks.topic.model.lr", "1"],
            "--tasks.topic.model.lr: there is no such part in the config, only a",
        ),
        ({}, ["--adaptation.model.lrr", "1"], "adaptation: there is no option --model.lrr"),
        ({}, ["--ckpt_path", "a"], "--ckpt_path can't be given to adapt"),
        ({}, ["--control.model.model", "a"], "control: --model.model can't be given: adapt chooses it for each run"),
        ({}, ["--checkpoints", "0"], "--checkpoints must be at least 1, got 0"),
        (
            {},
            ["--adaptation.data.num_new_words", "9", "--general.data.drop_tail", "true"],
            "general: new words change the tokenizer, so models are compared on whole texts alone: leave out data.drop",
        ),
    ],
)
def test_mistakes_are_refused_before_the_first_run(
    change: dict[str, Any], args: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["lit_mlm"])
    monkeypatch.chdir(tmp_path)
    Path("plan.yaml").write_text(yaml.safe_dump(make_plan("bert-base-cased", "cache") | change))
    with pytest.raises(InputError, match=message):
        run_command(["adapt", "--config", "plan.yaml", *args])
    assert [path.name for path in tmp_path.iterdir()] == ["plan.yaml"]
