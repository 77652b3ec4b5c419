"""Figures of masked language modelling over several draws of the masks."""

import csv
import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import Trainer
from scipy import stats
from transformers import AutoModelForMaskedLM

from lit_mlm import IMDBDataModule, MaskedLM, TextFilesDataModule
from lit_mlm.data.batches import BatchKey
from lit_mlm.errors import InputError
from lit_mlm.text.masking.strategies import WordMasking
from tests.conftest import FIXTURES, imdb_args


def test_draws_give_the_pooled_figure_and_the_interval_of_their_mean(
    tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path]
) -> None:
    options = ("--data.num_mask_draws", 5, "--run_dir", "out")
    folder = run_cli("validate", *imdb_args(tiny_bert, cache_dir), *options)
    metrics = json.loads((folder / "out" / "metrics.json").read_text())

    data = IMDBDataModule(
        str(FIXTURES / "aclImdb"), tokenizer=tiny_bert, block_size=32, num_mask_draws=5, cache_dir=cache_dir
    )
    data.setup("validate")
    net = AutoModelForMaskedLM.from_pretrained(tiny_bert).eval()
    losses, counts = [], []
    with torch.inference_mode():
        for loader in data.val_dataloader():
            batches = list(loader)
            counts.append(sum(int((batch["labels"] != -100).sum()) for batch in batches))
            nats = sum(float(net(**batch).loss) * int((batch["labels"] != -100).sum()) for batch in batches)
            losses.append(nats / counts[-1])
    pooled = sum(loss * count for loss, count in zip(losses, counts, strict=True)) / sum(counts)
    interval = stats.t.interval(0.95, 4, loc=sum(losses) / 5, scale=stats.sem(losses))
    assert metrics["val/num_mask_draws"] == 5
    assert metrics["val/num_scored_tokens"] == sum(counts)
    assert metrics["val/perplexity"] == pytest.approx(math.exp(pooled), rel=1e-6)
    assert metrics["val/perplexity_low"] == pytest.approx(math.exp(interval[0]), rel=1e-6)
    assert metrics["val/perplexity_high"] == pytest.approx(math.exp(interval[1]), rel=1e-6)
    assert metrics["val/perplexity_low"] < metrics["val/perplexity"] < metrics["val/perplexity_high"]


def test_draws_in_training_are_in_the_lines_and_the_results(
    tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--data.num_mask_draws", 2, "--data.num_workers", 1, "--run_dir", "out")
    folder = run_cli("fit", *imdb_args(tiny_bert, cache_dir), *options)
    metrics = json.loads((folder / "out" / "metrics.json").read_text())
    for prefix in ("start/val", "val", "last/val"):
        assert metrics[f"{prefix}/num_mask_draws"] == 2
    assert metrics["start/val/num_scored_tokens"] == metrics["val/num_scored_tokens"]
    assert "perplexity_low" in capsys.readouterr().out


def test_redrawn_masks_give_another_text_to_score_at_each_evaluation(
    tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path]
) -> None:
    options = ("--data.redraw_eval_masks", "true", "--model.lr", 0, "--model.weight_decay", 0, "--run_dir", "out")
    folder = run_cli("fit", *imdb_args(tiny_bert, cache_dir), *options)
    metrics = json.loads((folder / "out" / "metrics.json").read_text())
    assert metrics["start/val/mask_fingerprint"] != metrics["last/val/mask_fingerprint"]
    assert metrics["start/val/perplexity"] != metrics["last/val/perplexity"]  # of the same weights
    run_cli("validate", *imdb_args(tiny_bert, cache_dir), *options, "--ckpt_path", "best")
    again = json.loads((folder / "out" / "metrics.json").read_text())
    assert again["val/mask_fingerprint"] == metrics["val/mask_fingerprint"]  # those of the step that it was saved at
    assert again["val/perplexity"] == pytest.approx(metrics["val/perplexity"], rel=1e-6)


def test_evaluations_of_fewer_draws_leave_nothing_of_earlier_ones(
    tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path]
) -> None:
    args = (*imdb_args(tiny_bert, cache_dir), "--run_dir", "out")
    for num in (3, 1):
        folder = run_cli("validate", *args, "--data.num_mask_draws", num)
        metrics = json.loads((folder / "out" / "metrics.json").read_text())
        assert ("val/perplexity_low" in metrics) == (num > 1)
    module = MaskedLM(tiny_bert)
    trainer = Trainer(logger=False, enable_progress_bar=False, accelerator="cpu", enable_checkpointing=False)
    options: dict[str, Any] = {"data_dir": str(FIXTURES / "aclImdb"), "block_size": 32, "cache_dir": cache_dir}
    for num in (3, 1, 2):
        trainer.validate(module, IMDBDataModule(num_mask_draws=num, **options), verbose=False)
        assert module.results["val"].get("num_mask_draws", 1) == num


