"""Models along a training, which is otherwise the same."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForMaskedLM

from lit_mlm.errors import InputError
from tests.conftest import imdb_args
from tests.resumed_runs import KEEP, NO_DIFFERENCES, find_differences


def test_models_of_a_run_and_of_one_that_was_killed(
    tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path]
) -> None:
    """Also where it was killed between the checkpoint of a step and its model."""
    args: list[Any] = [*imdb_args(tiny_bert, cache_dir), *KEEP]
    folder = run_cli("fit", *args, "--run_dir", "plain")
    args += ["--trainer.callbacks+", "WriteModels", "--trainer.callbacks.number", 4]
    run_cli("fit", *args, "--run_dir", "whole")
    assert find_differences(folder / "plain", folder / "whole") == NO_DIFFERENCES
    models = folder / "whole" / "models"
    assert {path.name for path in models.iterdir()} == {"step_3", "step_6", "step_9"}
    weights = [AutoModelForMaskedLM.from_pretrained(path).state_dict() for path in sorted(models.iterdir())]
    assert not torch.equal(*(part["cls.predictions.bias"] for part in weights[:2]))

    shutil.copytree(folder / "whole-kept" / "06-before", folder / "run")
    run_cli("fit", *args, "--run_dir", "run")
    assert find_differences(folder / "plain", folder / "run") == NO_DIFFERENCES
    assert {path.name for path in (folder / "run" / "models").iterdir()} == {"step_6", "step_9"}
    again = AutoModelForMaskedLM.from_pretrained(folder / "run" / "models" / "step_6").state_dict()
    assert all(torch.equal(weight, again[name]) for name, weight in weights[1].items())
    with pytest.raises(InputError, match=r"WriteModels writes checkpoints, but trainer\.enable_checkpointing is off"):
        run_cli("fit", *args, "--trainer.enable_checkpointing", "false", "--run_dir", "none")
