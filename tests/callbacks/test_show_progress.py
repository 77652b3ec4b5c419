"""The bar on a terminal, and the lines elsewhere."""

import logging
import os
import pty
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from lightning.pytorch.trainer.states import TrainerFn

from lit_mlm.callbacks import show_progress
from lit_mlm.cli.plain import show_loading
from lit_mlm.runs.terminal import is_terminal
from tests.conftest import imdb_args

Run = Callable[..., Path]
Open = Callable[[], Callable[[], str]]
ON = ("--trainer.enable_progress_bar", "true")


@pytest.fixture
def open_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Callable[[], str]]]:
    """Makes standard error a terminal of 80 columns where each step is drawn; gives what reads it to its end."""
    opened: list[Callable[[], str]] = []

    def make() -> Callable[[], str]:  # in the test itself, as pytest replaces the stream at its beginning
        ours, theirs = pty.openpty()
        written: list[bytes] = []

        def read() -> None:
            with suppress(OSError):  # what Linux says where the other end is closed
                while part := os.read(ours, 65536):
                    written.append(part)

        reader, stream = threading.Thread(target=read), os.fdopen(theirs, "w")
        reader.start()
        monkeypatch.setattr(sys, "stderr", stream)

        def close() -> str:
            if not stream.closed:
                stream.close()
                reader.join()
                os.close(ours)
            return b"".join(written).decode()

        opened.append(close)
        return close

    monkeypatch.setattr(show_progress, "REFRESH_SECONDS", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)
    yield make
    for close in opened:
        close()


def read_lines(text: str) -> list[str]:
    """The lines of the bar, without colours and movements of the cursor."""
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", text))
    return [line for line in lines if line.strip() and not line.startswith("tokenising")]


def test_bar_counts_from_one_and_leaves_nothing(
    open_terminal: Open,
    tiny_bert: str,
    cache_dir: str,
    run_cli: Run,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal, handler = open_terminal(), logging.StreamHandler(sys.stderr)
    streams = sys.stdout, sys.stderr, handler.stream
    monkeypatch.setattr(logging.getLogger(), "handlers", [*logging.getLogger().handlers, handler])
    run_cli("fit", *imdb_args(tiny_bert, cache_dir), *ON, "--trainer.accumulate_grad_batches", 4, "--run_dir", "run")
    assert (sys.stdout, sys.stderr, handler.stream) == streams
    text = terminal()
    lines = read_lines(text)
    assert "Sanity" not in text
    assert lines[0].startswith("scoring the start, batch 0/")
    steps = re.findall(r"epoch (\d/\d), step (\d/\d)", "\n".join(lines))
    assert list(dict.fromkeys(steps)) == [("1/2", f"{n}/4") for n in (0, 1, 2)] + [("2/2", f"{n}/4") for n in (2, 3, 4)]
    assert re.search(r"epoch 2, validating, batch \d/\d ━+ 100%", "\n".join(lines))
    assert re.search(
        r"val perplexity [\d.]+, best [\d.]+ \(epoch 1\); loss [\d.]+; lr \d\.\d\de-\d\d", "\n".join(lines)
    )
    assert re.search(r"\d:\d\d:\d\d left", text)
    assert max(map(len, lines)) <= 80
    assert text.endswith(("\x1b[2K", "\x1b[?25h"))  # the bar is erased, and the cursor shown
    assert capsys.readouterr().out.count("epoch 1, step 2: val perplexity") == 1


def test_resumed_run_begins_at_its_step(open_terminal: Open, tiny_bert: str, cache_dir: str, run_cli: Run) -> None:
    args = [*imdb_args(tiny_bert, cache_dir), "--run_dir", "run"]
    run_cli("fit", *args, "--trainer.max_epochs", 1)
    terminal = open_terminal()
    run_cli("fit", *args, "--trainer.max_epochs", 2, "--allow_changes", "true", *ON)
    lines = read_lines(terminal())
    assert re.match(r"epoch 2/2, step 7/12 .* 58%", lines[0])
    assert re.match(r"val perplexity ([\d.]+), best \1 \(epoch 1\)", lines[1])


def test_stopped_run_erases_its_bar(
    open_terminal: Open, tiny_bert: str, cache_dir: str, run_cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an exception, as Ctrl-C is one."""

    def stop(*args: object, **kwargs: object) -> None:
        raise SystemExit(130)

    monkeypatch.setattr("lit_mlm.callbacks.print_progress.PrintProgress.on_validation_end", stop)
    terminal = open_terminal()
    streams = sys.stdout, sys.stderr
    with pytest.raises(SystemExit):
        run_cli("fit", *imdb_args(tiny_bert, cache_dir), *ON, "--trainer.num_sanity_val_steps", 0)
    assert (sys.stdout, sys.stderr) == streams
    assert terminal().endswith(("\x1b[2K", "\x1b[?25h"))


def test_evaluation_is_named(open_terminal: Open, tiny_bert: str, cache_dir: str, run_cli: Run) -> None:
    terminal = open_terminal()
    run_cli("validate", *imdb_args(tiny_bert, cache_dir), *ON)
    assert "scoring the validation split, batch 1/" in terminal()


@pytest.mark.parametrize("command", ["test", "predict"])
def test_commands_without_training_count_their_batches(command: str) -> None:
    state = SimpleNamespace(fn=TrainerFn(command))
    trainer = SimpleNamespace(
        sanity_checking=False, is_global_zero=False, state=state, num_test_batches=[2, 1], num_predict_batches=[3]
    )
    bar = show_progress.ShowProgress()
    (bar.on_test_start if command == "test" else bar.on_predict_start)(trainer, None)
    assert (bar._seen, bar._total) == (0, 3)


@pytest.mark.parametrize("variable", [("JPY_PARENT_PID", "1"), ("TERM", "dumb")])
def test_notebooks_and_dumb_terminals_get_lines(
    variable: tuple[str, str], open_terminal: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = open_terminal()
    monkeypatch.delitem(sys.modules, "torch")  # as at the start of a process
    with show_loading():
        assert is_terminal()
    monkeypatch.setenv(*variable)
    with show_loading():
        assert not is_terminal()
    assert close().count("loading torch") == 1


def test_log_has_a_line_for_each_tenth(
    tiny_bert: str,
    cache_dir: str,
    run_cli: Run,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(show_progress, "LINE_SECONDS", 0.0)
    run_cli("fit", *imdb_args(tiny_bert, cache_dir), *ON, "--data.batch_size", 2)
    lines = [line for line in capsys.readouterr().out.splitlines() if re.match(r"epoch \d/2, step", line)]
    shown = [int(found[1]) for line in lines if (found := re.search(r"; (\d+)%", line))]
    assert len(shown) == len(lines) <= 10
    assert all(8 <= after - before <= 20 for before, after in pairwise(shown))
    assert re.fullmatch(
        r"epoch 2/2, step [\d/]+; \d+%, \d:\d\d:\d\d left; "
        r"val perplexity [\d.]+, best [\d.]+ \(epoch 1\); loss [\d.]+; lr [\de.-]+",
        lines[-1],
    )
