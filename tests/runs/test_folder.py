"""Which folder a run lies in, and whether it may go on there."""

import os
import shutil
import signal
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lit_mlm.errors import InputError
from lit_mlm.runs.changes import refuse_differences
from lit_mlm.runs.checkpoints import read_checkpoint
from lit_mlm.runs.folder import LOCK, choose_evaluated, choose_run, hold_folder, release_folders
from tests.conftest import imdb_args

Run = Callable[..., Path]

HOLD = """
import os, sys, time
from pathlib import Path
from lit_mlm.runs.folder import hold_folder
hold_folder(Path(sys.argv[1]))
if os.fork():
    print("held", flush=True)
time.sleep(60)
"""
"""A process that holds a folder, with a worker that outlives it."""


@contextmanager
def hold_elsewhere(folder: Path) -> Iterator[int]:
    """Holds a folder in another process, whose id it gives, and ends that and what it has forked."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture(autouse=True)
def release() -> Iterator[None]:
    yield
    release_folders()


def test_folder_of_a_live_process_is_refused_and_that_of_a_killed_one_is_not(tmp_path: Path) -> None:
    with hold_elsewhere(tmp_path / "run") as number:
        with pytest.raises(InputError, match=rf"{tmp_path}/run is in use by process {number} on .*--run_dir"):
            hold_folder(tmp_path / "run")
        os.kill(number, signal.SIGKILL)  # and its worker lives
        os.waitid(os.P_PID, number, os.WEXITED | os.WNOWAIT)
        hold_folder(tmp_path / "run")
        assert str(os.getpid()) in (tmp_path / "run" / LOCK).read_text()


def test_folder_may_be_asked_for_again_and_is_given_back(tmp_path: Path) -> None:
    hold_folder(tmp_path / "runs" / "run")
    hold_folder(tmp_path / "runs" / "run")
    release_folders()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "SLURM_PROCID"])
def test_only_the_first_process_holds_a_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    hold_folder(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_lock_that_its_owner_has_just_taken_away_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    lock, calls = fcntl.lockf, []

    def take_away(*args: object) -> None:
        lock(*args)  # type: ignore[arg-type]
        calls.append(args)
        if len(calls) == 1:
            (tmp_path / LOCK).unlink()

    monkeypatch.setattr(fcntl, "lockf", take_away)
    hold_folder(tmp_path)
    assert len(calls) == 2
    assert str(os.getpid()) in (tmp_path / LOCK).read_text()


def test_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.lockf", refuse)
    hold_folder(tmp_path / "run")
    assert (tmp_path / "run").is_dir()  # the run goes on without a lock


def test_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=f"{tmp_path}/file/run can't be written to .*--run_dir"):
        hold_folder(tmp_path / "file" / "run")


# The command


@pytest.mark.parametrize("choose", [choose_run, choose_evaluated])
def test_damaged_files_and_what_lies_in_place_of_the_model_are_refused(
    tmp_path: Path, choose: Callable[..., None]
) -> None:
    """Before any text is read."""

    def refuse(message: str) -> None:
        trainer = Namespace(default_root_dir=None)
        options = Namespace(run_dir=str(tmp_path), ckpt_path=None, allow_changes=False, trainer=trainer)
        with pytest.raises(InputError, match=message):
            choose(options, "run", *([{}] if choose is choose_run else []))
        release_folders()

    for name, content, advice in (
        ("metrics.json", '{"step":', "remove it, and fit writes it again"),
        ("metrics-last.json", "[]", "remove it, and fit writes it again"),
        ("loggers.json", '[{"class": 3}]', "remove it, and loggers begin new curves"),
        ("loggers.json", "[3]", "remove it, and loggers begin new curves"),
    ):
        (tmp_path / name).write_text(content)
        refuse(f"^{tmp_path / name} is damaged: .*; {advice}$")
        (tmp_path / name).unlink()
    (tmp_path / "hf").touch()
    refuse(f"^{tmp_path / 'hf'} is a file, but the run writes a folder there: move it away$")


def test_damaged_config_of_a_run_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    for content, reason in (
        (b"a: [1\n", "line 2: "),
        (b"\xff", "'utf-8' codec"),
        (b"", "it has None"),
        (b"3", "it has 3"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"^{path} is damaged: {reason}.*; restore it, or give another --run_dir$"):
            refuse_differences(tmp_path, {})


@pytest.fixture
def args(tiny_bert: str, cache_dir: str) -> list[str]:
    return [*imdb_args(tiny_bert, cache_dir), "--trainer.max_epochs", "1"]


@pytest.fixture
def interrupt(run_cli: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run that fails after its third step, of which it has a checkpoint."""

    def run(*args: object) -> Path:
        with monkeypatch.context() as patch:
            patch.setattr("lit_mlm.callbacks.save_checkpoints.SaveCheckpoints._is_time", fail_after_third_step)
            with pytest.raises(OSError, match="injected"):
                run_cli("fit", *args)
        return Path.cwd()

    return run


def fail_after_third_step(self: object, trainer: object) -> bool:
    step = trainer.global_step  # type: ignore[attr-defined]
    if step == 4:
        raise OSError("injected")
    return bool(step == 3)


