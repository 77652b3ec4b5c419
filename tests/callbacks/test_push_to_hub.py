"""What is pushed while a model is trained, and that training neither waits for pushes nor fails with them."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lit_mlm.callbacks.push_to_hub import FOLDER, PushToHub
from lit_mlm.callbacks.save_checkpoints import SaveCheckpoints
from lit_mlm.errors import InputError
from tests.conftest import imdb_args
from tests.hub_server import Hub, use_hub

Run = Callable[..., Path]

PUSH = "import sys; print('pushed', open(sys.argv[2]).read(), sys.argv[4])"
"""A program in place of a push: prints the checkpoint and the message."""
WAIT_AND_PUSH = f"import os, sys, time\nwhile not os.path.exists('go'): time.sleep(0.01)\n{PUSH}"
FAIL = "import sys; print('50%'); sys.exit('error: no space')"


class Training:
    """A training that validates when it is told to."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.programs: list[str] = []
        monkeypatch.setattr(PushToHub, "_make_command", lambda _: ["python", "-c", self.programs.pop(0)])
        monkeypatch.chdir(folder)
        self.saver, self.push = SaveCheckpoints(), PushToHub("user/bert", wait_minutes=0.5)
        self.saver.best_model_path = str(folder / "best.ckpt")
        callbacks = [self.push, self.saver]
        options: dict[str, Any] = {"fast_dev_run": False, "is_global_zero": True, "log_dir": folder}
        self.trainer = SimpleNamespace(callbacks=callbacks, current_epoch=0, **options)
        self.push.setup(self.trainer, None, "fit")
        self.push.on_train_start(self.trainer, None)

    def improve(self, epoch: int) -> None:
        """Ends an epoch with the best validation so far."""
        Path(self.saver.best_model_path).unlink(missing_ok=True)
        Path(self.saver.best_model_path).write_text(f"model {epoch}")
        self.saver.best_step, self.trainer.current_epoch = 10 * epoch, epoch - 1
        self.push.on_train_epoch_end(self.trainer, None)

    def train_until(self, is_done: Callable[[], bool]) -> None:
        """Trains on batches until something happens."""
        end = time.monotonic() + 30
        while not is_done():
            assert time.monotonic() < end
            self.push.on_train_batch_start(self.trainer, None, {}, 0)
            time.sleep(0.01)

    def finish(self) -> None:
        self.push.teardown(self.trainer, None, "fit")