def test_draws_that_score_nothing_are_left_out_of_the_interval(
    tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path]
) -> None:
    options = ("--data.num_mask_draws", 8, "--data.mask_prob", 0.01, "--run_dir", "out")
    folder = run_cli("validate", *imdb_args(tiny_bert, cache_dir), *options)
    metrics = json.loads((folder / "out" / "metrics.json").read_text())
    assert 1 < metrics["val/num_mask_draws"] < 8


@pytest.mark.parametrize("limit", [1, 0.5])
def test_part_of_a_split_has_no_facts_of_the_whole(
    limit: float, tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path]
) -> None:
    options = ("--data.eval_batch_size", 1, "--trainer.limit_val_batches", limit, "--run_dir", "out")
    folder = run_cli("validate", *imdb_args(tiny_bert, cache_dir), *options)
    metrics = json.loads((folder / "out" / "metrics.json").read_text())
    names = {"mask_fingerprint", "data_fingerprint", "num_blocks", "num_blocks_shared_with_train"}
    assert not {f"val/{name}" for name in names} & set(metrics)


def test_data_of_the_other_task_is_refused(cache_dir: str, run_cli: Callable[..., Path]) -> None:
    """Label ids are no tokens."""
    sample = ("--config", "ner-sample.yaml", "--data.data_dir", FIXTURES / "conll", "--data.cache_dir", cache_dir)
    with pytest.raises(InputError, match="MaskedLM needs masks, and CoNLLDataModule has labels"):
        run_cli("fit", *sample, "--model", "MaskedLM")


@pytest.fixture
def sets(tmp_path: Path, reviews: list[str]) -> dict[str, Any]:
    """Files of two sets, of one and of two documents of several lines."""
    for number in range(4):
        text = "\n".join(reviews[3 * number : 3 * number + 3])
        (tmp_path / f"{number}.txt").write_text(text)
    return {"news": [str(tmp_path / "1.txt")], "web_2": [str(tmp_path / "2.txt"), str(tmp_path / "3.txt")]}


@pytest.mark.parametrize(
    "options",
    [
        {"num_mask_draws": 3},
        {"block_policy": "line", "pack_length": 48, "num_val_blocks": 5},
        {"block_policy": "document", "drop_tail": True, "masking": WordMasking(), "redraw_eval_masks": True},
    ],
    ids=["draws", "packed", "redrawn"],
)
def test_each_set_has_the_metrics_of_that_set_alone(
    options: dict[str, Any], sets: dict[str, Any], tiny_bert: str, make_trainer: Any, tmp_path: Path
) -> None:
    module = MaskedLM(tiny_bert)

    def score(val_files: Any) -> dict[str, Any]:
        fixed: dict[str, Any] = {"train_files": str(tmp_path / "0.txt"), "block_size": 32, "eval_batch_size": 3}
        data = TextFilesDataModule(val_files=val_files, cache_dir=str(tmp_path), **fixed, **options)
        make_trainer().validate(module, data, verbose=False)
        return {name: value for name, value in module.results["val"].items() if not name.endswith("data_fingerprint")}

    metrics = score(sets)
    alone = {name: score(files) for name, files in sets.items()}
    assert {k: v for k, v in metrics.items() if "/" in k} == {
        f"{name}/{key}": value for name, found in alone.items() for key, value in found.items()
    }
    counts = [found["num_scored_tokens"] for found in alone.values()]
    nats = sum(found["loss"] * count for found, count in zip(alone.values(), counts, strict=True))
    assert metrics["loss"] == pytest.approx(nats / sum(counts), rel=1e-12)
    for name in ("num_scored_tokens", "num_blocks", "num_dropped_tokens"):
        assert metrics[name] == sum(found[name] for found in alone.values())
    low, high = sorted(found["bits_per_byte"] for found in alone.values())
    assert low < metrics["bits_per_byte"] < high
    pooled = score([file for files in sets.values() for file in files])
    assert pooled.keys() == {name for name in metrics if "/" not in name}


