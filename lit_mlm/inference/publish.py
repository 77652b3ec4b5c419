"""Publishes the folder of a model on the Hub."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, errors, get_token
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # imported there on first use
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
    validate_repo_id,
)
from huggingface_hub.utils import logging as hub_logging

from lit_mlm.errors import InputError, shorten, suggest
from lit_mlm.nets.hub import describe, find_response, follow, retry
from lit_mlm.runs.terminal import is_terminal
from lit_mlm.upstream import get_http_error

T = TypeVar("T")

WEIGHTS = re.compile(r"(pytorch_)?model(-\d+-of-\d+)?\.(safetensors|bin)(\.index\.json)?")
"""Files that `transformers` takes for weights; those of an earlier push could be loaded in place of the new ones."""

FAILURES = (OSError, RuntimeError, ValueError, get_http_error())
"""What `huggingface_hub` raises if a request fails."""

ADVICE = {
    401: "the token is not valid: run hf auth login, or set HF_TOKEN to a valid one",
    403: "the token may not write there: use one with write access (huggingface.co/settings/tokens), or another name",
    404: "there is no such repository, or the token may not see it: check the name and the token's access",
    409: "the name is taken, or another change is under way: repeat the command, or choose another name",
}
"""What to do after a status."""


class Published(NamedTuple):
    """Where a model is on the Hub; `revision` is the commit."""

    url: str
    revision: str


class UnreachableError(InputError):
    """The Hub does not answer, or can't at present."""


def check_repo_id(option: str, repo_id: str) -> None:
    """Refuses what is not the name of a repository and its owner, without a request.

    >>> check_repo_id("--push_to_hub", "imdb-bert")
    Traceback (most recent call last):
    lit_mlm.errors.InputError: --push_to_hub imdb-bert lacks its owner; give USER/imdb-bert
    """
    try:
        validate_repo_id(repo_id)
    except errors.HFValidationError as error:
        raise InputError(f"{option} must be USER/NAME: {shorten(error)}") from error
    if "/" not in repo_id:
        raise InputError(f"{option} {repo_id} lacks its owner; give USER/{repo_id}")


def check_access(repo_id: str) -> None:
    """Checks, by one request, that there is a token that may write to the repositories of an owner."""
    user = _request(repo_id, lambda api: api.whoami())
    owner, names = repo_id.partition("/")[0], [user["name"], *(group["name"] for group in user.get("orgs", []))]
    if owner.casefold() not in map(str.casefold, names):
        raise InputError(f"{repo_id}: the token may write to {', '.join(names)}, not to {owner}{suggest(owner, names)}")
    if user.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise InputError(f"{repo_id}: {ADVICE[403]}")


def push_folder(
    folder: Path, repo_id: str, message: str = "Upload model", private: bool = False, branch: str | None = None
) -> Published:
    """Pushes the folder of a model as one commit, so that the repository never has half of it.

    Creates repository and branch if they are missing. Files that the Hub has already are not sent again, so a push that
    was interrupted is completed by the next. The token is that of ``HF_TOKEN`` or of the login. Attempts that fail by
    the connection or the load of the Hub are repeated.

    Args:
        folder: as `export_checkpoint` writes it.
        repo_id: owner and name of the repository.
        message: of the commit.
        private: creates a private repository; refused for one that is public.
        branch: to push to; by default ``main``.
    """
    check_repo_id("repo_id", repo_id)
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} has no config.json: it is not the folder of a model")
    return _request(repo_id, lambda api: _commit(api, folder, repo_id, message, private, branch))


def _commit(api: HfApi, folder: Path, repo_id: str, message: str, private: bool, branch: str | None) -> Published:
    # `upload_folder` would make several commits of a large folder.
    api.create_repo(repo_id, private=private or None, exist_ok=True)
    if branch is not None:
        api.create_branch(repo_id, branch=branch, exist_ok=True)
    state = api.model_info(repo_id, revision=branch)
    if private and state.private is False:
        raise InputError(f"{repo_id} exists and is public: change that on its page, or leave private out")
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    there = [file.rfilename for file in state.siblings or []] if any(map(WEIGHTS.fullmatch, files)) else []
    operations: list[Any] = [
        CommitOperationDelete(name) for name in there if WEIGHTS.fullmatch(name) and name not in files
    ]
    operations += [CommitOperationAdd(name, path) for name, path in files.items()]
    done = api.create_commit(
        repo_id, operations, commit_message=message, revision=branch, parent_commit=state.sha, repo_type="model"
    )
    return Published(f"{api.endpoint}/{repo_id}{f'/tree/{branch}' if branch else ''}", done.oid)


def _request(repo_id: str, request: Callable[[HfApi], T]) -> T:
    """Makes requests with the user's token, and repeats them after failures that may pass."""
    try:
        with _quiet():
            return retry(lambda: _ask(request), *FAILURES)
    except InputError:
        raise
    except FAILURES as error:
        failure = error
    raise _explain(failure, repo_id)  # not from the failure, which may repeat the token


def _ask(request: Callable[[HfApi], T]) -> T:
    try:
        return request(HfApi(token=True))
    except JSONDecodeError as error:  # from `huggingface_hub`, which expects JSON of any answer
        raise get_http_error()("what answers is not the Hub") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences what is logged about failures, with addresses that let anyone write; bars are for terminals only."""
    verbosity, had_bars = hub_logging.get_verbosity(), not are_progress_bars_disabled()
    hub_logging.set_verbosity(logging.ERROR)
    if not is_terminal():
        disable_progress_bars()
    try:
        yield
    finally:
        hub_logging.set_verbosity(verbosity)
        if had_bars:
            enable_progress_bars()


def _explain(failure: Exception, repo_id: str) -> InputError:
    """The error of a failure, with what to do and without the token."""
    if isinstance(failure, errors.LocalTokenNotFoundError):
        return InputError(f"{repo_id}: there is no token for the Hub: run hf auth login, or set HF_TOKEN")
    if isinstance(failure, errors.OfflineModeIsEnabled):
        return UnreachableError(f"{repo_id}: HF_HUB_OFFLINE is set: unset it where the Hub can be reached")
    response, passing = find_response(failure), describe(failure)
    if passing is not None:
        return UnreachableError(_hide_token(f"{repo_id}: {passing}"))
    if response is None:
        return InputError(_hide_token(f"{repo_id}: nothing was pushed: {shorten(failure)}"))
    said = next(cause.server_message for cause in follow(failure) if isinstance(cause, errors.HfHubHTTPError))
    advice = ADVICE.get(response.status_code, "nothing was pushed")
    found = f"the Hub answers {response.status_code}: {shorten(Exception(said or advice))[:200]}"
    return InputError(_hide_token(f"{repo_id}: {advice} ({found})"))


def _hide_token(text: str) -> str:
    token = get_token()
    return text.replace(token, "TOKEN") if token else text
