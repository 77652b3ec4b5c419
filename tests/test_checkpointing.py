"""What reaches the disk."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from lit_mlm.checkpointing import RECORD, read_checkpoint, write_json, write_lines
from lit_mlm.errors import InputError


def test_infinities_become_null(tmp_path: Path) -> None:
    write_json(tmp_path / "a" / "metrics.json", {"val/perplexity": math.inf, "nan": math.nan, "x": 1.5, "name": "y"})
    content = json.loads((tmp_path / "a" / "metrics.json").read_text())
    assert content == {"val/perplexity": None, "nan": None, "x": 1.5, "name": "y"}


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_lines_that_fail_midway_leave_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    write_lines(path, ["caf\u00e9", "\ud800"])
    assert path.read_bytes() == b"caf\xc3\xa9\n\\ud800\n"
    with pytest.raises(ZeroDivisionError):
        write_lines(path, (str(1 // i) for i in (1, 0)))
    assert path.read_text().endswith("\\ud800\n")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"auto_class": "pipeline"}, "auto_class"),
        ({"auto_class": "AutoModel.from_config"}, "auto_class"),
        ({"config": "bert", "results": []}, "config, results"),
        ({"tokenizer": {"tokenizer.json": "text"}}, "tokenizer"),
        ({"tokenizer": {1: torch.zeros(1)}}, "tokenizer"),
    ],
)
def test_records_of_another_make_are_refused(changed: dict[str, Any], wrong: str, tmp_path: Path) -> None:
    good: dict[str, Any] = {"auto_class": "AutoModelForMaskedLM"}
    good |= {name: {} for name in ("config", "options", "tokenizer", "results")}
    path = tmp_path / "a.ckpt"
    torch.save({RECORD: good}, path)
    assert read_checkpoint(path)[RECORD] == good
    for record in (good | changed, list(good)):
        torch.save({RECORD: record}, path)
        expected = wrong if isinstance(record, dict) else "auto_class, config, options, tokenizer, results"
        with pytest.raises(
            InputError, match=f"{path} is not a checkpoint of lit-mlm: its record has a wrong {expected}$"
        ):
            read_checkpoint(path)
