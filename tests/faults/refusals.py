"""Bad and hostile inputs, each given to a process that was forked from one which has imported the package."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests import hostile
from tests.conftest import imdb_args
from tests.faults.bad_inputs import BAD_INPUTS, Place
from tests.faults.runs import SHORT, Lab, find_error, shorten
from tests.faults.table import Fault
from tests.ranks import FORKS
from tests.test_bad_input import fail_step, read_tree

CHANGED = 99
"""The exit status of a process that has left something."""

SECONDS = 60.0


def make_faults(lab: Lab) -> Iterator[Fault]:
    for row in BAD_INPUTS:
        yield Fault(
            f"bad input: {row.name}",
            f"exit status 2 before the first step, nothing left; one error with {', '.join(row.expected)}",
            partial(check_bad_input, lab, row.name, row.expected),
        )
    refused = "exit status 2, one error, nothing that it would have written"
    for case in hostile.YAML:
        yield Fault(f"hostile YAML: {case}", refused, partial(check_hostile, lab, give_yaml, case))
    for case in hostile.CHECKPOINTS:
        yield Fault(f"hostile checkpoint: {case}", refused, partial(check_hostile, lab, give_checkpoint, case))
    for case in ("error", "fill", "tag"):
        printed = "control characters are printed as escapes"
        yield Fault(f"terminal escapes: {case}", printed, partial(check_escapes, lab, case))
    for case in ("code", "pickle"):
        yield Fault(f"hostile model: {case}", refused, partial(check_hostile, lab, give_model, case))


def check_bad_input(lab: Lab, name: str, expected: tuple[str, ...]) -> str:
    folder = lab.folder / "bad" / name
    folder.mkdir(parents=True)
    runs = [str(get_finished_run(lab, task)) for task in ("fit", "tag")]
    models = [lab.get_model(kind) for kind in ("bert", "roberta")]
    error = find_error(fork(folder, run_bad_input, name, *models, *runs))
    for words in expected:
        assert words in error, error
    return error.replace(str(lab.folder), "...")[:200]


def run_bad_input(folder: Path, name: str, bert: str, roberta: str, fill_run: str, tag_run: str) -> None:
    """Makes a mistake, and compares what is there before and after it."""
    row = next(row for row in BAD_INPUTS if row.name == name)
    with pytest.MonkeyPatch.context() as patch, ExitStack() as opened:
        args = row.make(Place(folder, bert, roberta, Path(fill_run), Path(tag_run), patch, opened))
        before = read_tree(folder)
        patch.setattr("lit_mlm.modules.base.TransformerModule.training_step", fail_step)
        try:
            run_main(args)
        finally:
            if read_tree(folder) != before:
                print("left:", sorted(set(read_tree(folder)) ^ set(before)))
                os._exit(CHANGED)


def get_finished_run(lab: Lab, task: str) -> Path:
    """The run of a task that some rows go on from."""

    def make(folder: Path) -> None:
        folder.mkdir()
        fork(folder, run_finished, task, lab.get_model(), expected=0)

    return lab.make_once(f"finished-{task}", make) / "run"


def run_finished(folder: Path, task: str, bert: str) -> None:
    with pytest.MonkeyPatch.context() as patch, ExitStack() as opened:
        run_main(getattr(Place(folder, bert, bert, folder, folder, patch, opened), task)())


def check_hostile(lab: Lab, give: Callable[[Lab, Path, str], list[str]], case: str) -> str:
    folder = lab.folder / "hostile" / f"{give.__name__}-{case}"
    folder.mkdir(parents=True)
    args = give(lab, folder, case)
    error = find_error(fork(folder, run_hostile, *args))
    assert not (folder / "marker").exists(), "the file was written"
    return error.replace(str(lab.folder), "...")[:200]


def check_escapes(lab: Lab, case: str) -> str:
    """Prints escape sequences in an error that quotes an argument, in a text, and in the labels of a model."""
    folder, red = lab.folder / "escapes" / case, "\x1b[31mred\x9b2J"
    folder.mkdir(parents=True)
    if case == "error":
        written = fork(folder, run_plain, "fit", "--config", f"{red}.yaml")
    elif case == "fill":
        written = fork(folder, run_plain, "fill", "--model", lab.get_model(), f"a {red} [MASK]", expected=0)
    else:
        model = shutil.copytree(get_finished_run(lab, "tag") / "hf", folder / "model")
        config = json.loads((model / "config.json").read_text())
        names = {number: f"{name}{red}" for number, name in config["id2label"].items()}
        config |= {"id2label": names, "label2id": {name: int(number) for number, name in names.items()}}
        (model / "config.json").write_text(json.dumps(config))
        written = fork(folder, run_plain, "tag", "--model", str(model), "--text", f"Tom {red} Paris", expected=0)
    assert not set(written) & {"\x1b", "\x9b"}, written
    assert r"\u001b[31mred\u009b2J" in written, written
    return " / ".join(written.strip().split("\n"))[:200]


def run_plain(folder: Path, *args: str) -> None:
    run_main([*args])


def give_yaml(lab: Lab, folder: Path, case: str) -> list[str]:
    shutil.copytree(lab.get_model(), folder / "model")
    hostile.write_module(folder, "evil", folder / "marker")
    hostile.add_code(folder / "model", folder / "marker")
    config = hostile.write_yaml(folder, case, "evil", str(folder / "model"), folder / "marker")
    return [*give_args(lab, folder / "model")[:4], "--config", str(config)]


def give_checkpoint(lab: Lab, folder: Path, case: str) -> list[str]:
    good = lab.train(*SHORT) / "checkpoints" / "last.ckpt"
    hostile.CHECKPOINTS[case](folder / "hostile.ckpt", folder / "marker", good)
    return [*give_args(lab, Path(lab.get_model())), "--ckpt_path", str(folder / "hostile.ckpt")]


def give_model(lab: Lab, folder: Path, case: str) -> list[str]:
    """With code of its own; with weights that are a pickle, which is asked for."""
    shutil.copytree(lab.get_model(), folder / "model")
    if case == "code":
        hostile.add_code(folder / "model", folder / "marker")
        return give_args(lab, folder / "model")
    hostile.pickle_weights(folder / "model", folder / "marker")
    return [*give_args(lab, folder / "model"), "--model.allow_pickle", "true"]


def give_args(lab: Lab, model: Path) -> list[str]:
    return imdb_args(str(model), str(lab.folder / "cache"))


def run_hostile(folder: Path, *args: str) -> None:
    sys.path.insert(0, str(folder))  # the module could be imported
    run_main(["fit", *args, "--run_dir", str(folder / "run")])


def run_main(args: list[str]) -> None:
    from lit_mlm.cli.main import main

    sys.argv = ["lit_mlm", *args]
    main(args)


def fork(folder: Path, function: Callable[..., None], *args: str, expected: int = 2) -> str:
    """Runs a function in a process and a folder of its own; returns what it wrote."""
    log = folder.parent / f"{folder.name}.log"
    process = FORKS.Process(target=_run_in, args=(folder, log, function, args))
    process.start()
    process.join(SECONDS)
    process.kill()
    process.join()
    written = log.read_text(errors="replace")
    assert process.exitcode == expected, f"exit status {process.exitcode}: {shorten(written)}"
    return written


def _run_in(folder: Path, log: Path, function: Callable[..., None], args: tuple[str, ...]) -> None:
    file = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(file, stream.fileno())
    os.environ["OMP_NUM_THREADS"] = "1"
    os.chdir(folder)
    function(folder, *args)
