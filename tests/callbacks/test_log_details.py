"""What a run's loggers show beside the curves, and that the training is the same without it."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from benchmarks.log_details import NoDetails as without  # noqa: N813 (a class of the tests has that name)
from lit_mlm.callbacks.log_details import LogDetails, _count_tokens
from lit_mlm.errors import InputError
from lit_mlm.runs.atomic import read_json
from lit_mlm.runs.checkpoints import read_checkpoint
from tests.conftest import FIXTURES, imdb_args

RunCLI = Callable[..., Path]

TEXT = "/text_summary"


@pytest.fixture
def args(tiny_bert: str, cache_dir: str) -> list[str]:
    """A run of 12 steps and 2 validations."""
    return [*imdb_args(tiny_bert, cache_dir), "--trainer.log_every_n_steps", "3", "--run_dir", "run"]


def read_events(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), {"tensors": 0, "images": 0, "scalars": 0})
    events.Reload()
    return events


def read_text(events: EventAccumulator, name: str) -> dict[int, str]:
    found = events.Tensors(name + TEXT)
    return {event.step: event.tensor_proto.string_val[0].decode() for event in found}


def read_hparams(events: EventAccumulator, name: str) -> Any:
    content = events.SummaryMetadata(f"_hparams_/{name}").plugin_data.content
    return getattr(HParamsPluginData.FromString(content), name)


def test_masked_language_model(args: list[str], run_cli: RunCLI, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first validation's pictures would take too long; those of the last one are drawn."""
    pytest.importorskip("matplotlib")
    run = run_cli("fit", *args, "--model.layer_decay", "0.9") / "run"
    events = read_events(run)
    assert list(read_text(events, "val/fillings")) == [0, 6, 12]
    first, _, last = read_text(events, "val/fillings").values()
    assert first.splitlines()[2].split(" | ")[:2] == last.splitlines()[2].split(" | ")[:2]
    assert "model.layer_decay" not in read_text(events, "config")[0]
    assert "layer_decay: 0.9" in read_text(events, "config")[0]
    assert "GFLOP/s per device, measured" in read_text(events, "hardware")[0]
    pictures = "calibration", "loss_by_frequency", "loss_by_part"
    names = [f"val/{name}" for name in pictures] + ["data/train_lengths", "data/val_lengths"]
    assert sorted(events.Tags()["images"]) == sorted(names)
    assert [image.step for image in events.Images("val/calibration")] == [12]
    for name in ("mask_rate", "padding", "mfu", "memory_gib", "lr/group_0", "lr/group_3"):
        points = events.Scalars(f"train/{name}")
        assert len(points) == 4
        assert all(point.value >= 0 for point in points)
    assert 0.1 < events.Scalars("train/mask_rate")[0].value < 0.2
    best = {f"best/{key}": value for key, value in read_json(run / "metrics.json").items() if key.startswith("val/")}
    shown = [metric.name.tag for metric in read_hparams(events, "experiment").metric_infos]
    assert "best/val/perplexity" in shown
    for name in shown:
        assert events.Scalars(name)[-1].value == pytest.approx(best[name])
    assert read_hparams(events, "session_start_info").hparams["lr"].number_value == pytest.approx(3e-3)
    assert read_hparams(events, "session_end_info").status == 1


