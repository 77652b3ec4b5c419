"""Failures of the Hub: which of them pass, and how long to wait."""

import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, TypeVar

from huggingface_hub import errors
from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]  # imported there on first use

from lit_mlm.errors import shorten
from lit_mlm.upstream import get_http_error

T = TypeVar("T")

ATTEMPTS = 4
LONGEST_WAIT = 120
"""Seconds that the Hub may ask to wait before the next attempt."""

TRANSIENT = (408, 412, 429, 500, 502, 503, 504)
"""Statuses after which the same requests may succeed; 412: another commit came first."""


def retry(request: Callable[[], T], *kinds: type[Exception]) -> T:
    """Calls a function that makes requests, and repeats it after failures that may pass.

    Args:
        request: the function.
        kinds: of errors after which it may be called again; the last one is raised.
    """
    for attempt in count(1):
        try:
            return request()
        except kinds as error:
            wait = find_wait(error, attempt)
            if wait is None or attempt == ATTEMPTS:
                raise
        time.sleep(wait)
    raise RuntimeError("unreachable")


def find_wait(failure: Exception, attempt: int) -> float | None:
    """The seconds to wait before the next attempt; None if it would fail as well, or not soon succeed."""
    response = find_response(failure)
    if response is None:
        return 2.0**attempt if is_lost(failure) else None
    if response.status_code not in TRANSIENT:
        return None
    limit = parse_ratelimit_headers(response.headers)
    asked = response.headers.get("Retry-After", "")
    wait = int(asked) if asked.isdigit() else limit.reset_in_seconds if limit and not limit.remaining else 2**attempt
    return wait if wait <= LONGEST_WAIT else None


def find_response(failure: BaseException) -> Any:
    """The Hub's answer; None without one."""
    return next((error.response for error in follow(failure) if isinstance(error, errors.HfHubHTTPError)), None)


def is_lost(failure: BaseException) -> bool:
    """Whether the connection failed."""
    return any(isinstance(error, get_http_error()) for error in follow(failure))


def describe(failure: BaseException) -> str | None:
    """Says that the Hub is not there at present; None for other failures."""
    response = find_response(failure)
    if response is not None:
        is_transient = response.status_code in TRANSIENT
        return f"the Hub answers {response.status_code}; repeat the command later" if is_transient else None
    if not is_lost(failure):
        return None
    reasons = [error for error in follow(failure) if isinstance(error, get_http_error())]
    return f"the Hub can't be reached ({shorten(reasons[-1])}); repeat the command later"


def follow(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an error and those before it, whether they are its causes or were being handled."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
