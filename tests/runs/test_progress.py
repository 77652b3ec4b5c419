"""A run that goes on is the run that was never interrupted."""

import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from lit_mlm import MaskedLM
from lit_mlm.data.base import TextDataModule
from lit_mlm.errors import InputError
from lit_mlm.runs.checkpoints import read_checkpoint
from tests.conftest import FIXTURES, NO_DROPOUT, imdb_args, save_model
from tests.ranks import name_rank, run_ranks
from tests.resumed_runs import KEEP, NO_DIFFERENCES, find_differences

Run = Callable[..., Path]
Options = tuple[object, ...]

TWO_EPOCHS: Options = ()
STEPS: Options = ("--trainer.max_steps", 9)
INTERVAL: Options = ("--trainer.max_epochs", 1, "--trainer.val_check_interval", 4)
ACCUMULATED: Options = ("--data.batch_size", 4, "--trainer.accumulate_grad_batches", 2)
LIMITED: Options = ("--trainer.limit_train_batches", 4, "--trainer.check_val_every_n_epoch", 2)
PACKED: Options = ("--data.block_policy", "document", "--data.pack_length", 64, "--data.batch_size", 4)


@pytest.fixture(scope="module")
def wholes() -> dict[tuple[Any, ...], Path]:
    """The runs that were never interrupted, by what they were told."""
    return {}


