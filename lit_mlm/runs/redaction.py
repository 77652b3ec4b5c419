"""Removes from a config what must not leave the machine: folders of the machine, and secrets."""

import re
from pathlib import PurePath, PureWindowsPath
from typing import Any

SECRET_NAME = re.compile(r"(^|_)(token|password|passwd|secret|credentials?|api_?key|access_?key)$", re.IGNORECASE)
SECRET = re.compile(r"\b(hf|sk|ghp|github_pat|glpat|xox[abp]|AKIA)[-_]?[A-Za-z0-9_]{16,}")
USER_INFO = re.compile(r"(?<=://)[^/@\s]+@")


def redact(config: Any, name: str = "") -> Any:
    """Returns a nested config without secrets; of an absolute path only the last part is left, None is left out.

    >>> redact({"data": {"train_files": ["/home/ada/texts/*.txt"], "subset": None}, "hub_token": "abc"})
    {'data': {'train_files': ['.../*.txt']}}
    """
    if isinstance(config, dict):
        shown = {key: value for key, value in config.items() if value is not None and not _is_secret(str(key), value)}
        return {key: redact(value, str(key)) for key, value in shown.items()}
    if isinstance(config, list | tuple):
        return [redact(value, name) for value in config]
    return _redact_text(config) if isinstance(config, str) else config


def _is_secret(name: str, value: Any) -> bool:
    return SECRET_NAME.search(name) is not None and isinstance(value, str)


def _redact_text(text: str) -> str:
    text = USER_INFO.sub("", SECRET.sub("...", text))
    path = text.removeprefix("file://")
    if path.startswith(("/", "~")) or ".." in PurePath(path).parts:
        return f".../{PurePath(path).name}"
    return f".../{PureWindowsPath(path).name}" if PureWindowsPath(path).is_absolute() else text
