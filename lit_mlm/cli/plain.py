"""Parses the arguments of commands without a Trainer, and prints for all commands."""

import json
import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from lit_mlm.errors import InputError, escape_controls, suggest
from lit_mlm.runs.terminal import is_terminal
from lit_mlm.upstream import list_actions


class CommandParser(ArgumentParser):
    """argparse's parser of a command, whose errors are `InputError`s without usage."""

    def __init__(self, command: str, description: str) -> None:
        super().__init__(prog=f"python -m lit_mlm {command}", description=description, allow_abbrev=False)

    def parse_intermixed_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parses a command line with texts before, between or after options."""
        options, rest = self.parse_known_intermixed_args(args, namespace)
        if rest:
            names = [option for action in list_actions(self) for option in action.option_strings]
            raise InputError(f"there is no option {rest[0]}{suggest(rest[0].partition('=')[0], names)}")
        return options

    def error(self, message: str) -> NoReturn:
        """Raises argparse's message."""
        raise InputError(message)


def add_model_options(parser: CommandParser) -> None:
    """Adds the options that name a model and say how it is loaded."""
    parser.add_argument("--model", required=True, help="name on the Hub, folder, or folder of a run")
    parser.add_argument("--revision", help="of a model on the Hub")
    parser.add_argument("--allow_pickle", action="store_true", help="read pickled weights if there are no safetensors")
    parser.add_argument("--trust_remote_code", action="store_true", help="run the model's own code, at one --revision")


def print_result(text: str, is_escaped: bool = False) -> None:
    """Prints and flushes text, with escapes for control characters and those that standard output can't encode.

    With `is_escaped`, control characters are left: those of the text itself are escaped, or belong to a file.
    Exits with 141, as shells report a broken pipe, if the reader has gone (``| head``).
    """
    text = text if is_escaped else escape_controls(text)
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it again at exit
        sys.exit(141)  # 128 + SIGPIPE


def print_error(text: str) -> None:
    """Prints text on standard error, with escapes for control characters."""
    print(escape_controls(text), file=sys.stderr, flush=True)


@contextmanager
def show_loading() -> Iterator[None]:
    """Says on a terminal, on the first rank, that packages are loaded, until they are."""
    if "torch" in sys.modules or not is_terminal() or int(os.environ.get("LOCAL_RANK", 0)):
        yield
        return
    print("loading torch, lightning and transformers ...", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def format_json(record: dict[str, Any]) -> str:
    """Formats a JSON object on one line, in ASCII if standard output can't encode it."""
    text = json.dumps(record, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(record)
    return text
