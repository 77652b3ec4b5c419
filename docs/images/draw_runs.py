"""Draws the terminals that the README shows, from real runs: python docs/images/draw_runs.py (about 5 minutes)."""

import errno
import os
import pty
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[2]

PREPARED = {
    "tag": ["python -m lit_mlm fit --config ner-sample.yaml --data.data_dir tests/fixtures/conll --run_dir runs/ner"]
}
"""What is run before, and not drawn."""

RUNS = {
    "quickstart": [
        "python -m lit_mlm fit --config quickstart.yaml --run_dir runs/quickstart",
        'python -m lit_mlm fill --model runs/quickstart/hf --top_k 2 "New in [MASK] 3.8."'
        ' "This method should return the [MASK] of the object."',
    ],
    "tag": [
        "python -m lit_mlm test --run_dir runs/ner",
        'python -m lit_mlm tag --model runs/ner/hf "Tom Reed of Acme Steel Works met Japanese farmers in Nairobi."',
    ],
}

SKIPPED = re.compile(r"epoch (?!1,|5,|50,)\d+,")  # validations in the middle of a run

FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # loaded from elsewhere


def run(command: str, folder: Path) -> str:
    """What a command writes to a terminal."""
    program, *args = shlex.split(command)
    ours, theirs = pty.openpty()
    has_bar = {"fit", "validate", "test"} & {*args}  # which a picture can't show
    terminal = {"COLUMNS": "120", "TERM": "dumb" if has_bar else "xterm-256color"}
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | terminal
    process = subprocess.Popen([sys.executable, *args], cwd=folder, stdout=theirs, env=environment)
    os.close(theirs)
    output = b""
    try:
        while part := os.read(ours, 65536):
            output += part
    except OSError as error:
        if error.errno != errno.EIO:  # what Linux says where the other end is closed
            raise
    if process.wait():
        raise SystemExit(f"{program} ended with {process.returncode}")
    return output.decode().replace("\r\n", "\n")


def draw(name: str, folder: Path) -> None:
    """Runs the commands of a picture and writes its SVG."""
    for command in PREPARED.get(name, []):
        run(command, folder)
    console = Console(record=True, width=120, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    for command in RUNS[name]:
        console.print(Text(f"$ {command}", style="bold green"))
        last = ""
        for line in run(command, folder).splitlines():
            kept = "..." if SKIPPED.match(line) else line
            if kept != "..." or last != "...":
                console.print(Text.from_ansi(kept))
            last = kept
    file = Path(__file__).parent / f"{name}.svg"
    file.write_text(FONT.sub("", console.export_svg(title="lit-mlm", unique_id=name)), encoding="utf-8")


def main() -> None:
    """Draws all, or those that are named."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tests").symlink_to(ROOT / "tests")
        for name in sys.argv[1:] or RUNS:
            draw(name, Path(folder))


if __name__ == "__main__":
    main()
