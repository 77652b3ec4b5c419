"""When a training ends early, and what it leaves."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lit_mlm.callbacks.stop_early import StopEarly
from lit_mlm.errors import InputError
from lit_mlm.runs.checkpoints import RECORD, read_checkpoint
from tests.conftest import imdb_args

Run = Callable[..., Path]


@pytest.fixture
def diverging(tiny_bert: str, cache_dir: str) -> list[str]:
    """A run of at most 9 epochs of 6 steps that gets worse after its first epochs."""
    args = [*imdb_args(tiny_bert, cache_dir), "--config", "overlays/early_stopping.yaml", "--model.lr", "0.3"]
    return [*args, "--model.schedule", "constant", "--model.num_warmup_steps", "10", "--trainer.max_epochs", "9"]


def read_figures(output: str) -> list[tuple[int, float]]:
    """Step and loss of each validation that is printed."""
    found = re.findall(r"^epoch \d+, step (\d+): val perplexity .*?, loss ([\d.]+)", output, re.MULTILINE)
    return [(int(step), float(loss)) for step, loss in found]


def read(folder: Path, name: str) -> dict[str, Any]:
    return read_checkpoint(folder / "checkpoints" / f"{name}.ckpt")


def test_stops_and_leaves_the_best(diverging: list[str], run_cli: Run, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run_cli("fit", *diverging, "--trainer.callbacks.patience", 2, "--run_dir", "run") / "run"
    output = capsys.readouterr().out
    figures = read_figures(output)
    steps, losses = zip(*figures, strict=True)
    best = min(losses)
    assert len(losses) < 9
    assert losses.index(best) == len(losses) - 3  # two after it: the sanity check is none of them
    line = f"stopped early, at step {steps[-1]}: val/loss has not improved on {best:.4g} in 2 validations"
    assert output.count("stopped early") == output.count(line) == 1
    assert output.index(f"epoch {len(losses)}, step") < output.index(line) < output.index("\nval ")
    metrics = json.loads((folder / "metrics.json").read_text())
    assert read(folder, "best")["global_step"] == metrics["step"] == steps[-3]
    assert read(folder, "last")["global_step"] == steps[-1]
    assert metrics["val/loss"] == pytest.approx(best, rel=1e-3)
    assert metrics["last/val/loss"] == read(folder, "last")[RECORD]["results"]["val"]["loss"] > best
    assert "class_path: lit_mlm.callbacks.stop_early.StopEarly" in (folder / "config.yaml").read_text()


def test_resumed_run_goes_on_counting(
    diverging: list[str], run_cli: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run_cli("fit", *diverging, "--run_dir", "whole")
    whole = read_figures(capsys.readouterr().out)
    assert len(whole) >= 5
    stop = len(whole) - 1  # one validation before the stop: two of three have been in vain
    run_cli("fit", *diverging, "--run_dir", "run", "--trainer.max_epochs", stop)
    assert "stopped early" not in capsys.readouterr().out

    def resume(*options: object) -> str:
        run_cli("fit", *diverging, "--run_dir", "run", "--ckpt_path", "last", "--allow_changes", "true", *options)
        return capsys.readouterr().out

    output = resume()
    assert [step for step, _ in read_figures(output)] == [whole[-1][0]]
    assert f"stopped early, at step {whole[-1][0]}: val/loss has not improved" in output
    (tmp_path / "run" / "metrics.json").unlink()  # as a kill before the end would leave it
    output = resume()  # stays stopped
    assert read_figures(output) == []
    assert f"stopped early, at step {whole[-1][0]}: val/loss has not improved" in output
    output = resume("--trainer.callbacks.patience", 9)  # what is typed holds
    assert len(read_figures(output)) == 9 - len(whole)
    assert "stopped early" not in output


def test_validations_within_an_epoch_count(
    diverging: list[str], run_cli: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run_cli(
        "fit", *diverging, "--trainer.val_check_interval", 2, "--trainer.callbacks.min_delta", 9, "--run_dir", "run"
    )
    output = capsys.readouterr().out
    assert [step for step, _ in read_figures(output)] == [2, 4, 6, 8]  # the first is the best, none gains 9 nats
    assert "stopped early, at step 8" in output
    assert read(Path("run"), "last")["global_step"] == 8


def test_losing_patience_at_the_end_is_not_early(
    diverging: list[str], run_cli: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    args = [*diverging, "--trainer.max_epochs", "4", "--trainer.callbacks.min_delta", "9"]
    run_cli("fit", *args, "--run_dir", "run")
    output = capsys.readouterr().out
    assert [step for step, _ in read_figures(output)] == [6, 12, 18, 24]
    assert "stopped early" not in output


class Replay(LightningModule):
    """Logs given figures, one a validation."""

    def __init__(self, figures: list[float], mode: str) -> None:
        super().__init__()
        self.figures, self.monitor, self.monitor_mode = iter(figures), "val/f1", mode
        self.weight = nn.Parameter(torch.zeros(1))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.weight.sum()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val/f1", next(self.figures))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize(
    ("mode", "figures", "options", "expected"),
    [
        ("max", [0.5, 0.6, 0.6, 0.59, 0.7, 0.8], {"patience": 2}, 4),
        ("min", [0.5, 0.4, 0.4, 0.41, 0.3, 0.2], {"patience": 2}, 4),
        ("max", [0.5, 0.55, 0.65, 0.7, 0.74, 0.8], {"patience": 2, "min_delta": 0.1}, 5),
        ("min", [0.5, 0.45, 0.35, 0.3, 0.26, 0.2], {"patience": 2, "min_delta": 0.1}, 5),
        ("max", [0.5, float("nan"), 0.6, 0.7, 0.8, 0.9], {}, 2),
        ("max", [0.5, 0.4, 0.6, 0.5, 0.7, 0.6], {"patience": 2}, 6),
    ],
)
def test_direction_and_threshold(
    mode: str, figures: list[float], options: dict[str, Any], expected: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit_replay(figures, mode, options) == expected
    output = capsys.readouterr().out
    assert ("stopped early" in output) == (expected < len(figures))
    assert ("val/f1 is nan" in output) == (figures[1] != figures[1])


def test_what_gets_better_before_the_least_number_of_epochs_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert fit_replay([0.5, 0.4, 0.6, 0.5, 0.7], "max", {"patience": 1}, min_epochs=3) == 4
    assert "stopped early, at step 4: val/f1 has not improved on 0.6 in 1 validation\n" in capsys.readouterr().out
    assert fit_replay([0.5, 0.4, 0.3, 0.2, 0.7], "max", {"patience": 1}, min_epochs=3) == 3
    assert "stopped early, at step 3: val/f1 has not improved on 0.5 in 2 validations\n" in capsys.readouterr().out


def fit_replay(figures: list[float], mode: str, options: dict[str, Any], min_epochs: int | None = None) -> int:
    """The number of epochs, one step and one validation each."""
    trainer = Trainer(
        min_epochs=min_epochs,
        max_epochs=len(figures),
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[StopEarly(**options)],
    )
    loader: DataLoader[Tensor] = DataLoader(torch.zeros(1, 1))  # type: ignore[arg-type]
    trainer.fit(Replay(figures, mode), loader, loader)
    return trainer.current_epoch


@pytest.mark.parametrize("options", [{"patience": 0}, {"min_delta": -0.1}, {"min_delta": float("nan")}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    (name, value), *_ = options.items()
    with pytest.raises(InputError, match=f"StopEarly.{name} must be at least .*, got {value}"):
        StopEarly(**options)
