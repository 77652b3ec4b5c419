"""The demo page: its server by requests, the page in a browser."""

import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from lit_mlm.inference.demo import MAX_CHARACTERS, Demo, DemoServer, make_fill_demo, make_tag_demo
from lit_mlm.inference.fill import fill_masks, load_masked_lm
from lit_mlm.inference.fill_jointly import fill_jointly
from lit_mlm.inference.tag import load_tagger, tag_texts
from tests.browser import CHROMIUM, open_browser
from tests.inference.test_tag import save_tagger

TEXT = "The [MASK] was [MASK]."
JSON = {"Content-Type": "application/json"}


@contextmanager
def serve(demo: Demo) -> Iterator[int]:
    with DemoServer(demo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def ask(port: int, method: str, path: str, body: str = "", headers: dict[str, str] | None = None) -> tuple[int, Any]:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    is_json = answer.headers.get_content_type() == "application/json"
    return answer.status, json.loads(content) if is_json else content.decode()


def test_the_server_answers_what_the_library_finds(tiny_bert: str) -> None:
    net, tokenizer = load_masked_lm(tiny_bert)
    with serve(make_fill_demo(net, tokenizer, "a name", [TEXT])) as port:
        assert ask(port, "GET", "/model")[1] == {
            "name": "a name",
            "task": "Fills each [MASK] of a text.",
            "examples": [TEXT],
        }
        assert "<title>lit-mlm</title>" in ask(port, "GET", "/")[1]
        found = ask(port, "POST", "/run", json.dumps({"text": TEXT}), JSON)
        assert ask(port, "POST", "/run", '{"text": "no mask"}', JSON)[1]["error"].startswith("the text has no mask")
    assert found == (
        200,
        {"masks": fill_masks(net, tokenizer, [TEXT])[0], "fillings": fill_jointly(net, tokenizer, [TEXT])[0]},
    )


def test_masks_that_are_too_far_apart_are_filled_one_by_one(tiny_bert: str) -> None:
    net, tokenizer = load_masked_lm(tiny_bert)
    text = f"The [MASK] was {'good ' * 60}[MASK]."
    found = make_fill_demo(net, tokenizer, "a name", [text]).run(text)
    assert (found["masks"], found["fillings"]) == (fill_masks(net, tokenizer, [text])[0], [])
    assert found["error"].startswith("masks 1 to 2 span")


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("GET", "/secret", "", {}, 404),
        ("GET", "/", "", {"Host": "evil.example:80"}, 403),
        ("POST", "/run", "{}", {"Host": "evil.example", **JSON}, 403),
        ("POST", "/run", '{"text": "a"}', {"Content-Type": "text/plain"}, 403),  # what a form of another site may send
        ("POST", "/run", "[", JSON, 400),
        ("POST", "/run", "[1]", JSON, 400),
        ("POST", "/run", "[" * 100_000, JSON, 400),
        ("POST", "/run", "a" * (60 * MAX_CHARACTERS), JSON, 413),
    ],
)
def test_other_requests_are_refused(method: str, path: str, body: str, headers: dict[str, str], status: int) -> None:
    def run(text: str) -> dict[str, Any]:
        raise AssertionError(text)

    with serve(Demo("a", "b", ["c"], run)) as port:
        assert ask(port, method, path, body, headers)[0] == status


def test_a_long_text_is_refused() -> None:
    with serve(Demo("a", "b", ["c"], lambda text: {"length": len(text)})) as port:
        assert ask(port, "POST", "/run", json.dumps({"text": "a" * MAX_CHARACTERS}), JSON)[1] == {
            "length": MAX_CHARACTERS
        }
        assert (
            "100,000" in ask(port, "POST", "/run", json.dumps({"text": "a" * MAX_CHARACTERS + "b"}), JSON)[1]["error"]
        )


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_masks_are_filled_in_a_browser(tiny_bert: str, tmp_path: Path) -> None:
    net, tokenizer = load_masked_lm(tiny_bert)
    with (
        serve(make_fill_demo(net, tokenizer, "a name", [TEXT, "It was [MASK]."])) as port,
        open_browser(tmp_path) as page,
    ):
        page.open(f"http://127.0.0.1:{port}/")
        page.wait_for("document.querySelectorAll('#examples button').length == 2")
        assert page.evaluate("document.title") == "a name"
        page.click("#run")
        page.wait_for("document.querySelectorAll('.filling').length == 5")
        assert page.evaluate("document.querySelectorAll('.candidate').length") == 10
        fillings = page.evaluate("[...document.querySelectorAll('.filling')].map((row) => row.textContent)")
        for shown, filling in zip(fillings, fill_jointly(net, tokenizer, [TEXT])[0], strict=True):
            assert shown == f"{filling['text']}  {100 * math.exp(filling['score']):.2f} %"
        page.type("#text", "I left [MASK] <b>early</b>")
        page.click("#run")
        page.wait_for("document.querySelectorAll('.candidate').length == 5")
        ((candidates,),) = fill_masks(net, tokenizer, ["I left [MASK] <b>early</b>"])
        rows = page.evaluate("[...document.querySelectorAll('.candidate')].map((row) => row.textContent)")
        assert rows == [f"{found['token_str']}{100 * found['score']:.1f} %" for found in candidates]
        page.type("#text", "no mask <img src=x>")
        page.click("#run")
        page.wait_for("document.querySelector('.error')")
        assert "no mask <img src=x>" in page.evaluate("document.querySelector('.error').textContent")
        page.click("#examples button:nth-child(2)")
        page.wait_for("document.querySelectorAll('.candidate').length == 5")


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_entities_are_coloured_in_a_browser(tmp_path: Path) -> None:
    entities = [
        {"type": "PER", "score": 0.987, "text": "Ana Lopez", "start": 2, "end": 11},
        {"type": "<b>", "score": 0.5, "text": "Rome", "start": 15, "end": 19},
    ]
    demo = Demo("a name", "tags", ["\U0001f600 Ana Lopez in Rome"], lambda text: {"entities": entities})
    with serve(demo) as port, open_browser(tmp_path) as page:
        page.open(f"http://127.0.0.1:{port}/")
        page.wait_for("document.querySelector('#examples button')")
        page.click("#examples button")
        page.wait_for("document.querySelectorAll('mark').length == 2")
        assert page.evaluate("document.querySelector('mark').parentNode.textContent") == (
            "\U0001f600 Ana LopezPER 0.99 in Rome<b> 0.50"
        )
        marks = page.evaluate(
            "[...document.querySelectorAll('mark')].map((mark) => [mark.style.background, mark.title])"
        )
        assert marks[0][0] != marks[1][0]
        assert marks[0][1] == "score 0.987, characters 2 to 11"


def test_a_tagger_s_demo_tags(tiny_bert: str, tmp_path: Path) -> None:
    net, tokenizer = load_tagger(save_tagger(tmp_path, tiny_bert))
    with serve(make_tag_demo(net, tokenizer, "a name", ["A film"])) as port:
        found = ask(port, "POST", "/run", json.dumps({"text": "The cast was dull."}), JSON)
    assert found == (200, {"entities": tag_texts(net, tokenizer, ["The cast was dull."])[0]})
