"""The command that serves the demo page."""

import os
import re
import signal
import socket
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path

import pytest

from lit_mlm.cli.demo import MASKED, TAGGED, make_demo, make_parser
from lit_mlm.cli.main import run_command
from lit_mlm.errors import InputError
from tests.inference.test_tag import save_tagger


def test_it_serves_until_it_is_interrupted(tiny_bert: str) -> None:
    command = [sys.executable, "-m", "lit_mlm", "demo", "--model", tiny_bert, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r".*: http://127\.0\.0\.1:(\d+) \(Ctrl-C ends it\)\n", line)
        assert found is not None, line
        connection = HTTPConnection("127.0.0.1", int(found[1]), timeout=60)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in errors


def test_the_demo_is_that_of_the_model_s_task(tiny_bert: str, tmp_path: Path) -> None:
    tagger = save_tagger(tmp_path, tiny_bert)
    assert make_demo(make_parser().parse_args(["--model", tagger])).examples == TAGGED
    assert make_demo(make_parser().parse_args(["--model", tiny_bert])).examples == MASKED
    own = make_demo(make_parser().parse_args(["--model", tiny_bert, "--examples", "a [MASK]", "b"]))
    assert own.examples == ["a [MASK]", "b"]


def test_a_port_in_use_is_refused(tiny_bert: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(InputError, match=f"--port {port} can't be used: .*; --port 0 takes a free one"):
            run_command(["demo", "--model", tiny_bert, "--port", port])
    with pytest.raises(InputError, match="--port 70000 can't be used"):
        run_command(["demo", "--model", tiny_bert, "--port", "70000"])
