"""Several processes: the same figures and the same weights as one."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoModelForTokenClassification

from lit_mlm.runs.checkpoints import read_checkpoint
from lit_mlm.runs.units import read_units
from tests.conftest import FIXTURES, NO_DROPOUT, imdb_args, read_reviews
from tests.ranks import name_rank, run_ranks
from tests.tagging_processes import VALIDATIONS


def run(folder: Path, *args: object, num_processes: int = 1) -> Path:
    """Runs a command in processes of its own, as Lightning's launcher starts them; returns the run's folder."""
    command = [sys.executable, "-m", "lit_mlm", *map(str, args), "--run_dir", str(folder)]
    if num_processes > 1:
        command += ["--config", "overlays/ddp.yaml", "--trainer.devices", str(num_processes)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, cwd=folder.parent, env=environment, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.fixture(scope="module")
def base_args(cache_dir: str, wordpiece: Any, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    from tests.conftest import save_model

    model = save_model(tmp_path_factory.mktemp("model"), NO_DROPOUT, wordpiece)
    return imdb_args(model, cache_dir)


@pytest.mark.parametrize(("command", "split"), [("validate", "val"), ("test", "test")])
def test_figures_are_the_same_on_one_two_and_three_processes(
    command: str, split: str, base_args: list[str], tmp_path: Path
) -> None:
    """Several batches on 2 ranks, and 1 on 3 ranks, of which two score nothing."""
    figures = {}
    for num, batch_size in ((1, 7), (2, 7), (3, 1000)):
        ddp = ("--config", "overlays/ddp.yaml", "--trainer.devices", num, "--run_dir", tmp_path / f"{num}")
        options = ("--data.batch_size", batch_size, "--data.val_fraction", "0.5", "--data.num_mask_draws", 2)
        run_ranks(tmp_path, [command, *base_args, *options, *ddp], [name_rank(rank, num) for rank in range(num)])
        figures[num] = json.loads((tmp_path / f"{num}" / "metrics.json").read_text())
    for num in (2, 3):
        for name in ("perplexity", "perplexity_low", "perplexity_high", "loss", "bits_per_byte"):
            assert figures[num][f"{split}/{name}"] == pytest.approx(figures[1][f"{split}/{name}"], rel=1e-6)
        for name in ("num_scored_tokens", "top1_accuracy", "top5_accuracy", "mask_fingerprint", "num_blocks"):
            assert figures[num][f"{split}/{name}"] == figures[1][f"{split}/{name}"]


def test_named_sets_are_the_same_on_one_and_two_processes(base_args: list[str], tmp_path: Path) -> None:
    """Of the set of one batch a rank scores nothing."""
    for name, size in (("train", 2), ("one", 1), ("two", 12)):
        (tmp_path / f"{name}.txt").write_text("\n".join(read_reviews("test")[:size]))
    model = base_args[base_args.index("--model.model") + 1]
    files = f"{{one: {tmp_path}/one.txt, two: {tmp_path}/two.txt}}"
    data = ("--data.train_files", "train.txt", "--data.val_files", files, "--data.num_mask_draws", 2)
    options = ("--data.block_size", 32, "--data.batch_size", 7, "--data.cache_dir", tmp_path, "--model.model", model)
    figures = {}
    for num in (1, 2):
        ddp = ("--config", "overlays/ddp.yaml", "--trainer.devices", num, "--run_dir", tmp_path / f"{num}")
        args = ["validate", "--config", "text.yaml", "--config", "overlays/cpu.yaml", *data, *options, *ddp]
        run_ranks(tmp_path, args, [name_rank(rank, num) for rank in range(num)])
        figures[num] = json.loads((tmp_path / f"{num}" / "metrics.json").read_text())
    names = [f"val/{part}{name}" for part in ("", "one/", "two/") for name in ("perplexity", "perplexity_low", "loss")]
    assert [figures[2][name] for name in names] == pytest.approx([figures[1][name] for name in names], rel=1e-6)
    for name in ("val/num_scored_tokens", "val/one/num_scored_tokens", "val/two/num_scored_tokens"):
        assert figures[2][name] == figures[1][name] > 0


def test_texts_are_scored_once_on_one_two_and_three_processes(base_args: list[str], tmp_path: Path) -> None:
    """In windows; one batch on 3 ranks, of which two score nothing."""
    model = base_args[base_args.index("--model.model") + 1]
    data = ("--data.data_dir", FIXTURES / "aclImdb", "--data.window", 16, "--data.long_texts", "windows")
    figures, units = {}, {}
    for num, batch_size in ((1, 5), (2, 5), (3, 1000)):
        ddp = ("--config", "overlays/ddp.yaml", "--trainer.devices", num, "--run_dir", tmp_path / f"{num}")
        options = ("--data.batch_size", batch_size, "--data.cache_dir", tmp_path, "--model.model", model)
        args = ["test", "--config", "imdb-sentiment.yaml", "--config", "overlays/cpu.yaml", *data, *options, *ddp]
        run_ranks(tmp_path, [*args, "--seed_everything", 1], [name_rank(rank, num) for rank in range(num)])
        figures[num] = json.loads((tmp_path / f"{num}" / "metrics.json").read_text())
        del figures[num]["test/padding_fraction"]
        _, arrays = read_units(tmp_path / f"{num}" / "units-test.npz")
        units[num] = {name: array.tolist() for name, array in arrays.items()}
    assert units[1] == units[2] == units[3]
    assert units[1]["unit"] == [*range(12)]
    assert figures[1]["test/num_texts"] == 12
    for num in (2, 3):
        assert figures[num].keys() == figures[1].keys()
        for name in (name for name in figures[1] if name.startswith("test/")):
            expected = figures[1][name]
            assert figures[num][name] == (expected if isinstance(expected, str) else pytest.approx(expected, rel=1e-6))


def test_ranks_times_accumulation_give_the_same_weights(base_args: list[str], tmp_path: Path) -> None:
    weights, largest = {}, 0.0
    options = ("--trainer.max_epochs", 10, "--trainer.max_steps", 10, "--data.batch_size", 2)
    clip = ("--trainer.gradient_clip_val", 1.0, "--trainer.num_sanity_val_steps", 0, "--model.lr", "1e-3")
    for num, accumulation in ((1, 4), (2, 2), (4, 1)):
        folder = run(
            tmp_path / f"{num}",
            *("fit", *base_args, *options, *clip),
            *("--trainer.accumulate_grad_batches", accumulation),
            num_processes=num,
        )
        checkpoint = read_checkpoint(folder / "checkpoints" / "last.ckpt")
        assert checkpoint["global_step"] == 10
        weights[num] = checkpoint["state_dict"]
    for num in (2, 4):
        for name, weight in weights[1].items():
            largest = max(largest, float((weights[num][name] - weight).abs().max()))
    assert largest < 1e-5
    assert (tmp_path / "2" / "hf" / "model.safetensors").exists()
    start = AutoModelForMaskedLM.from_pretrained(base_args[base_args.index("--model.model") + 1]).state_dict()
    assert max(float((weights[1][f"net.{name}"] - weight).abs().max()) for name, weight in start.items()) > 1e-3
    print(f"largest difference {largest:.1e}")


def test_two_processes_overfit_what_one_does_with_accumulation(base_args: list[str], tmp_path: Path) -> None:
    """The first batches again and again: the same examples and masks in each step, so nearly the same losses."""
    options = ("--trainer.max_epochs", 5, "--trainer.gradient_clip_val", "null")
    both = run(tmp_path / "two", "fit", *base_args, *options, "--trainer.overfit_batches", 1, num_processes=2)
    accumulated = ("--trainer.overfit_batches", 2, "--trainer.accumulate_grad_batches", 2)
    one = run(tmp_path / "one", "fit", *base_args, *options, *accumulated)
    found = [json.loads((folder / "metrics.json").read_text()) for folder in (both, one)]
    assert found[0]["train/loss"] == pytest.approx(found[1]["train/loss"], rel=1e-5)
    assert found[0]["train/num_tokens"] == found[1]["train/num_tokens"] > 0


@pytest.mark.parametrize("strategy", ["ddp_fork", "ddp_spawn"])
def test_run_of_processes_that_are_launched_from_within_is_kept(
    strategy: str, base_args: list[str], tmp_path: Path
) -> None:
    options = ("--trainer.max_epochs", 1, "--trainer.strategy", strategy, "--trainer.devices", 2)
    folder = run(tmp_path / "run", "fit", *base_args, *options)
    AutoModelForMaskedLM.from_pretrained(folder / "hf")
    figures = json.loads((folder / "metrics.json").read_text())
    assert figures["val/perplexity"] < figures["start/val/perplexity"]
    found = run(folder, "validate") / "metrics.json"
    assert json.loads(found.read_text())["val/perplexity"] == pytest.approx(figures["val/perplexity"], rel=1e-6)


def test_error_in_a_process_that_is_launched_from_within_is_one_line(base_args: list[str], tmp_path: Path) -> None:
    options = ("--trainer.strategy", "ddp_fork", "--trainer.devices", "2", "--data.data_dir", str(tmp_path))
    command = [sys.executable, "-m", "lit_mlm", "fit", *base_args, *options]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert (result.returncode, result.stderr.count("Traceback")) == (2, 0)
    assert f"error: data.data_dir {tmp_path}" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("strategy", ["ddp_notebook", "ddp_spawn"])
def test_weights_and_results_come_back_from_processes(
    strategy: str, tiny_bert: str, cache_dir: str, tmp_path: Path
) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent), "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-m", "tests.launched", strategy, tiny_bert, cache_dir, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    trained, validated, untrained = json.loads(result.stdout.splitlines()[-1])
    assert validated == pytest.approx(trained, rel=1e-6)
    assert validated < untrained - 10


@pytest.fixture(scope="module")
def tagging_folder(news_tagger: str, cache_dir: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `tests.tagging_processes` leaves."""
    folder = tmp_path_factory.mktemp("tagging")
    # Forks of a process whose tokenizers have threads wait for these for ever.
    threads = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    environment = os.environ | threads | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-m", "tests.tagging_processes", news_tagger, cache_dir]
    result = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def test_tagging_is_validated_the_same_on_one_two_and_three_processes(tagging_folder: Path) -> None:
    """The same counts, and so the same figures; the loss is a sum of floats in another order."""
    expected, *others = (
        json.loads((tagging_folder / f"validate-{i}" / "metrics.json").read_text()) for i in range(len(VALIDATIONS))
    )
    assert 0.2 < expected["val/f1_low"] < expected["val/f1"] < expected["val/f1_high"] < 1
    assert expected["val/num_windows"] > expected["val/num_sentences"]
    for found in others:
        assert found.pop("val/loss") == pytest.approx(expected["val/loss"], rel=1e-6)
        del found["val/padding_fraction"]
        assert found == {name: expected[name] for name in found}
        assert len(found) == len(expected) - 2


@pytest.mark.parametrize("by_length", [True, False])
def test_tagging_is_trained_the_same_by_ranks_and_accumulation(
    tagging_folder: Path, news_tagger: str, by_length: bool
) -> None:
    """2 processes x 2 batches see what 1 x 4 see in a step, though a batch of theirs may be another one of the four."""
    one, two = (torch.load(tagging_folder / f"fit-{num}-{by_length}.pt") for num in (1, 2))
    assert one["step"] == two["step"] > 8
    start = AutoModelForTokenClassification.from_pretrained(news_tagger).state_dict()
    assert max(float((weight - start[name]).abs().max()) for name, weight in one["weights"].items()) > 1e-3
    largest = max(float((two["weights"][name] - weight).abs().max()) for name, weight in one["weights"].items())
    print(f"{one['step']} steps, largest difference {largest:.1e}")
    assert largest < 1e-5