@pytest.fixture
def run_whole(run_cli: Run, wholes: dict[Any, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Runs a command to its end, once a module, in a folder ``whole`` with copies of every step beside it."""

    def run(args: Sequence[object]) -> Path:
        key = tuple(map(str, args))
        if key not in wholes:
            wholes[key] = tmp_path_factory.mktemp("whole") / "whole"
            run_cli("fit", *args, *KEEP, "--run_dir", wholes[key])
        return wholes[key]

    return run


@pytest.fixture
def args(tiny_bert: str, cache_dir: str) -> list[str]:
    """A run with dropout: 2 epochs of 6 steps."""
    return imdb_args(tiny_bert, cache_dir)


@pytest.mark.parametrize(
    ("options", "step", "changed"),
    [
        (TWO_EPOCHS, "04", ("--data.num_workers", 2)),
        (TWO_EPOCHS, "04", ("--data.batch_size", 4, "--trainer.accumulate_grad_batches", 2)),
        (TWO_EPOCHS, "06-before", ()),
        (TWO_EPOCHS, "06", ("--data.num_workers", 2)),
        (TWO_EPOCHS, "07", ()),
        (TWO_EPOCHS, "12-before", ()),
        (("--data.num_workers", 2), "03", ("--data.num_workers", 0)),
        (STEPS, "08", ()),
        (STEPS, "09-before", ()),
        (STEPS, "09", ()),
        (INTERVAL, "04-before", ()),
        (INTERVAL, "04", ()),
        (ACCUMULATED, "04", ()),
        (ACCUMULATED, "06-before", ()),
        (PACKED, "03", ("--data.num_workers", 2)),
        (("--model.optimizer", "Muon"), "04", ()),
        (("--model.lora.r", 4, "--model.lora.dropout", 0.1), "04", ()),
        (LIMITED, "04", ()),  # the end of an epoch without a validation
    ],
)
def test_resumed_run_is_the_whole_one(
    options: Options, step: str, changed: Options, args: list[str], run_whole: Run, run_cli: Run, tmp_path: Path
) -> None:
    whole = run_whole([*args, *options])
    shutil.copytree(whole.with_name("whole-kept") / step, tmp_path / "run")
    run_cli("fit", *args, *options, *KEEP, *changed, "--run_dir", "run")
    found = find_differences(whole, tmp_path / "run")
    if "--data.batch_size" in changed:  # other dropout; the test of the order is below
        assert found["weights"] < 0.1
        assert "step" not in found
    else:
        assert found == NO_DIFFERENCES


@pytest.fixture
def tag_args(news_tagger: str, cache_dir: str) -> list[str]:
    """A tagging run with batches of sentences of the same length: 5 steps."""
    return [
        *("--config", "conll.yaml", "--config", "overlays/cpu.yaml", "--trainer.enable_progress_bar", "false"),
        *("--data.data_dir", str(FIXTURES / "conll"), "--data.cache_dir", cache_dir, "--model.model", news_tagger),
        *("--data.batch_size", "16", "--trainer.max_epochs", "2", "--trainer.limit_train_batches", "4"),
        *("--trainer.num_sanity_val_steps", "0", "--model.lr", "1e-3"),
    ]


@pytest.mark.parametrize(("step", "options"), [("03", ()), ("04-before", ()), ("03", ("--data.pack_length", 64))])
def test_resumed_tagging_is_the_whole_one(
    step: str, options: Options, tag_args: list[str], run_whole: Run, run_cli: Run, tmp_path: Path
) -> None:
    whole = run_whole([*tag_args, *options])
    shutil.copytree(whole.with_name("whole-kept") / step, tmp_path / "run")
    run_cli("fit", *tag_args, *options, *KEEP, "--run_dir", "run")
    assert find_differences(whole, tmp_path / "run") == NO_DIFFERENCES


def test_several_failures_in_one_epoch(
    args: list[str], run_whole: Run, run_cli: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each time within a step, so that the work since the last checkpoint is done again."""
    whole = run_whole(args)
    step, count = MaskedLM.training_step, [0]

    def fail(self: MaskedLM, *rest: Any) -> Any:
        count[0] += 1
        if count[0] == 3:
            torch.rand(7)  # what is drawn in vain is forgotten
            raise OSError("injected")
        return step(self, *rest)

    monkeypatch.setattr(MaskedLM, "training_step", fail)
    for _ in range(2):
        count[0] = 0
        with pytest.raises(OSError, match="injected"):
            run_cli("fit", *args, *KEEP, "--run_dir", "run")
    assert read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["global_step"] == 4
    count[0] = 3
    run_cli("fit", *args, *KEEP, "--run_dir", "run")
    assert find_differences(whole, tmp_path / "run") == NO_DIFFERENCES


def test_failure_after_the_validation_that_was_due(
    args: list[str], run_whole: Run, run_cli: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What that validation saves has the random numbers of the step before it, not those of the new process."""
    whole = run_whole(args)
    shutil.copytree(whole.with_name("whole-kept") / "06-before", tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(MaskedLM, "training_step", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run_cli("fit", *args, *KEEP, "--run_dir", "run")
    last = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert not last["callbacks"]["SaveCheckpoints"]["is_due"]
    run_cli("fit", *args, *KEEP, "--run_dir", "run")
    assert find_differences(whole, tmp_path / "run") == NO_DIFFERENCES


def test_end_that_was_not_exported_is_exported(
    args: list[str], run_whole: Run, run_cli: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = run_whole(args)
    shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    run_cli("fit", *args, *KEEP, "--run_dir", "run")
    assert find_differences(whole, tmp_path / "run") == NO_DIFFERENCES


def test_other_rounding_is_told(
    args: list[str],
    run_whole: Run,
    run_cli: Run,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = run_whole(args)
    assert json.loads((whole / "metrics.json").read_text())["versions"]["MKL_CBWR"] == "AUTO,STRICT"
    shutil.copytree(whole.with_name("whole-kept") / "03", tmp_path / "run")
    monkeypatch.setenv("MKL_CBWR", "AVX2")
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    run_cli("fit", *args, *KEEP, "--run_dir", "run")
    assert "made with MKL_CBWR=AUTO,STRICT, not AVX2: weights may differ in their last bits" in caplog.text


# Other devices, other batches


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The ids of each training batch's first tokens: which examples a run sees, in which order."""
    found: list[list[int]] = []
    step = MaskedLM.training_step

    def note(self: MaskedLM, batch: dict[str, torch.Tensor], *rest: Any) -> Any:
        found.append(batch["input_ids"][:, :12].flatten().tolist())
        return step(self, batch, *rest)

    monkeypatch.setattr(MaskedLM, "training_step", note)
    return found


def test_batch_that_is_split_goes_on_with_the_same_examples(
    wordpiece: Any, cache_dir: str, seen: list[list[int]], run_cli: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From 2 x 4 to 1 x 8 and on to 4 x 2, masks included, and to the digits of a sum the same weights."""
    args = imdb_args(save_model(tmp_path / "model", NO_DROPOUT, wordpiece), cache_dir)
    run_cli("fit", *args, "--run_dir", "whole")
    whole = [number for batch in seen for number in batch]
    seen.clear()
    step, left = MaskedLM.training_step, [0]

    def fail(self: MaskedLM, *rest: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise OSError("injected")
        return step(self, *rest)

    monkeypatch.setattr(MaskedLM, "training_step", fail)
    for size, accumulation, num_batches in ((4, 2, 8), (8, 1, 4), (2, 4, 1000)):
        left[0] = num_batches
        options = ("--data.batch_size", size, "--trainer.accumulate_grad_batches", accumulation)
        is_last = num_batches == 1000
        with nullcontext() if is_last else pytest.raises(OSError, match="injected"):
            run_cli("fit", *args, *options, "--save_every_n_steps", 1, "--run_dir", "run")
    assert [number for batch in seen for number in batch] == whole
    found = find_differences(tmp_path / "whole", tmp_path / "run")
    assert found["weights"] < 1e-5
    assert "step" not in found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--data.block_size", 16), "data.block_size 32, not 16"),
        (("--data.val_fraction", "0.5"), "data.val_fraction [0-9.]*, not 0.5"),
        (
            ("--data.batch_size", 4),
            r"global batch \(batch x devices x accumulation\) of 8 x 1 x 1 = 8, not 4 x 1 x 1 = 4",
        ),
        (("--seed_everything", 7), "--seed_everything 42, not 7"),
    ],
)
def test_other_data_are_refused_or_begin_with_the_next_epoch(
    options: Options, message: str, args: list[str], run_whole: Run, run_cli: Run, tmp_path: Path
) -> None:
    whole = run_whole(args)
    start = ("--ckpt_path", whole.with_name("whole-kept") / "03" / "checkpoints" / "last.ckpt", "--run_dir", "run")
    with pytest.raises(InputError, match=rf"made with .*{message}.*: give what .* or --allow_changes true"):
        run_cli("fit", *args, *options, *start)
    assert list(tmp_path.iterdir()) == []
    epochs: list[int] = []
    keep = TextDataModule.count_seen_batches

    def note(self: TextDataModule) -> int:
        assert self.trainer is not None
        epochs.append(self.trainer.current_epoch)
        assert keep(self) == 0
        return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TextDataModule, "count_seen_batches", note)
        run_cli("fit", *args, *options, *start, "--allow_changes", "true")
    assert epochs == [1]


@pytest.mark.parametrize(("name", "value"), [("group_by_length", "true"), ("max_tokens_per_batch", 2000)])
def test_other_batches_of_sentences_are_refused(
    name: str, value: object, tag_args: list[str], run_whole: Run, run_cli: Run, tmp_path: Path
) -> None:
    start = run_whole(tag_args).with_name("whole-kept") / "03" / "checkpoints" / "last.ckpt"
    with pytest.raises(InputError, match=rf"made with data\.{name} "):
        run_cli("fit", *tag_args, f"--data.{name}", value, "--ckpt_path", start, "--run_dir", "run")


def test_other_rows_are_refused(args: list[str], run_whole: Run, run_cli: Run) -> None:
    whole = run_whole([*args, *PACKED])
    start = ("--ckpt_path", whole.with_name("whole-kept") / "03" / "checkpoints" / "last.ckpt", "--run_dir", "run")
    for length, message in ((56, "64, not 56"), ("null", "64, not None")):
        with pytest.raises(InputError, match=f"the checkpoint was made with data.pack_length {message}: give what"):
            run_cli("fit", *args, *PACKED, "--data.pack_length", length, *start)


def test_sentences_in_smaller_batches_are_refused(tag_args: list[str], run_whole: Run, run_cli: Run) -> None:
    """Batches come in an order of chance, so others would share a step, though it has as many."""
    start = run_whole(tag_args).with_name("whole-kept") / "03" / "checkpoints" / "last.ckpt"
    split = ("--data.batch_size", 8, "--trainer.accumulate_grad_batches", 2)
    with pytest.raises(InputError, match=r"made with data\.batch_size 16, not 8"):
        run_cli("fit", *tag_args, *split, "--ckpt_path", start, "--run_dir", "run")


# Several processes


def fit_ranks(folder: Path, args: Sequence[object], num: int) -> str:
    ddp = ("--config", "overlays/ddp.yaml", "--trainer.devices", num)
    return run_ranks(folder, ["fit", *args, *ddp], [name_rank(rank, num) for rank in range(num)])


def test_two_processes_go_on_exactly_and_one_in_the_same_order(
    args: list[str], seen: list[list[int]], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """With dropout: each rank has random numbers of its own."""
    halves = [*args, "--data.batch_size", "4", *KEEP]
    fit_ranks(tmp_path, [*halves, "--run_dir", "whole"], 2)
    for step in ("04", "06-before"):
        shutil.copytree(tmp_path / "whole-kept" / step, tmp_path / step)
        fit_ranks(tmp_path, [*halves, "--run_dir", step], 2)
        assert find_differences(tmp_path / "whole", tmp_path / step) == NO_DIFFERENCES
    run_cli = request.getfixturevalue("run_cli")  # changes the folder, which the ranks' server starts in
    shutil.copytree(tmp_path / "whole-kept" / "04", tmp_path / "one")
    run_cli("fit", *args, *KEEP, "--run_dir", "one")
    rest = list(seen)
    seen.clear()
    run_cli("fit", *args, "--run_dir", "alone")
    assert rest == seen[4:]
    metrics = json.loads((tmp_path / "one" / "metrics.json").read_text())
    assert metrics["last/step"] == 12