def read_step(run: Path) -> int:
    return int(read_checkpoint(run / "checkpoints" / "last.ckpt")["global_step"])


def test_finished_run_says_so(
    args: list[str], run_cli: Run, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_cli("fit", *args, "--run_dir", "run") / "run"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    with caplog.at_level("INFO"), pytest.raises(SystemExit) as end:
        run_cli("fit", *args, "--run_dir", "run")
    assert end.value.code == 0
    assert "the run in run is finished; give another --run_dir" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before


def test_other_options_are_refused_and_free_ones_are_not(args: list[str], interrupt: Run, run_cli: Run) -> None:
    folder = interrupt(*args, "--run_dir", "run") / "run"
    config = (folder / "config.yaml").read_bytes()
    with pytest.raises(InputError, match=r"another config: model\.lr 0\.003, not 0\.01; data\.mask.* 0\.15, not 0\.2"):
        run_cli("fit", *args, "--model.lr", "0.01", "--data.mask_prob", "0.2", "--run_dir", "run")
    assert (folder / "config.yaml").read_bytes() == config
    assert not (folder / LOCK).exists()
    free = ("--trainer.log_every_n_steps", 2, "--data.eval_batch_size", 3, "--trainer.num_sanity_val_steps", 0)
    run_cli("fit", *args, *free, "--run_dir", "run")
    assert read_step(folder) == 6


def test_last_is_the_newest_unfinished_run_of_the_config(args: list[str], interrupt: Run, run_cli: Run) -> None:
    runs = interrupt(*args) / "runs" / "imdb"
    interrupt(*args)
    run_cli("fit", *args)
    interrupt(*args, "--model.lr", "0.01")
    steps = [read_step(runs / f"version_{i}") for i in range(4)]
    assert steps == [3, 3, 6, 3]
    run_cli("fit", *args, "--ckpt_path", "last")
    assert [read_step(runs / f"version_{i}") for i in range(4)] == [3, 6, 6, 3]
    run_cli("fit", *args, "--ckpt_path", "last")
    assert [read_step(runs / f"version_{i}") for i in range(4)] == [6, 6, 6, 3]
    with pytest.raises(InputError, match=r"--ckpt_path last: runs/imdb holds no unfinished run of this config"):
        run_cli("fit", *args, "--ckpt_path", "last")
    assert sorted(path.name for path in runs.iterdir()) == [f"version_{i}" for i in range(4)]


def test_last_and_best_of_no_run(args: list[str], run_cli: Run, tmp_path: Path) -> None:
    for name in ("last", "best"):
        with pytest.raises(InputError, match=f"--ckpt_path {name}: --run_dir run holds no run"):
            run_cli("fit", *args, "--run_dir", "run", "--ckpt_path", name)
    assert list(tmp_path.iterdir()) == []


def test_checkpoint_of_another_run_is_refused_where_one_is(args: list[str], interrupt: Run, run_cli: Run) -> None:
    folder = interrupt(*args, "--run_dir", "run")
    shutil.copytree(folder / "run", folder / "other")
    with pytest.raises(InputError, match=r"holds a run, and .* is not one of its checkpoints; leave --ckpt_path out"):
        run_cli("fit", *args, "--run_dir", "run", "--ckpt_path", "other/checkpoints/last.ckpt")


@pytest.mark.parametrize("names", [("last",), ("last", "best")])
def test_damaged_checkpoints(
    names: tuple[str, ...], args: list[str], run_cli: Run, caplog: pytest.LogCaptureFixture, interrupt: Run
) -> None:
    """The best one takes the place of the last one, which says so; without either a run doesn't begin anew."""
    args = [*args, "--trainer.val_check_interval", "2"]
    folder = interrupt(*args, "--run_dir", "run") / "run" / "checkpoints"
    for name in names:
        content = bytearray((folder / f"{name}.ckpt").read_bytes())
        content[len(content) // 2] ^= 1
        (folder / f"{name}.ckpt").write_bytes(content)
    if len(names) == 2:
        with pytest.raises(
            InputError, match=r"--run_dir run has no readable checkpoint: .*best.ckpt is .*last.ckpt is"
        ):
            run_cli("fit", *args, "--run_dir", "run")
        return
    run_cli("fit", *args, "--run_dir", "run")
    assert "best.ckpt instead: run/checkpoints/last.ckpt is damaged: its SHA-256 is" in caplog.text
    assert read_step(folder.parent) == 6


def test_killed_run_with_workers_goes_on_at_once(args: list[str], run_cli: Run) -> None:
    """Workers live for seconds after their run is killed."""
    command = [sys.executable, "-m", "lit_mlm", "fit", *args, "--trainer.max_epochs", "500", "--data.num_workers", "2"]
    command += ["--run_dir", "run", "--save_every_n_steps", "1", "--trainer.limit_val_batches", "0"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    folder = Path.cwd() / "run"
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (folder / "checkpoints" / "last.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    step = read_step(folder)
    hold_folder(folder)
    assert step >= 1
