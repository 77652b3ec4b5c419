"""A page on this machine that fills masks or tags words with a model, by the standard library's server."""

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from threading import Lock
from typing import Any, NamedTuple

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lit_mlm.errors import InputError
from lit_mlm.inference.fill import fill_masks
from lit_mlm.inference.fill_jointly import fill_jointly
from lit_mlm.inference.masked_texts import BadTextError
from lit_mlm.inference.tag import tag_texts

MAX_CHARACTERS = 100_000
"""Of a text; more is refused, as the page waits for the answer."""

MAX_SKIPPED = 2**26
"""Bytes of a text that is too long."""

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "connect-src 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


class Demo(NamedTuple):
    """What a page shows: the name of a model, what it does, texts to try, and the function that runs it on a text."""

    name: str
    task: str
    examples: list[str]
    run: Callable[[str], dict[str, Any]]


def make_fill_demo(
    net: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str, examples: list[str], top_k: int = 5
) -> Demo:
    """Makes the demo of a masked language model: candidates for each mask, and several masks together."""

    def run(text: str) -> dict[str, Any]:
        (masks,) = fill_masks(net, tokenizer, [text], top_k)
        if len(masks) == 1:
            return {"masks": masks, "fillings": []}
        try:
            return {"masks": masks, "fillings": fill_jointly(net, tokenizer, [text], top_k)[0]}
        except BadTextError as error:  # the masks are too far apart
            return {"masks": masks, "fillings": [], "error": str(error)}

    return Demo(name, "Fills each [MASK] of a text.", examples, run)


def make_tag_demo(net: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str, examples: list[str]) -> Demo:
    """Makes the demo of a token classifier: the entities of a text."""
    return Demo(
        name, "Tags the words of a text.", examples, lambda text: {"entities": tag_texts(net, tokenizer, [text])[0]}
    )


class DemoServer(ThreadingHTTPServer):
    """Serves a demo's page on the loopback interface, to this machine alone.

    Other sites can neither read it under a name of theirs (DNS rebinding), as the host must be an address of this
    machine, nor post to it, as a form can't send JSON.

    Args:
        demo: to serve.
        port: 0 takes a free one.
    """

    daemon_threads = False  # closing waits for them: one that runs on while the process ends may abort it

    def __init__(self, demo: Demo, port: int = 0) -> None:
        self.demo, self.page = demo, files("lit_mlm.inference").joinpath("demo.html").read_bytes()
        self.lock = Lock()  # of the net, which is run in eval mode and put back
        super().__init__(("127.0.0.1", port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: DemoServer
    timeout = 2  # seconds for a request that a browser opens ahead and does not send

    def do_GET(self) -> None:
        if not self._is_local():
            self._answer(403, {"error": "the page is for this machine alone"})
        elif self.path == "/":
            self._send(200, "text/html; charset=utf-8", self.server.page)
        elif self.path == "/model":
            demo = self.server.demo
            self._answer(200, {"name": demo.name, "task": demo.task, "examples": demo.examples})
        else:
            self._answer(404, {"error": "there is only / here"})

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not self._is_local() or self.headers.get_content_type() != "application/json":
            self._answer(403, {"error": "only the page itself may post"})
        elif not length.isdecimal() or int(length) > 6 * MAX_CHARACTERS:
            self.close_connection = True
            if length.isdecimal():  # or else the answer may be lost, as the connection is reset
                self._skip(min(int(length), MAX_SKIPPED))
            self._answer(413, {"error": f"a text may have {MAX_CHARACTERS:,} characters"})
        else:
            self._answer(*self._run(self.rfile.read(int(length))))

    def _run(self, body: bytes) -> tuple[int, dict[str, Any]]:
        try:
            text = json.loads(body)["text"]
            if not isinstance(text, str) or len(text) > MAX_CHARACTERS:
                raise InputError(f"a text may have {MAX_CHARACTERS:,} characters")
            with self.server.lock:
                return 200, self.server.demo.run(text)
        except InputError as error:
            return 200, {"error": str(error)}
        except (ValueError, KeyError, TypeError, RecursionError):
            return 400, {"error": 'the body must be {"text": "..."}'}

    def _skip(self, length: int) -> None:
        while length > 0 and (found := self.rfile.read(min(length, 2**16))):
            length -= len(found)

    def _is_local(self) -> bool:
        host, _, port = self.headers.get("Host", "").partition(":")
        return host in ("127.0.0.1", "localhost") and port == str(self.connection.getsockname()[1])

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(content).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in (HEADERS | {"Content-Type": kind, "Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Prints nothing for requests."""
