"""Each mistake of `tests/faults/bad_inputs.py` is told in one message before the first step, and leaves nothing."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from transformers import AutoModelForMaskedLM

from lit_mlm.cli.main import main, run_command
from lit_mlm.errors import InputError
from tests.faults.bad_inputs import BAD_INPUTS, BadInput, Place

Run = Callable[..., Path]

WHOLE = (
    r"cache(/texts(/\w{16}-\w{32}\.arrow|/\.lock)?|/tokens(/\w{32}(/\w+|/digests\.json)?)?|/tokenizers(/\w{32}(/\w+\.json)?)?"
    r"|/\w+/\.\w{32}\.lock)?"
)
"""What may be in a cache: text and tokenizers that are complete, for the corrected command to find, and locks."""


@pytest.fixture(scope="module")
def runs(tiny_bert: str, tiny_roberta: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of a finished run of each task."""
    folders = {}
    for task in ("fit", "tag"):
        folder = tmp_path_factory.mktemp(task)
        with pytest.MonkeyPatch.context() as patch, ExitStack() as opened:
            patch.setattr("sys.argv", ["lit_mlm"])
            patch.chdir(folder)
            run_command(getattr(Place(folder, tiny_bert, tiny_roberta, folder, folder, patch, opened), task)())
        folders[task] = folder / "run"
    return folders


@pytest.fixture
def place(
    tmp_path: Path, tiny_bert: str, tiny_roberta: str, runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    with ExitStack() as opened:
        yield Place(tmp_path, tiny_bert, tiny_roberta, runs["fit"], runs["tag"], monkeypatch, opened)


def read_tree(folder: Path) -> dict[str, bytes | None]:
    """The content of all files below a folder, None of folders, without what may be in a cache."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*")}
    return {name: None if path.is_dir() else path.read_bytes() for name, path in found.items() if not is_whole(name)}


def is_whole(name: str) -> bool:
    return re.fullmatch(WHOLE, name) is not None


def fail_step(*_args: object) -> None:
    raise AssertionError("the mistake was not found before the first step")


@pytest.mark.parametrize("row", BAD_INPUTS, ids=lambda row: row.name)
def test_bad_input(row: BadInput, place: Place, run_cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    args = row.make(place)
    before = read_tree(place.folder)
    monkeypatch.setattr("lit_mlm.modules.base.TransformerModule.training_step", fail_step)
    with pytest.raises(InputError) as caught:
        run_cli(*args)
    for words in row.expected:
        assert words in str(caught.value)
    assert len(str(caught.value)) < 500
    assert read_tree(place.folder) == before


@pytest.mark.parametrize("name", ["broken JSON line", "port in use", "unknown tag"])
def test_exit_status_and_one_line(
    name: str, place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = next(row for row in BAD_INPUTS if row.name == name)
    monkeypatch.chdir(place.folder)
    monkeypatch.setattr("sys.argv", ["lit_mlm"])
    with pytest.raises(SystemExit) as stop:
        main(row.make(place))
    (line,) = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2
    assert line.startswith("error: ")
    assert all(words in line for words in row.expected)


def test_hf_folder_of_another_task_is_a_fine_start(place: Place, run_cli: Run) -> None:
    folder = run_cli(*place.tag(model=str(place.fill_run / "hf")))
    assert (folder / "run" / "hf").is_dir()
    run_cli(*place.fit("--run_dir", "fill", model=str(folder / "run" / "hf")))
    AutoModelForMaskedLM.from_pretrained(folder / "fill" / "hf")


def test_fewer_blocks_than_a_batch_are_one_step_and_are_told(
    place: Place, run_cli: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither is an error: the last batch of any epoch is as short, and the step's gradient is the mean of it."""
    run_cli(*place.fit("--data.batch_size", 500, "--trainer.max_steps", -1, "--trainer.max_epochs", 2))
    printed = capsys.readouterr().out
    assert "for training are fewer than a batch of 500" in re.sub(r"\s+", " ", printed)
    assert "epoch 2, step 2" in printed


def test_evaluation_that_is_refused_leaves_the_run_as_it_was(place: Place, run_cli: Run) -> None:
    """A run's own `validate.yaml` among it."""
    best = ["--run_dir", str(place.fill_run), "--ckpt_path", "best"]
    run_cli(*place.validate(*best))
    before = read_tree(place.fill_run)
    with pytest.raises(InputError, match=r"data\.block_size is 65"):
        run_cli(*place.validate(*best, "--data.block_size", 65))
    assert read_tree(place.fill_run) == before
