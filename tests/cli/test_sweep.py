"""Sweeps: the trials of a killed one are those of one that was not, pruned and failed trials, what is refused."""

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from lit_mlm.cli import series, series_options, trial_runs
from lit_mlm.cli.main import run_command
from lit_mlm.cli.trials import Study, read_space
from tests.conftest import imdb_args

CHECKED = series_options.Options("min", {"model": {"lr": 0.1}}, "")

FIT = """
import json, pathlib, sys, time
options = dict(zip(sys.argv[2::2], sys.argv[3::2]))
run, lr = pathlib.Path(options["--run_dir"]), float(options["--model.lr"])
if lr > 1: sys.exit("error: lr is above 1")
run.mkdir(parents=True, exist_ok=True)
(run / "config.yaml").write_text("model: {lr: %r}\\n" % lr)
loss = (lr - 0.3) ** 2 + int(options["--seed_everything"]) / 1e6
for part in ("checkpoints", "hf"): (run / part).mkdir(exist_ok=True)
history = []
for step in range(4):
    history.append({"step": step, "val/loss": loss + 1 - step / 10})
    text = json.dumps({"monitor": "val/loss", "mode": "min", "history": history})
    (run / "history.new").write_text(text)
    (run / "history.new").replace(run / "history.json")
    time.sleep(0.02)
if 0.9 < lr: sys.exit("error: diverged")
(run / "metrics.json").write_text(json.dumps({"val/loss": loss}))
"""
"""In place of ``fit``, which takes seconds: the best lr is 0.3."""


