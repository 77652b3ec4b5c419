"""One of two ranks computes what is no number, or ends."""

from collections.abc import Iterator
from functools import partial

import torch

from lit_mlm.runs.checkpoints import read_checkpoint
from tests.faults.rank_deaths import DEATHS, check_death
from tests.faults.runs import SHORT, Lab, find_error, find_orphans
from tests.faults.table import Fault
from tests.ranks import find_port, name_rank


def make_faults(lab: Lab) -> Iterator[Fault]:
    for name in ("loss", "gradient"):
        yield Fault(
            f"NaN in the {name} of one of two ranks",
            "exit status 2 on both; step, examples and learning rate are named; the last checkpoint is finite",
            partial(inject_nan, lab, name),
        )
    for number, death in enumerate(DEATHS):
        status = f"signal {-death.status}" if death.status < 0 else f"exit status {death.status}"
        yield Fault(
            f"{death.how} of rank {death.rank} of 2",
            f"{status} within a minute, no process left; said once: {'; '.join(death.lines) or 'nothing'}",
            partial(check_death, death, lab.args(), lab.folder / f"death-{number}"),
        )


def inject_nan(lab: Lab, name: str) -> str:
    """Both processes are started as `torchrun` does, so that each has an exit status of its own."""
    run = lab.folder / f"nan-{name}"
    options = (
        *("--config", "overlays/ddp.yaml", "--trainer.devices", "2"),
        *("--trainer.callbacks+=tests.faults.failing.Fail", "--trainer.callbacks.rank", "1"),
        *("--trainer.callbacks.how", name),
    )
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(find_port())}
    ranks = [
        lab.start(run, *lab.args(*SHORT, *options), environment=place | name_rank(rank, 2) | {"RANK": str(rank)})
        for rank in range(2)
    ]
    errors = {find_error(rank.end(2)) for rank in ranks}
    assert len(errors) == 1, errors
    (error,) = errors
    what = "loss" if name == "loss" else "gradient norm"
    for words in (f"the {what} of step 3 is nan", "training examples ", "at learning rate "):
        assert words in error, error
    checkpoint = read_checkpoint(run / "checkpoints" / "last.ckpt")
    assert checkpoint["global_step"] == 2
    assert all(bool(torch.isfinite(weight).all()) for weight in checkpoint["state_dict"].values())
    assert not find_orphans(run), find_orphans(run)
    return f"{error}; step 2 is there, finite"
