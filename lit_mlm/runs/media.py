"""Text, pictures, curves and final figures for the loggers that take them; called on the first rank."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from lit_mlm.runs.redaction import redact
from lit_mlm.text.arrays import FloatArray, IntArray

MEDIA_LOGGERS = (TensorBoardLogger, WandbLogger, MLFlowLogger)
"""The loggers that take text and pictures."""

SKIPPED = {
    *("allow_pickle", "trust_remote_code", "revision", "attn_implementation", "cache_dir", "num_workers", "num_proc"),
    *("gradient_checkpointing", "skip_bad", "encoding"),
}
"""Options that change nothing of a result; TensorBoard lists the others in the order of their names."""

TYPES: dict[type, Any] = {
    bool: "DATA_TYPE_BOOL",
    int: "DATA_TYPE_FLOAT64",
    float: "DATA_TYPE_FLOAT64",
    str: "DATA_TYPE_STRING",
    type(None): "DATA_TYPE_UNSET",
}
FIELDS = {bool: "bool_value", int: "number_value", float: "number_value", str: "string_value"}
"""How TensorBoard's hparams plugin names types, and where it keeps their values."""


def log_text(loggers: Sequence[Logger], name: str, text: str, step: int) -> None:
    """Logs Markdown: to TensorBoard as text, to Weights & Biases as a table, to MLflow as a file of the run."""
    for logger in loggers:
        run: Any = getattr(logger, "experiment", None)
        if isinstance(logger, TensorBoardLogger):
            run.add_text(name, text, step)
        elif isinstance(logger, WandbLogger):
            logger.log_text(name, ["text"], [[text]], step=step)
        elif isinstance(logger, MLFlowLogger):
            run.log_text(logger.run_id, text, f"{name}/{step:08}.md")


def log_picture(loggers: Sequence[Logger], name: str, pixels: npt.NDArray[np.uint8], step: int) -> None:
    """Logs a picture of RGB pixels, shape (height, width, 3), to the loggers of `log_text`."""
    for logger in loggers:
        run: Any = getattr(logger, "experiment", None)
        if isinstance(logger, TensorBoardLogger):
            run.add_image(name, pixels, step, dataformats="HWC")
        elif isinstance(logger, WandbLogger):
            logger.log_image(name, [pixels], step=step)
        elif isinstance(logger, MLFlowLogger):
            run.log_image(logger.run_id, pixels, f"{name}/{step:08}.png")


def log_curve(
    loggers: Sequence[Logger],
    name: str,
    counts: tuple[IntArray, IntArray, int],
    curve: tuple[FloatArray, FloatArray],
    step: int,
) -> None:
    """Logs a precision-recall curve to TensorBoard, the one logger that has such curves.

    Args:
        loggers: of the run.
        name: of the curve.
        counts: right and wrong predictions that reach each threshold, each (T,), and the number of gold ones.
        curve: recall and precision, each (T,).
        step: of the evaluation.
    """
    (right, wrong, num_gold), (recall, precision) = counts, curve
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            run: Any = logger.experiment
            # Of entities there are no true negatives.
            parts = right, wrong, np.zeros_like(right), num_gold - right, precision, recall
            run.add_pr_curve_raw(name, *parts, global_step=step, num_thresholds=len(right))


def begin_hparams(loggers: Sequence[Logger], metrics: Sequence[str]) -> None:
    """Shows the options that a TensorBoard logger has got in its hparams tab, beside the last values of scalars.

    TensorBoard shows only options that the first run of a folder has, so those without a value are named too. It keeps
    the first summary of a run, so a resumed one may write it again.

    Args:
        loggers: of the run.
        metrics: names of the scalars.
    """
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            from tensorboard.plugins.hparams.api_pb2 import Experiment, HParamInfo, MetricInfo, MetricName
            from tensorboard.plugins.hparams.plugin_data_pb2 import SessionStartInfo

            options = dict(_flatten(dict(logger.hparams)))
            infos = [HParamInfo(name=name, type=TYPES[type(value)]) for name, value in options.items()]
            shown = [MetricInfo(name=MetricName(tag=name)) for name in metrics]
            # Runs of the same group would be averaged.
            start = SessionStartInfo(group_name=str(Path(logger.log_dir)), start_time_secs=time.time())
            for name, value in options.items():
                if value is not None:
                    setattr(start.hparams[name], FIELDS[type(value)], value)
            _write(logger, "experiment", Experiment(hparam_infos=infos, metric_infos=shown))
            _write(logger, "session_start_info", start)


def end_hparams(loggers: Sequence[Logger]) -> None:
    """Shows in TensorBoard's hparams tab that the run is complete."""
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            from tensorboard.plugins.hparams.api_pb2 import STATUS_SUCCESS
            from tensorboard.plugins.hparams.plugin_data_pb2 import SessionEndInfo

            _write(logger, "session_end_info", SessionEndInfo(status=STATUS_SUCCESS, end_time_secs=time.time()))


def _write(logger: TensorBoardLogger, name: str, content: Any) -> None:
    """Writes a summary of TensorBoard's hparams plugin, whose own functions need tensorflow."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams.metadata import NULL_TENSOR, create_summary_metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    data: Any = HParamsPluginData(**{name: content})
    value = Summary.Value(tag=f"_hparams_/{name}", metadata=create_summary_metadata(data), tensor=NULL_TENSOR)
    run: Any = logger.experiment
    run.file_writer.add_summary(Summary(value=[value]))


def _flatten(options: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields names and plain values of nested options, without secrets; lists become text."""
    for key, value in options.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}/")
        elif f"{prefix}{key}" not in SKIPPED and not str(key).startswith("_"):  # the CLI's own
            plain = value if type(value) in TYPES else str(redact(value))
            yield f"{prefix}{key}", redact({str(key): plain}).get(str(key))
