"""Hostile inputs: each would write a file, the marker, if something in it were run, or a file outside its folder."""

import io
import json
import os
import pickle
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lit_mlm.runs.checkpoints import RECORD

EVIL = "evil_{}"
"""The module that `write_module` writes, one for each test: Python imports a name once."""

YAML = {
    "data": "data: {class_path: EVIL.Data}",
    "data by its name alone": "data: EVIL.Data",
    "model": "model: {class_path: EVIL.Model}",
    "callback": "trainer: {callbacks: [{class_path: EVIL.Bell}]}",
    "callback by its name alone": "trainer: {callbacks: [EVIL.Bell]}",
    "callback added": "trainer: {callbacks+: EVIL.Bell}",
    "logger": "trainer: {logger: EVIL.Bell}",
    "profiler": "trainer: {profiler: {class_path: EVIL.Bell}}",
    "plugin": "trainer: {plugins: [EVIL.Bell]}",
    "strategy": "trainer: {strategy: {class_path: EVIL.Bell}}",
    "accelerator": "trainer: {accelerator: {class_path: EVIL.Bell}}",
    "function": "trainer: {callbacks: [{class_path: LambdaCallback, init_args: {on_fit_start: EVIL.ring}}]}",
    "class in a dict": "model: {class_path: MaskedLM, init_args: {config: {model_type: {class_path: EVIL.Bell}}}}",
    "class beside the options": "data: {class_path: IMDBDataModule, dict_kwargs: {x: {class_path: EVIL.Bell}}}",
    "tag of Python": "data: !!python/object/apply:os.system ['touch MARKER']",
    "name of Python": "data: !!python/name:EVIL.ring",
    "file that is named": "data: inner.yaml",
    "config that is named": "config: inner.yaml",
    "anchor": "seed_everything: &a {class_path: EVIL.Data}\ndata: *a",
    "module of a package": (
        "trainer: {callbacks: [{class_path: LambdaCallback, init_args: {on_fit_start: torch.os.system}}]}"
    ),
    "function of a package": (
        "data: {class_path: IMDBDataModule, init_args: {masking: WordMasking, segmenter: torch.utils.collect_env.run}}"
    ),
    "function of a package in a callback": (
        "trainer: {callbacks: [{class_path: LambdaCallback, init_args: {on_fit_start: torch.hub.load}}]}"
    ),
    "method of a class that is admitted": (
        "trainer: {callbacks: [{class_path: LambdaCallback, "
        "init_args: {on_fit_start: lightning.pytorch.callbacks.EarlyStopping.setup}}]}"
    ),
    "class of a package that no option takes": (
        "trainer: {callbacks: [{class_path: torch.package.PackageImporter, init_args: {file_or_buffer: x}}]}"
    ),
    "class of a package in place of a function": (
        "data: {class_path: IMDBDataModule, init_args: {masking: WordMasking, segmenter: "
        "{class_path: torch.package.PackageImporter, init_args: {file_or_buffer: x}}}}"
    ),
    "trust": "trust: [EVIL]\ndata: EVIL.Data",
    "pickles": "weights_only: false",
    "code of a model": "model: {class_path: MaskedLM, init_args: {model: MODEL, trust_remote_code: true}}",
    "code of a model in a file that is named": "model: code.yaml",
}
"""Configs by what they try. `write_yaml` fills in the words in capitals."""


def write_module(folder: Path, name: str, marker: Path) -> None:
    """A module that writes the marker when it is imported."""
    (folder / f"{name}.py").write_text(
        f"from pathlib import Path\nPath({str(marker)!r}).touch()\n"
        "from lightning.pytorch import Callback\nfrom lit_mlm.data.sets.imdb import IMDBDataModule\n"
        "from lit_mlm.modules.masked_lm import MaskedLM\n"
        "class Bell(Callback): pass\nclass Data(IMDBDataModule): pass\nclass Model(MaskedLM): pass\n"
        "def ring(*args): pass\n"
    )


