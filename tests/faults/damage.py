"""Checkpoints that are damaged."""

import shutil
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.faults.runs import SHORT, Lab, find_error, read_step
from tests.faults.table import Fault

Damage = Callable[[Lab, Path], None]


def truncate(lab: Lab, path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(lab: Lab, path: Path) -> None:
    path.write_bytes(b"")


def flip_bit(lab: Lab, path: Path) -> None:
    content = bytearray(path.read_bytes())
    rng = lab.draw(path.parent.parent.name)
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def write_number(lab: Lab, path: Path) -> None:
    path.write_bytes(b"3")


DAMAGES: dict[str, Damage] = {"truncated": truncate, "empty": empty, "with one bit flipped": flip_bit}


def make_faults(lab: Lab) -> Iterator[Fault]:
    for name, damage in DAMAGES.items():
        yield Fault(
            f"last.ckpt {name}",
            "it is named, best.ckpt is used, and the run ends as the uninterrupted one, bit for bit",
            partial(damage_last, lab, damage),
        )
    yield Fault(
        "last.ckpt truncated, best.ckpt with one bit flipped",
        "exit status 2, both are named, nothing is changed",
        lambda: damage_both(lab),
    )
    refused = "exit status 2, one error that names the file and what to do, nothing is changed"
    for name in ("metrics.json", "config.yaml", "loggers.json"):
        for damage in (truncate, empty, write_number):
            yield Fault(
                f"{name} of a run: {damage.__name__.replace('_', ' ')}",
                refused,
                partial(damage_file, lab, damage, name),
            )
    yield Fault("hf is a file", refused, lambda: damage_file(lab, write_number, "hf"))
    yield Fault(
        "hf is a link to a folder",
        "the run ends as the one without a link, which stays one",
        lambda: link_folder(lab),
    )


def interrupt(lab: Lab, name: str) -> Path:
    """A copy of a run that was stopped in its second epoch."""

    def stop(run: Path) -> None:
        process = lab.start(run, *lab.args(*SHORT))
        process.wait((run / "checkpoints" / "best.ckpt.sha256").exists)
        process.wait_for_saves(5)
        process.stop(signal.SIGTERM)

    return Path(shutil.copytree(lab.make_once("interrupted", stop), lab.folder / name))


def damage_last(lab: Lab, damage: Damage) -> str:
    run = interrupt(lab, f"damaged-{damage.__name__}")
    last, step = run / "checkpoints" / "last.ckpt", read_step(run)
    damage(lab, last)
    log = lab.finish(run, *SHORT)
    (line,) = (line for line in log.splitlines() if " instead: " in line)
    assert line.startswith(f"using {run / 'checkpoints' / 'best.ckpt'} instead: {last} is damaged"), line
    return f"{line.replace(str(run), '...')} (it was of step {step}); all is equal"


def damage_both(lab: Lab) -> str:
    run = interrupt(lab, "damaged-both")
    folder = run / "checkpoints"
    truncate(lab, folder / "last.ckpt")
    flip_bit(lab, folder / "best.ckpt")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    error = find_error(lab.start(run, *lab.args(*SHORT)).end(2))
    for name in ("last.ckpt", "best.ckpt"):
        assert f"{folder / name} is damaged" in error, error
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    return error.replace(str(run), "...")


def damage_file(lab: Lab, damage: Damage, name: str) -> str:
    """Damages a file of a run beside its checkpoints."""
    run = interrupt(lab, f"damaged-{damage.__name__}-{name}")
    if not (run / name).exists():
        (run / name).write_text('{"epoch": 1, "step": 3}')
    damage(lab, run / name)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    error = find_error(lab.start(run, *lab.args(*SHORT)).end(2))
    is_other = "holds a run with another config" in error  # half of a YAML file may be valid
    assert is_other or str(run / name) in error, error
    assert ": " in error.removeprefix("error: "), error
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    return error.replace(str(run), "...")


def link_folder(lab: Lab) -> str:
    run, target = interrupt(lab, "linked"), lab.folder / "linked-hf"
    target.mkdir()
    (run / "hf").symlink_to(target)
    lab.finish(run, *SHORT)
    assert (run / "hf").readlink() == target
    assert {path.name for path in target.iterdir()} == {path.name for path in (lab.train(*SHORT) / "hf").iterdir()}
    return f"the model is in {target.name}; all is equal"
