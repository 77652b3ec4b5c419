"""Custom code of models: runs only on request, from a pinned commit."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PretrainedConfig
from transformers.dynamic_module_utils import get_class_from_dynamic_module

from lit_mlm.errors import InputError
from lit_mlm.nets.loading import loading
from lit_mlm.upstream import get_attention

COMMIT = re.compile(r"[0-9a-f]{40}")
"""A full commit hash: unlike a branch, tag or abbreviation it always means the same code."""


def load_code(auto_class: Any, name: str, revision: str | None) -> None:
    """Runs the custom code of a model, if it has any, and registers its classes with `transformers`.

    Everything that loads, builds or restores this model then uses them. Code of a tokenizer is not run.

    Args:
        auto_class: a `transformers` class such as `AutoModelForMaskedLM`.
        name: Hub id or folder.
        revision: of a Hub id: a full commit hash.
    """
    if not Path(name).is_dir() and not COMMIT.fullmatch(revision or ""):
        raise InputError(
            f"running the code of {name} needs a revision, all 40 digits of a commit (--model.revision COMMIT; fill "
            f"and tag: --revision COMMIT), got {revision}"
        )
    with loading(name, revision):
        fields, _ = PretrainedConfig.get_config_dict(name, revision=revision)
        sources = fields.get("auto_map") or {}
        for repository in _find_repositories(sources):
            if repository != name:
                raise InputError(
                    f"the code of {name} is in {repository}, at no fixed commit, so it can't be trusted; download both "
                    f"into one folder and remove {repository} from its auto_map"
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
    """Refuses attention implementations that `transformers` would download as code; options override the config."""
    for name in (options.get("attn_implementation"), get_attention(config)):
        if "/" in str(name):
            raise InputError(f"attn_implementation {name} is code on the Hub, which is not run; use sdpa or eager")


def _find_repositories(sources: dict[str, Any]) -> Iterator[str]:
    """Yields the repositories in an ``auto_map``, whose entries are ``user/name--file.Class``."""
    for entry in sources.values():
        for path in entry if isinstance(entry, list) else [entry]:
            if "--" in str(path):
                yield str(path).partition("--")[0]
