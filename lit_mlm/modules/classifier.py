"""What tasks with labels share: labels of the net and of the data, class weights, checked counts.

Shape: L labels.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from lit_mlm.batch import LabelledSource, TaggedSource
from lit_mlm.modules.labels import list_weights, match_labels
from lit_mlm.modules.net import NetModule
from lit_mlm.nets import pretrained


class ClassifierModule(NetModule):
    """Matches the labels of a net with those of the data, by name; tasks inherit from `TransformerModule` too."""

    head: ClassVar[str]
    """End of the names of pretrained classes whose labels are those of the task."""

    _columns: list[int] | None = None
    _weights: list[float] | None = None

    @property
    @abstractmethod
    def source(self) -> TaggedSource | LabelledSource:
        """The data module; refuses one of another task."""

    @property
    @abstractmethod
    def inference_options(self) -> dict[str, Any]:
        """The options that make inference agree with the evaluation, as plain data, for the net's config."""

    @property
    def label_names(self) -> list[str] | None:
        """The labels of the checkpoint, net or pretrained classifier, by id; None if there are none."""
        if self._record is not None:
            return pretrained.get_labels(pretrained.restore_config(self._record["config"]))
        if self.net is not None:
            return pretrained.get_labels(self.net.config)
        if self.hparams["model"] is None:
            return None
        config = self._make_config()
        is_classifier = any(name.endswith(self.head) for name in config.architectures or [])
        return pretrained.get_labels(config) if is_classifier else None

    @property
    def new_labels(self) -> list[str] | None:
        """The data's labels, unless the net has the same."""
        labels: list[str] | None = getattr(self._data_module, "labels", None)
        return labels if labels is not None and set(labels) != set(self.label_names or []) else None

    def order_columns(self, logits: Tensor) -> Tensor:
        """Returns the net's logits in the order of the data's labels, shape (..., L)."""
        return logits if self._columns is None else logits[..., self._columns]

    @property
    def weights(self) -> Tensor | None:
        """The class weights in float32, shape (L,); None without any."""
        return None if self._weights is None else torch.tensor(self._weights, device=self.device)

    def _check_data(self) -> None:
        """Also checks labels and class weights, and maps the net's labels to the data's."""
        super()._check_data()
        if self._data_module is None:
            return
        labels, names = self.source.labels, self.label_names or []
        self._columns = match_labels(names, labels, "net" if self._record is None else "checkpoint")
        self._weights = list_weights(self.hparams["class_weights"], labels)
        config: Any = self._net.config
        pretrained.set_labels(config, names)  # keeps a checkpoint's order, that of its weights
        config.lit_mlm = self.inference_options


def add_metadata(
    metrics: Mapping[str, Any], metadata: Mapping[str, Any], split: str, names: Sequence[str]
) -> dict[str, Any]:
    """Adds the metadata of a split to its metrics; refuses metrics with other numbers of what was scored.

    Args:
        metrics: of the whole split.
        metadata: of `describe_split`.
        split: for messages.
        names: of numbers that both may have.
    """
    for name in names:
        if name in metadata and metadata[name] != metrics[name]:
            raise RuntimeError(f"{split}/{name}: {metadata[name]} in the data, but {metrics[name]} were scored")
    return {**metrics, **metadata}
