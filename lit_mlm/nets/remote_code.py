"""Code that a model brings along: run only where the user asks for it, and of one commit."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PretrainedConfig
from transformers.dynamic_module_utils import get_class_from_dynamic_module

from lit_mlm.errors import InputError
from lit_mlm.nets.loading import loading

COMMIT = re.compile(r"[0-9a-f]{40}")
"""The full id of a commit: unlike a branch, a tag or its first digits it can't come to mean other code."""


def load_code(auto_class: Any, name: str, revision: str | None) -> None:
    """Runs the code that a model brings along, and makes its classes known to `transformers`.

    From then on all that loads, builds or restores this model takes them, as it takes those of `transformers`. Code of
    a tokenizer is not run. A model that brings no code is left alone.

    Args:
        auto_class: a `transformers` class such as `AutoModelForMaskedLM`.
        name: Hub id or folder.
        revision: of a Hub id: a commit.

    Raises:
        InputError: if the code is not of one commit, or can't be loaded.
    """
    if not Path(name).is_dir() and not COMMIT.fullmatch(revision or ""):
        raise InputError(
            f"to run the code of {name} give its commit too, all 40 digits of it, as revision (--model.revision "
            f"COMMIT; for fill and tag --revision COMMIT), got {revision}"
        )
    with loading(name, revision):
        fields, _ = PretrainedConfig.get_config_dict(name, revision=revision)
        sources = fields.get("auto_map") or {}
        for repository in _find_repositories(sources):
            if repository != name:
                raise InputError(
                    f"the code of {name} lies in {repository}, whose commit {name} does not say, so it can't be "
                    "trusted; download both into a folder, and take the name of the other out of its auto_map"
                )
        if "AutoConfig" in sources:
            config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=True)
            AutoConfig.register(config.model_type, type(config), exist_ok=True)
        if auto_class.__name__ in sources:
            config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
            net_class: Any = get_class_from_dynamic_module(sources[auto_class.__name__], name, revision=revision)
            net_class.register_for_auto_class(auto_class.__name__)  # so that saving a net copies its code
            auto_class.register(type(config), net_class, exist_ok=True)


def refuse_kernels(config: PretrainedConfig, options: dict[str, Any]) -> None:
    """Refuses an attention that `transformers` would fetch from the Hub as code.

    Args:
        config: of a net.
        options: for `from_pretrained`, which hold over the config's.

    Raises:
        InputError: names it.
    """
    for name in (options.get("attn_implementation"), getattr(config, "_attn_implementation", None)):
        if "/" in str(name):
            raise InputError(f"attn_implementation {name} is code on the Hub, which is not run; take sdpa or eager")


def _find_repositories(sources: dict[str, Any]) -> Iterator[str]:
    """Those that the entries of an ``auto_map`` name, as ``user/name--file.Class``."""
    for entry in sources.values():
        for path in entry if isinstance(entry, list) else [entry]:
            if "--" in str(path):
                yield str(path).partition("--")[0]
