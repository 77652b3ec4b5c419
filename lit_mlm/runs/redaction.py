"""Removes from a config what must not leave the machine: folders of the machine, and secrets."""

import re
from pathlib import PurePath, PureWindowsPath
from typing import Any

SECRET_NAME = re.compile(
    r"(^|[_-])(token|password|passwd|passphrase|pwd|secret|credentials?|authorization|(api|access|secret|private)[_-]?key)$",
    re.IGNORECASE,
)
SECRET = re.compile(
    r"\b(hf_\w{16,}|(gh[oprsu]|github_pat)_\w{16,}|sk-((proj|ant|svcacct|admin)-[\w-]{16,}|[A-Za-z0-9]{20,})"
    r"|(glpat|xox[a-z])-[\w-]{16,}|AKIA[A-Z0-9]{16})"
)
USER_INFO = re.compile(r"(?<=://)[^/@\s]+@")
QUERY = re.compile(r"(?<=[?&])([^=&\s]+)=[^&\s]+")
INNER_PATH = re.compile(r"(?<=[=,;:{(\[\s'\"])(?:~[^/\s]*|/{2,})?/(?!/)[^\s,;{}()\[\]'\"]+")
"""An absolute path within a text, such as that of ``sqlite:////home/ada/a.db``, but not what follows a host's name."""


def redact(config: Any, name: str = "") -> Any:
    """Returns a nested config without secrets; of an absolute path only the last part is left, None is left out.

    >>> redact({"data": {"train_files": ["/home/ada/texts/*.txt"], "subset": None}, "hub_token": "abc"})
    {'data': {'train_files': ['.../*.txt']}}
    """
    if isinstance(config, dict):
        shown = {key: value for key, value in config.items() if value is not None and not _is_secret(str(key), value)}
        return {_redact_key(key): redact(value, str(key)) for key, value in shown.items()}
    if isinstance(config, list | tuple):
        return [redact(value, name) for value in config]
    return _redact_text(config) if isinstance(config, str) else config


def _redact_key(key: Any) -> Any:
    return _redact_text(key) if isinstance(key, str) else key


def _is_secret(name: str, value: Any = "") -> bool:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return SECRET_NAME.search(words) is not None and isinstance(value, str)


def _redact_text(text: str) -> str:
    text = USER_INFO.sub("", SECRET.sub("...", text))
    text = QUERY.sub(lambda match: f"{match[1]}=..." if _is_secret(match[1]) else match[0], text)
    path = text.removeprefix("file://")
    if path.startswith(("/", "~")) or ".." in PurePath(path).parts:
        return f".../{PurePath(path).name}"
    if PureWindowsPath(path).is_absolute():
        return f".../{PureWindowsPath(path).name}"
    return INNER_PATH.sub(lambda match: f".../{PurePath(match[0]).name}", text)