@pytest.fixture
def quick_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Runs a sweep whose trials take no time."""
    (tmp_path / "fit.py").write_text(FIT)
    (tmp_path / "space.yaml").write_text("model.lr: {low: 0.01, high: 0.8, log: true}\ndata.batch_size: [8, 16]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(series, "COMMAND", (sys.executable, "fit.py"))
    monkeypatch.setattr(trial_runs, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(series_options, "check_options", lambda *_: CHECKED)

    def run(*args: Any) -> Path:
        space = () if "--space" in args else ("--space", "space.yaml")
        run_command(["sweep", "--config", "quickstart.yaml", "--run_dir", "sweep", *space, *map(str, args)])
        return tmp_path / "sweep"

    return run


def read_trials(folder: Path) -> list[dict[str, Any]]:
    trials: list[dict[str, Any]] = json.loads((folder / "sweep.json").read_text())["trials"]
    return trials


def list_intermediate(folder: Path) -> list[dict[int, float]]:
    study = optuna.load_study(study_name="sweep", storage=f"sqlite:///{folder / 'sweep.db'}")
    return [trial.intermediate_values for trial in study.trials]


def test_best_of_many(quick_sweep: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    folder = quick_sweep("--num_trials", 14, "--seeds", 1, 2)
    summary = json.loads((folder / "sweep.json").read_text())
    trials = read_trials(folder)
    best = min(trials, key=lambda trial: trial["value"])
    assert summary["best"] == best["number"]
    lr = best["options"]["model.lr"]
    assert best["value"] == pytest.approx((lr - 0.3) ** 2 + 1.5e-6, abs=1e-12)
    # Student's interval of two values at a distance of 1e-6: 12.706 times half of it on either side.
    assert summary["high"] - summary["low"] == pytest.approx(12.706 * 1e-6, rel=1e-3)
    head, *config = (folder / "best.yaml").read_text().splitlines()
    assert f"trial {best['number']} of 14" in head
    assert yaml.safe_load("\n".join(config)) == {"model": {"lr": lr}}
    kept = [path.parts[-3] for path in folder.glob("trial_*/seed_*/checkpoints")]
    assert kept == [f"trial_{best['number']}"] * 2
    assert {path.name for path in folder.glob("*.png")} == {"history.png", "importance.png"}
    assert "best:    val/loss " in capsys.readouterr().out
    # TPE has learnt: the later half is nearer to the best lr than the first trials, which are drawn at random.
    distances = [abs(trial["options"]["model.lr"] - 0.3) for trial in trials]
    assert sum(distances[10:]) / 4 < sum(distances[:10]) / 10


@pytest.mark.parametrize("jobs", [1, 3])
def test_killed_sweep_continues_as_if_it_had_not_been(
    jobs: int, quick_sweep: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    args = ("--num_trials", 13, "--jobs", jobs, "--prune")
    whole = quick_sweep(*args).rename(tmp_path / "whole")
    kills = [3, 8]  # trials that have begun

    def sleep(seconds: float) -> None:
        if kills and len([*Path("sweep").glob("trial_*")]) >= kills[0]:
            kills.pop(0)
            raise SystemExit(137)
        subprocess.run(["sleep", str(seconds)], check=True)

    def kill(trial: Any) -> None:
        if trial._process is not None:
            trial._process.kill()
            trial._process.wait()

    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", sleep)
        patch.setattr(trial_runs.Trial, "stop", kill)
        for _ in range(2):
            with pytest.raises(SystemExit):
                quick_sweep(*args)
        folder = quick_sweep(*args)
    assert read_trials(folder) == read_trials(whole)
    assert list_intermediate(folder) == list_intermediate(whole)
    states = [trial["state"] for trial in read_trials(whole)]
    assert states.count("complete") >= 5
    assert "pruned" in states
    for trial, values in zip(read_trials(whole), list_intermediate(whole), strict=True):
        assert (len(values) < 3) <= (trial["state"] == "pruned")
    # More trials of a finished sweep follow those that are there.
    quick_sweep(*args[:1], 15, *args[2:])
    assert read_trials(folder)[:13] == read_trials(whole)
    assert len(read_trials(folder)) == 15


def test_failed_trials_are_left_out(quick_sweep: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    Path("space.yaml").write_text("model.lr: [0.95, 0.2, 0.4]\n")
    folder = quick_sweep("--sampler", "grid")
    assert [(trial["state"], trial["value"]) for trial in read_trials(folder)] == [
        ("fail", None),
        ("complete", pytest.approx(0.01 + 42e-6)),
        ("complete", pytest.approx(0.01 + 42e-6)),
    ]
    assert "trial 0: fail\n" in capsys.readouterr().out
    Path("space.yaml").write_text("model.lr: [0.95]\n")
    with pytest.raises(ValueError, match=r"holds a sweep with space\.model\.lr"):
        quick_sweep("--sampler", "grid")


def test_trial_that_never_trains_ends_the_sweep(
    quick_sweep: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("space.yaml").write_text("model.lr: [2.0, 0.2]\n")
    with pytest.raises(ValueError, match="trial 0 ended with exit status 1 before it trained"):
        quick_sweep("--sampler", "grid")
    assert "error: lr is above 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("space", "args", "message"),
    [
        ("model.lr: [0.1]", ["--num_trials", "0"], "--num_trials must be at least 1, got 0"),
        ("model.lr: [0.1]", ["--seeds", "1", "1"], "--seeds must be different numbers, got 1 1"),
        ("model.lr: [0.1]", ["--gpus", "0", "1", "--jobs", "3"], "--jobs 3 needs as many --gpus, got 2"),
        ("model.lr: [0.1]", ["--model.lr", "1"], "--model.lr is typed, and in space.yaml too; leave one out"),
        ("model.lr: [0.1]", ["--ckpt_path", "a"], "--ckpt_path can't be given to sweep"),
        ("seed_everything: [1]", [], "--seed_everything can't be given to sweep"),
        ("model.lr: [0.1]", ["--space", "other.yaml"], "--space other.yaml: there is no such file; a line of it is"),
        ("", [], "--space space.yaml: it has no options"),
        ("a: [1]\nmodel.lr: 3", [], "space.yaml, line 2: model.lr: got 3; give a list of values, or low and high"),
        ("model.lr: {low: 1, hihg: 2}", [], "model.lr: there is no hihg .but low, high, log, step.; did you mean high"),
        ("model.lr: {low: 1}", [], "model.lr: a range needs low and high, which are numbers"),
        ("model.lr: {low: 3, high: 2}", [], "line 1: model.lr: .*low"),
        ("model.lr: [[1]]", [], "values must be numbers, texts, true, false or null"),
        (
            "model.lr: {low: 0.1, high: 1}",
            ["--sampler", "grid"],
            "--sampler grid needs lists of values, or ranges with",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    space: str, args: list[str], message: str, quick_sweep: Callable[..., Path], tmp_path: Path
) -> None:
    Path("space.yaml").write_text(space)
    with pytest.raises(ValueError, match=message):
        quick_sweep(*args)
    assert not (tmp_path / "sweep").exists()


def test_folder_of_something_else_is_refused(quick_sweep: Callable[..., Path]) -> None:
    Path("sweep").mkdir()
    Path("sweep/notes.txt").touch()
    with pytest.raises(ValueError, match=r"--run_dir sweep holds notes\.txt, which sweep didn't write"):
        quick_sweep()


@pytest.mark.parametrize("name", ["sweep.db-journal", ".settings.json.unfinished", ".history.png.unfinished"])
def test_what_a_kill_leaves_is_no_obstacle(name: str, quick_sweep: Callable[..., Path]) -> None:
    Path("sweep").mkdir()
    Path("sweep", name).touch()
    assert len(read_trials(quick_sweep("--num_trials", 1))) == 1


def test_weights_of_all_trials_are_removed_once_they_are_not_wanted(quick_sweep: Callable[..., Path]) -> None:
    """Also those that a sweep had no time to remove before it was killed."""
    folder = quick_sweep("--num_trials", 2, "--keep_all")
    assert len([*folder.glob("trial_*/seed_*/checkpoints")]) == 2
    quick_sweep("--num_trials", 2)
    best = json.loads((folder / "sweep.json").read_text())["best"]
    assert [*folder.glob("trial_*/seed_*/checkpoints")] == [folder / f"trial_{best}" / "seed_42" / "checkpoints"]


def test_equal_trials_end_without_importance(quick_sweep: Callable[..., Path]) -> None:
    Path("space.yaml").write_text("model.lr: [0.2]\ndata.batch_size: [8, 16]\n")
    folder = quick_sweep("--sampler", "grid")
    assert [path.name for path in folder.glob("*.png")] == ["history.png"]


def test_stopped_trial_has_not_failed(quick_sweep: Callable[..., Path]) -> None:
    """Also if the signal comes while a resumed one still imports, so that it ends the process."""
    lines = FIT.splitlines()
    at = next(number for number, line in enumerate(lines) if "config.yaml" in line) + 1
    Path("fit.py").write_text("\n".join([*lines[:at], "import os; os.kill(os.getpid(), 15)"]))
    with pytest.raises(SystemExit) as stopped:
        quick_sweep("--num_trials", 1)
    assert stopped.value.code == 143
    Path("fit.py").write_text(FIT)
    assert read_trials(quick_sweep("--num_trials", 1))[0]["state"] == "complete"


def test_full_disk_does_not_fail_a_trial(quick_sweep: Callable[..., Path]) -> None:
    Path("fit.py").write_text(FIT.replace("if 0.9 < lr:", "if True:").replace("diverged", os.strerror(errno.ENOSPC)))
    with pytest.raises(ValueError, match=r"trial 0: no space left for sweep/trial_0: free some, and run it again"):
        quick_sweep("--num_trials", 1)
    Path("fit.py").write_text(FIT)
    assert read_trials(quick_sweep("--num_trials", 1))[0]["state"] == "complete"


def test_order_of_the_options_is_that_of_the_sweep(quick_sweep: Callable[..., Path]) -> None:
    """It is that of a grid, of which another would repeat some trials and leave out others."""
    lines = ["data.batch_size: [8, 16]", "model.lr: [0.1, 0.2]"]
    Path("space.yaml").write_text("\n".join(lines))
    quick_sweep("--sampler", "grid", "--num_trials", 2)
    Path("space.yaml").write_text("\n".join(reversed(lines)))
    with pytest.raises(ValueError, match=r"holds a sweep with order \['data.batch_size', 'model.lr'\], not"):
        quick_sweep("--sampler", "grid")


def test_median_rule(tmp_path: Path) -> None:
    """A trial ends at the first validation at which its best is worse than the median of five complete trials."""
    (tmp_path / "space.yaml").write_text("model.lr: {low: 0.0, high: 1.0}")
    study = Study(tmp_path / "sweep.db", "max", read_space(tmp_path / "space.yaml"), "random", 0, 1)
    for number in range(5):
        assert study.find_pruned(number, [0.0, 0.0]) is None
        study.tell(study.ask(number), optuna.trial.TrialState.COMPLETE, 0.5, [number / 10, 0.5 + number / 10])
    assert study.find_pruned(5, [0.21, 0.69]) == 1
    assert study.find_pruned(5, [0.19, 0.9]) == 0
    assert study.find_pruned(5, [0.2, 0.7, 0.0]) is None


def test_real_runs(tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text("model.lr: [1.0e-9, 1.0e-3]")
    own = imdb_args(tiny_bert, cache_dir)
    at = own.index("--model.lr")
    del own[at : at + 2]
    args: Sequence[Any] = ("--space", "space.yaml", "--sampler", "grid", *own)
    folder = run_cli("sweep", *args, "--run_dir", "sweep") / "sweep"
    first, second = read_trials(folder)
    metrics = json.loads((folder / "trial_1" / "seed_42" / "metrics.json").read_text())
    assert second["value"] == metrics["val/loss"] < first["value"]
    assert (folder / "trial_1" / "seed_42" / "hf" / "model.safetensors").is_file()
    run_cli("fit", "--config", folder / "best.yaml", "--run_dir", "again")
    assert json.loads((tmp_path / "again" / "metrics.json").read_text())["val/loss"] == metrics["val/loss"]
    for space, message in (("model.lrr: [1.0e-9]", r"model\.lrr"), ("model.lr: [1.0e-9, -1.0]", r"model\.lr .*-1")):
        (tmp_path / "space.yaml").write_text(space)
        with pytest.raises(ValueError, match=message):
            run_cli("sweep", *args, "--run_dir", "other")
    assert not (tmp_path / "other").exists()