def test_interval_of_the_whole_split_is_over_draws_of_all_sets(
    sets: dict[str, Any], tiny_bert: str, make_trainer: Any, tmp_path: Path
) -> None:
    module, losses = MaskedLM(tiny_bert), []
    options: dict[str, Any] = {"train_files": str(tmp_path / "0.txt"), "block_size": 32, "cache_dir": str(tmp_path)}
    data = TextFilesDataModule(val_files=sets, num_mask_draws=3, **options)
    make_trainer().validate(module, data, verbose=False)
    net: Any = module.net
    news, web = (data.examples[f"val/{name}"] for name in sets)
    for draw in range(3):
        nats, num = 0.0, 0
        for examples in (news, web):
            batch = examples[BatchKey(draw, np.arange(len(examples)))]
            with torch.inference_mode():
                logits = net.eval()(batch["input_ids"], batch["attention_mask"]).logits.flatten(0, 1)
            nats += float(torch.nn.functional.cross_entropy(logits, batch["labels"].flatten(), reduction="sum"))
            num += int((batch["labels"] != -100).sum())
        losses.append(nats / num)
    low, high = stats.t.interval(0.95, 2, loc=sum(losses) / 3, scale=stats.sem(losses))
    assert module.results["val"]["perplexity_low"] == pytest.approx(math.exp(low), rel=1e-5)
    assert module.results["val"]["perplexity_high"] == pytest.approx(math.exp(high), rel=1e-5)


def test_sets_in_a_run(
    sets: dict[str, Any],
    tiny_bert: str,
    tmp_path: Path,
    run_cli: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The lines, the curves and `metrics.json` of a training, and the table of `test`."""
    shutil.copy(sets["news"][0], tmp_path / "copy.txt")
    files = {"val_files": sets, "test_files": {"only": str(tmp_path / "copy.txt")}}
    options = {"train_files": str(tmp_path / "0.txt"), **files}
    data = {"class_path": "TextFilesDataModule", "init_args": options | {"block_size": 32, "cache_dir": "cache"}}
    Path("sets.yaml").write_text(yaml.safe_dump({"data": data}))
    configs = ("--config", "text.yaml", "--config", "overlays/cpu.yaml", "--config", "sets.yaml")
    logger = ("--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", "out")
    run_cli("fit", *configs, "--model.model", tiny_bert, *logger, "--run_dir", "out")
    lines = capsys.readouterr().out.splitlines()
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert re.search(r" / \d+ val/news / \d+ val/web_2 blocks of 32", lines[0])
    figures = [f"{name} {metrics[f'start/val/{name}/perplexity']:.2f}" for name in sets]
    assert f"; perplexity of {', '.join(figures)}" in " ".join(line.strip() for line in lines[1:3])
    shown = {line.split()[0]: line.split()[1] for line in lines if " " in line}
    assert shown["perplexity"] == f"{metrics['start/val/perplexity']:.2f}"
    assert [shown[f"{name}/perplexity"] for name in sets] == [figure.split()[1] for figure in figures]
    (curves,) = Path("out").rglob("metrics.csv")
    with curves.open() as file:
        rows = [row for row in csv.DictReader(file) if row["val/news/loss"]]
    assert float(rows[-1]["val/news/loss"]) == pytest.approx(metrics["last/val/news/loss"], rel=1e-5)
    assert "val/web_2/bits_per_byte" in rows[0]

    run_cli("test", "--run_dir", "out")
    lines = capsys.readouterr().out.splitlines()
    number = next(i for i, line in enumerate(lines) if line.startswith("set "))
    assert lines[number].split()[:3] == ["set", "perplexity", "loss"]
    assert lines[number + 1].split()[0] == "only"
    assert len(lines[number]) == len(lines[number + 1])
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert metrics["test/only/perplexity"] == metrics["test/perplexity"] == metrics["val/news/perplexity"]


@pytest.mark.parametrize("name", ["loss", "num_blocks"])
def test_set_with_the_name_of_a_metric_is_refused(
    name: str, sets: dict[str, Any], tiny_bert: str, make_trainer: Any, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"train_files": str(tmp_path / "0.txt"), "block_size": 32, "cache_dir": str(tmp_path)}
    data = TextFilesDataModule(val_files={name: sets["news"]}, **options)
    with pytest.raises(InputError, match=rf"data.val_files: rename the set {name}, which is the name of a metric"):
        make_trainer().validate(MaskedLM(tiny_bert), data)
    assert (name == "loss") != bool(data.texts)  # found before the text is read, where it can be


def test_names_of_sets_are_in_the_fingerprint(sets: dict[str, Any], tiny_bert: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"train_files": str(tmp_path / "0.txt"), "block_size": 32, "cache_dir": str(tmp_path)}
    found = []
    for val_files in (sets, {"news": sets["news"], "other": sets["web_2"]}, sets):
        data = TextFilesDataModule(val_files=val_files, tokenizer=tiny_bert, **options)
        data.setup("fit")
        found.append((data.fingerprint, data.describe_split("val")["data_fingerprint"]))
    assert found[0] == found[2]
    assert found[0][0] != found[1][0]
    assert found[0][1] != found[1][1]