def test_tagger(run_cli: RunCLI, cache_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without matplotlib, tables stand for pictures; a resumed run has no point twice; a test has its own."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    args = ["--config", str(Path("ner-sample.yaml")), "--data.data_dir", str(FIXTURES / "conll")]
    args += ["--data.cache_dir", cache_dir, "--run_dir", "run", "--trainer.enable_progress_bar", "false"]
    args += ["--model.config.hidden_size", "16", "--model.config.intermediate_size", "16"]
    run = run_cli("fit", *args, "--trainer.max_epochs", "1") / "run"
    run_cli("fit", *args, "--trainer.max_epochs", "2", "--allow_changes", "true")
    steps = [0, *(int(step) for step in sorted({read_json(run / "metrics.json")["last/step"]}))]
    events = read_events(run)
    half = steps[-1] // 2
    assert list(read_text(events, "val/sentences")) == [0, half, steps[-1]]
    errors = [int(line.split(" | ")[0].strip("| ")) for line in read_text(events, "val/sentences")[0].splitlines()[2:]]
    assert len(errors) == 24
    assert errors == sorted(errors, reverse=True)
    assert list(read_text(events, "config")) == [0, half]
    assert list(read_text(events, "val/entities")) == [half, steps[-1]]
    assert [event.step for event in events.Tensors("val/precision_recall/PER")] == [0, half, steps[-1]]
    assert [point.step for point in events.Scalars("best/val/f1")] == [half, steps[-1]]
    run_cli("test", "--run_dir", "run", "--ckpt_path", "last")
    tested = read_events(run / "test")
    curve = np.array(tested.Tensors("test/precision_recall/LOC")[0].tensor_proto.float_val).reshape(6, 101)
    metrics = read_json(run / "metrics-last.json")
    assert curve[4:, 0] == pytest.approx([metrics["test/precision/LOC"], metrics["test/recall/LOC"]])
    assert list(read_text(tested, "test/tags")) == [steps[-1]]


def test_text_classifier(text_run: Path) -> None:
    pytest.importorskip("matplotlib")
    events, metrics = read_events(text_run), read_json(text_run / "metrics.json")
    steps = [0, *(metrics["last/step"] * epoch // 3 for epoch in (1, 2, 3))]
    tables = read_text(events, "val/texts")
    assert list(tables) == steps
    rows = [line.split(" | ") for line in tables[steps[-1]].splitlines()[2:]]
    assert len(rows) == 8
    is_wrong = ["**" in row[2] for row in rows]
    assert is_wrong == sorted(is_wrong, reverse=True)
    assert {"val/labels", "val/calibration", "val/precision_recall"} <= set(events.Tags()["images"])
    curve = np.array(events.Tensors("val/precision_recall/pos")[-1].tensor_proto.float_val).reshape(6, 101)
    assert curve[5, 0] == 1  # at a threshold of 0 each text is given the label
    assert curve[4, 0] == pytest.approx(metrics["val/support/pos"] / metrics["val/num_texts"])
    card = (text_run / "hf" / "README.md").read_text()
    assert "| The European Commission said on Thursday" in card
    assert "| text | found | probabilities |" in card


class NoDetails(LogDetails):
    """Logs nothing, in the place of the callback of every run."""

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        pass

    def _log_best(self, trainer: Any, module: Any) -> None:
        pass


class Watch(Callback):
    """Keeps the random state at the end."""

    states: list[torch.Tensor] = []  # noqa: RUF012

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        assert pl_module.training
        self.states.append(torch.random.get_rng_state())


def test_training_is_the_same_without_it(args: list[str], run_cli: RunCLI, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropout included; with probes of the user's own."""
    monkeypatch.setattr(sys.modules[__name__].Watch, "states", [])
    found = []
    for name, callbacks in (
        ("with", ["LogDetails", "--trainer.callbacks.probes", '["A [MASK] film."]']),
        ("without", [f"{__name__}.NoDetails"]),
    ):
        options = [f"--trainer.callbacks+={callbacks[0]}", *callbacks[1:], f"--trainer.callbacks+={__name__}.Watch"]
        folder = run_cli("fit", *args[:-1], name, *options, "--trust", "tests") / name
        found.append(read_checkpoint(folder / "checkpoints" / "last.ckpt")["state_dict"])
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])
    assert torch.equal(*Watch.states)
    assert "**" not in read_text(read_events(Path("with")), "val/probes")[12].splitlines()[0]
    assert r"A \[MASK\] film." in read_text(read_events(Path("with")), "val/probes")[12]
    tags = read_events(Path("without")).Tags()
    assert tags["tensors"] == tags["images"] == []


CSV = ["--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", "{run_dir}", "--trainer.logger.name", ""]


@pytest.mark.parametrize("options", [["--trainer.logger", "false"], ["--trainer.fast_dev_run", "1"], CSV])
def test_nothing_is_summed_without_a_logger_that_shows_it(args: list[str], run_cli: RunCLI, options: list[str]) -> None:
    seen = []

    def note(self: LogDetails, trainer: Any, pl_module: Any, *more: Any) -> None:
        seen.append((pl_module.keeps_details, dict(pl_module.details)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LogDetails, "_log", note)
        folder = run_cli("fit", *args, *options)
    assert seen
    assert all(entry == (False, {}) for entry in seen)
    assert not list(folder.rglob("events.out.tfevents.*"))
    curves = [path.read_text() for path in folder.rglob("metrics.csv")]
    assert ["best/val/perplexity" in text for text in curves] == [True] * (options == CSV)


def test_benchmark_has_a_side_without_details() -> None:
    module = SimpleNamespace()
    without().setup(SimpleNamespace(loggers=[object()], fast_dev_run=False), module, "fit")
    assert vars(module) == {}


def test_probes_are_sentences() -> None:
    with pytest.raises(InputError, match=r"LogDetails.probes must be sentences, got \['a', ''\]"):
        LogDetails(["a", ""])
    with pytest.raises(InputError, match=r"LogDetails.probes must be a list"):
        LogDetails("a text")  # type: ignore[arg-type]


def test_frequencies_of_a_long_text_are_those_of_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    class Data:
        examples = {"train": type("Examples", (), {"stream": np.arange(100_000, dtype=np.int32) % 10})}  # noqa: RUF012

    assert _count_tokens(Data(), 12).tolist() == [10_000] * 10 + [0, 0]
    monkeypatch.setattr("lit_mlm.callbacks.log_details.MAX_COUNTED", 25_000)
    counts = _count_tokens(Data(), 12)
    assert counts.sum() == pytest.approx(25_000, rel=0.02)
    assert counts[:10] == pytest.approx(2_500, rel=0.03)
    assert not _count_tokens(object(), 12).any()
