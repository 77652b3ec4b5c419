"""What each logger gets."""

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from lightning.pytorch.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger, WandbLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from lit_mlm.runs.media import begin_hparams, end_hparams, log_curve, log_picture, log_text

PIXELS = np.zeros((4, 6, 3), dtype=np.uint8)


def make_logger(kind: Any) -> Any:
    """A logger of a service that is not asked."""
    logger = Mock(spec=kind)
    logger.run_id, logger.experiment = "id", Mock()
    return logger


def test_services_get_text_and_pictures(tmp_path: Path) -> None:
    wandb, mlflow = make_logger(WandbLogger), make_logger(MLFlowLogger)
    loggers = [wandb, mlflow, CSVLogger(tmp_path)]
    log_text(loggers, "val/fillings", "a table", 7)
    log_picture(loggers, "val/tags", PIXELS, 7)
    log_curve(
        loggers, "val/PER", (np.ones(3, dtype=np.int64), np.ones(3, dtype=np.int64), 4), (np.ones(3), np.ones(3)), 7
    )
    begin_hparams(loggers, ["best/val/f1"])
    end_hparams(loggers)
    wandb.log_text.assert_called_once_with("val/fillings", ["text"], [["a table"]], step=7)
    wandb.log_image.assert_called_once_with("val/tags", [PIXELS], step=7)
    mlflow.experiment.log_text.assert_called_once_with("id", "a table", "val/fillings/00000007.md")
    mlflow.experiment.log_image.assert_called_once_with("id", PIXELS, "val/tags/00000007.png")


def test_options_have_no_secrets(tmp_path: Path) -> None:
    """An events file is shared as easily as the config in it, which has none either."""
    logger = TensorBoardLogger(tmp_path, "", "")
    source = "https://ada:pass1@host/a.txt"
    logger.hparams.update({"hub_token": "hunter2", "url": source, "files": [source], "folder": "/home/ada/texts"})
    begin_hparams([logger], [])
    logger.save()
    content = b"".join(path.read_bytes() for path in tmp_path.glob("events.*"))
    assert b"https://host/a.txt" in content
    for secret in (b"hunter2", b"pass1", b"/home/ada"):
        assert secret not in content


def test_options_of_a_run_are_in_its_events(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, "", "")
    logger.hparams.update({"lr": 0.1, "compile": True, "model": None, "config": {"layers": [1, 2]}, "_path": "x"})
    begin_hparams([logger], ["best/val/f1"])
    end_hparams([logger])
    logger.save()
    events = EventAccumulator(str(tmp_path))
    events.Reload()

    def read(name: str) -> Any:
        content = events.SummaryMetadata(f"_hparams_/{name}").plugin_data.content
        return getattr(HParamsPluginData.FromString(content), name)

    assert [(info.name, info.type) for info in read("experiment").hparam_infos] == [
        ("lr", 3),
        ("compile", 2),
        ("model", 0),
        ("config/layers", 1),
    ]
    values = read("session_start_info").hparams
    assert values["lr"].number_value == pytest.approx(0.1)
    assert values["compile"].bool_value is True
    assert values["config/layers"].string_value == "[1, 2]"
    assert set(values) == {"lr", "compile", "config/layers"}
    assert read("session_end_info").status == 1