def write_yaml(folder: Path, case: str, module: str, model: str, marker: Path) -> Path:
    """The config of a case of `YAML`, with the files that it names."""
    words = {"EVIL": module, "MODEL": model, "MARKER": str(marker)}
    (folder / "inner.yaml").write_text(f"data: {{class_path: {module}.Data}}\nclass_path: {module}.Data")
    (folder / "code.yaml").write_text(f"class_path: MaskedLM\ninit_args: {{model: {model}, trust_remote_code: true}}")
    text = YAML[case]
    for word, value in words.items():
        text = text.replace(word, value)
    (folder / "hostile.yaml").write_text(text)
    return folder / "hostile.yaml"


class _Touch:
    """What a pickle makes of this is a call that writes the marker."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mknod, (str(self.marker),)


def write_code_checkpoint(path: Path, marker: Path, good: Path) -> None:
    """A good checkpoint with one more entry, which is code."""
    torch.save(torch.load(good, weights_only=True) | {"extra": _Touch(marker)}, path)


def write_pickle(path: Path, marker: Path, good: Path) -> None:
    """A plain pickle of code."""
    path.write_bytes(pickle.dumps(_Touch(marker)))


def write_old_checkpoint(path: Path, marker: Path, good: Path) -> None:
    """Code in the format that torch had before its zip."""
    torch.save({"extra": _Touch(marker)}, path, _use_new_zipfile_serialization=False)


def write_zip(path: Path, marker: Path, good: Path) -> None:
    """A zip whose file would lie beside its folder."""
    shutil.make_archive(str(path.with_suffix("")), "zip", good.parent, good.name)
    path.with_suffix(".zip").rename(path)


def write_tar(path: Path, marker: Path, good: Path) -> None:
    """A tar, torch's oldest format, whose file would be the marker."""
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo(f"../{marker.name}"), io.BytesIO())


def write_tokenizer_path(path: Path, marker: Path, good: Path) -> None:
    """A checkpoint whose tokenizer has a file outside its folder."""
    checkpoint = torch.load(good, weights_only=True)
    checkpoint[RECORD]["tokenizer"][f"../{marker.name}"] = torch.zeros(1, dtype=torch.uint8)
    checkpoint[RECORD]["tokenizer"][str(marker)] = torch.zeros(1, dtype=torch.uint8)
    torch.save(checkpoint, path)


def write_instantiator(path: Path, marker: Path, good: Path) -> None:
    """A checkpoint that says which function makes its module."""
    checkpoint = torch.load(good, weights_only=True)
    checkpoint["hyper_parameters"] |= {"_instantiator": "os.mknod", "_class_path": str(marker)}
    torch.save(checkpoint, path)


def write_record(path: Path, marker: Path, good: Path) -> None:
    """A checkpoint whose record names a class that is none of a net."""
    checkpoint = torch.load(good, weights_only=True)
    checkpoint[RECORD]["auto_class"] = "pipeline"
    torch.save(checkpoint, path)


CHECKPOINTS: dict[str, Callable[[Path, Path, Path], None]] = {
    function.__name__.removeprefix("write_"): function
    for function in (write_code_checkpoint, write_pickle, write_old_checkpoint, write_zip, write_tar, write_record)
}
"""Files that no command may load; each writes one at a path, given the marker and a good checkpoint."""


def add_code(model: Path, marker: Path, model_type: str = "wild") -> None:
    """Makes a folder's BERT one that brings its own code, which writes the marker when it is imported."""
    (model / "wild.py").write_text(
        f"from pathlib import Path\nPath({str(marker)!r}).touch()\n"
        "from transformers import BertConfig, BertForMaskedLM\n"
        f"class WildConfig(BertConfig):\n    model_type = {model_type!r}\n"
        "class WildForMaskedLM(BertForMaskedLM):\n    config_class = WildConfig\n"
    )
    config = json.loads((model / "config.json").read_text())
    config |= {"model_type": model_type}
    config["auto_map"] = {"AutoConfig": "wild.WildConfig", "AutoModelForMaskedLM": "wild.WildForMaskedLM"}
    (model / "config.json").write_text(json.dumps(config))


def pickle_weights(model: Path, marker: Path | None = None) -> None:
    """Turns a folder's weights into the pickle that older models have; with a marker it holds code too."""
    from safetensors.torch import load_file

    weights: dict[str, Any] = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    torch.save(weights | ({} if marker is None else {"extra": _Touch(marker)}), model / "pytorch_model.bin")
