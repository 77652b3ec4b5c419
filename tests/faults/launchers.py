"""Runs whose processes or curves others look after, and a kill where an export takes the old one's place."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

from transformers import AutoModelForMaskedLM

from tests.faults.runs import ROOT, SHORT, TIMEOUT, Lab, compare_runs, find_orphans
from tests.faults.signals import stop_in_training
from tests.faults.table import Fault, Skipped
from tests.runs.test_loggers import read_steps

CSV = ("--config", "overlays/csv.yaml", "--trainer.log_every_n_steps", "1")
WANDB = ("--config", "overlays/wandb.yaml", "--trainer.logger.offline", "true")


def make_faults(lab: Lab) -> Iterator[Fault]:
    for strategy in ("ddp_fork", "ddp_spawn"):
        launched = (*SHORT, "--trainer.strategy", strategy, "--trainer.devices", "2")
        yield Fault(f"{strategy}, 2 processes", "the whole run is kept", partial(keep_run, lab, launched))
        yield Fault(
            f"SIGTERM in training, {strategy}",
            "exit status 143 in time, with a checkpoint at a step; the same command ends as the uninterrupted run",
            partial(stop_in_training, lab, signal.SIGTERM, launched),
        )
    yield Fault("ddp_notebook, 2 processes", "weights and results come back", lambda: train_in_notebook(lab))
    yield Fault("SIGTERM, CSVLogger", "the curves of the uninterrupted run", lambda: continue_csv(lab))
    yield Fault("SIGTERM, W&B offline", "the same run of W&B is continued", lambda: continue_wandb(lab))
    yield Fault(
        "SIGKILL between the two renames of an export",
        "the old folder is put back; the same command says that the run is finished",
        lambda: kill_between_renames(lab),
    )


def keep_run(lab: Lab, options: tuple[str, ...]) -> str:
    run = lab.train(*options)
    AutoModelForMaskedLM.from_pretrained(run / "hf")
    figures = json.loads((run / "metrics.json").read_text())
    start, best = figures["start/val/perplexity"], figures["val/perplexity"]
    assert best < start
    assert (run / "checkpoints" / "best.ckpt").is_file()
    assert not find_orphans(run), f"left behind: {find_orphans(run)}"
    return f"val/perplexity {start:.2f} -> {best:.2f}; best.ckpt, hf and metrics.json are there"


def train_in_notebook(lab: Lab) -> str:
    args = ["ddp_notebook", lab.get_model(), str(lab.folder / "cache"), str(lab.folder / "notebook")]
    command = [sys.executable, "-m", "tests.launched", *args]
    environment = os.environ | {"TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=TIMEOUT)
    assert result.returncode == 0, result.stderr[-300:]
    trained, validated, untrained = json.loads(result.stdout.splitlines()[-1])
    assert abs(validated - trained) < 1e-6 * trained < untrained - 10, (trained, validated, untrained)
    return f"perplexity {trained:.2f} in the processes, {validated:.2f} afterwards, {untrained:.2f} untrained"


def continue_csv(lab: Lab) -> str:
    options = (*SHORT, *CSV)
    happened = stop_in_training(lab, signal.SIGTERM, options)
    ours, theirs = (
        read_steps(folder / "metrics.csv") for folder in (lab.name_run("stopped-SIGTERM", options), lab.train(*options))
    )
    assert ours == theirs, f"rows of the steps {ours}, not {theirs}"
    return f"{happened}; {len(ours)} rows of training"


def continue_wandb(lab: Lab) -> str:
    if importlib.util.find_spec("wandb") is None:
        raise Skipped("wandb is not installed")
    options = (*SHORT, *WANDB)
    happened = stop_in_training(lab, signal.SIGTERM, options)
    run = lab.name_run("stopped-SIGTERM", options)
    (entry,) = json.loads((run / "loggers.json").read_text())
    names = [path.name for path in (run / "wandb").glob("offline-run-*")]
    assert len(names) == 2
    assert all(name.endswith(f"-{entry['version']}") for name in names), names
    return f"{happened}; both parts are run {entry['version']}"


def kill_between_renames(lab: Lab) -> str:
    whole, run = lab.train(*SHORT), lab.folder / "renamed"
    lab.start(run, *lab.args(*SHORT)).end(0)
    (run / "hf").rename(run / ".hf.old")
    (run / ".hf.unfinished").mkdir()
    log = lab.start(run, *lab.args(*SHORT)).end(0)
    assert "is finished; give another --run_dir" in log, log[-300:]
    compare_runs(run, whole)
    return "said so; hf is there, all is equal"