@pytest.fixture
def training(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Training:
    return Training(tmp_path, monkeypatch)


def is_pushing(folder: Path) -> bool:
    return (folder / FOLDER).exists()


def test_hub_has_the_best_model(
    hub: Hub, tiny_bert: str, cache_dir: str, run_cli: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    args = ["--config", "overlays/publish.yaml", "--trainer.callbacks.repo_id", "user/bert", "--trainer.max_epochs", 1]
    args += ["--trainer.callbacks.license_name", "mit"]
    folder = run_cli("fit", *imdb_args(tiny_bert, cache_dir), *args, "--run_dir", "run") / "run"
    repo, output = hub.repos["models", "user/bert"], "".join(capfd.readouterr())
    assert f"pushed to {hub.url}/user/bert, revision {repo.branches['main']}" in output
    assert repo.private
    assert repo.messages == ["Training in progress, epoch 1"]
    assert repo.files()["model.safetensors"] == (folder / "hf" / "model.safetensors").read_bytes()
    assert b"\nlicense: mit\n" in repo.files()["README.md"]
    assert b'pipeline("fill-mask", model="user/bert")' in repo.files()["README.md"]
    assert not is_pushing(folder)
    written = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert not any(b"hf_owner" in content for content in [*written, output.encode(), *repo.files().values()])


def test_training_does_not_wait_and_the_newest_best_is_next(
    training: Training, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training.programs = [WAIT_AND_PUSH, PUSH]
    for epoch in (1, 2, 3):
        training.improve(epoch)
    assert len(training.programs) == 1  # the first push is under way, with the first model
    (tmp_path / "go").touch()
    training.train_until(lambda: not training.programs)
    training.finish()
    assert capsys.readouterr().out == "pushed model 3 Training in progress, epoch 3\n"
    assert not is_pushing(tmp_path)


def test_push_has_the_checkpoint_of_its_start(
    training: Training, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training.programs = [
        WAIT_AND_PUSH.replace("print(", "print(file=open('first', 'w'), *(").replace("argv[4])", "argv[4]))"),
        PUSH,
    ]
    training.improve(1)
    training.improve(2)
    (tmp_path / "go").touch()
    training.finish()
    assert (tmp_path / "first").read_text() == "pushed model 1 Training in progress, epoch 1\n"
    assert capsys.readouterr().out == "pushed model 2 End of training\n"


def test_failing_push_is_reported_and_made_good_at_the_end(
    training: Training, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    training.programs = [FAIL, PUSH]
    training.improve(1)
    training.train_until(lambda: not is_pushing(tmp_path))
    assert caplog.messages == ["training continues: no space"]
    training.finish()
    assert capsys.readouterr().out == "pushed model 1 End of training\n"


def test_end_says_why_nothing_is_pushed_and_what_to_do(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    command = PushToHub._make_command
    training = Training(tmp_path, monkeypatch)
    training.programs = [FAIL, FAIL, "python -m lit_mlm"]
    training.improve(1)
    training.finish()
    expected = "the best model is not on the Hub (no space); push it with python -c 'python -m lit_mlm'"
    assert caplog.messages == [expected]
    advice = ["python", "-m", "lit_mlm", "export", "--run_dir", str(tmp_path), "--push_to_hub", "user/bert"]
    assert command(training.push) == advice
    training.push.private = True
    assert command(training.push) == [*advice, "--private"]


def test_push_that_can_not_start_ends_no_run(
    training: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*paths: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lit_mlm.callbacks.push_to_hub.link_or_copy", fail)
    training.programs = [""]
    training.improve(1)
    assert caplog.messages == ["training continues: no push was started: [Errno 28] No space left on device"]
    training.finish()
    assert "the best model is not on the Hub (no push was started: [Errno 28]" in caplog.messages[1]
    assert not is_pushing(tmp_path)


def test_run_without_a_checkpoint_pushes_nothing(
    training: Training, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    training.saver.best_model_path = ""
    training.finish()
    assert caplog.messages == []
    assert not is_pushing(tmp_path)


def test_end_does_not_wait_forever(training: Training, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    training.push.wait_minutes = 0.02
    training.programs = [WAIT_AND_PUSH, WAIT_AND_PUSH, ""]
    training.improve(1)
    start = time.monotonic()
    training.finish()
    assert time.monotonic() - start < 10
    assert caplog.messages[0].startswith("the best model is not on the Hub (not done within 0.02 minutes)")
    assert not is_pushing(tmp_path)


def test_resumed_run_pushes_what_is_better_and_at_the_end_its_best(
    training: Training, capsys: pytest.CaptureFixture[str]
) -> None:
    training.saver.best_step = 10
    Path(training.saver.best_model_path).write_text("model 1")
    training.push.on_train_start(training.trainer, None)
    training.push.on_train_batch_start(training.trainer, None, {}, 0)
    training.programs = [PUSH]
    training.finish()
    assert capsys.readouterr().out == "pushed model 1 End of training\n"


def test_stopped_run_does_not_wait(training: Training, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    training.programs = [WAIT_AND_PUSH, ""]
    training.improve(1)
    process = training.push._process
    assert process is not None
    training.push.on_exception(training.trainer, None, SystemExit(143))
    assert process.returncode == -signal.SIGKILL
    assert "the best model is not on the Hub (the run ended before)" in caplog.text
    assert not is_pushing(tmp_path)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (None, "user/bert: there is no token for the Hub"),
        ("hf_reader", "user/bert: the token may not write there"),
        ("hf_other", "the token may write to other, not to user"),
    ],
)
def test_token_is_checked_before_training(
    token: str | None, message: str, hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    use_hub(hub, monkeypatch, token)
    with pytest.raises(InputError, match=message):
        Training(tmp_path, monkeypatch)


def test_unreachable_hub_lets_training_begin(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub.fail("whoami", 503)
    monkeypatch.setattr("lit_mlm.nets.hub.ATTEMPTS", 1)
    Training(tmp_path, monkeypatch)
    expected = "training starts, but may not be pushed: user/bert: the Hub answers 503; repeat the command later"
    assert caplog.messages == [expected]


def test_wrong_options() -> None:
    with pytest.raises(InputError, match=r"PushToHub.repo_id bert lacks its owner; give USER/bert"):
        PushToHub("bert")
    with pytest.raises(InputError, match=r"PushToHub.wait_minutes must be above 0, got 0"):
        PushToHub("user/bert", wait_minutes=0)


@pytest.mark.parametrize("change", [{"fast_dev_run": True}, {"is_global_zero": False}])
def test_other_ranks_and_trial_runs_push_nothing(change: dict[str, bool], training: Training, hub: Hub) -> None:
    count = len(hub.requests)
    vars(training.trainer).update(change)
    training.push.setup(training.trainer, None, "fit")
    training.improve(1)
    training.finish()
    training.push.on_exception(training.trainer, None, SystemExit(1))
    assert len(hub.requests) == count


def test_needs_checkpoints(training: Training) -> None:
    training.trainer.callbacks = [training.push]
    with pytest.raises(InputError, match=r"trainer\.enable_checkpointing is off"):
        training.push.setup(training.trainer, None, "fit")
