"""Draws pictures of TensorBoard's page of the runs in a folder, in a headless browser.

python -m docs.images.draw_tensorboard runs/ner-sample
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import URLError
from urllib.request import urlopen

from tests.browser import open_browser

PORT = 16006

TABS = {
    "text": ("text&tagFilter=val/sentences", 780),
    "images": ("images&tagFilter=val/(entities|tags|calibration)", 960),
    "pr_curves": ("pr_curves&tagFilter=val/.*(MISC|PER)", 640),
    "scalars": ("scalars&tagFilter=best|train", 960),
    "hparams": ("hparams", 480),
}
"""Address and height of the window of each tab."""


@contextmanager
def serve(folder: str) -> Iterator[str]:
    """Runs TensorBoard on a folder of runs, and yields its address once it has read them."""
    path = Path(folder).resolve()  # the page shows the folder as it is given
    options = ["--logdir", path.name, "--port", str(PORT), "--load_fast", "false"]
    command = [sys.executable, "-m", "tensorboard.main", *options]
    server = subprocess.Popen(command, cwd=path.parent, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{PORT}/"
    try:
        for _ in range(240):
            with suppress(URLError):  # until it listens
                if urlopen(f"{address}data/runs").read().strip() != b"[]":
                    break
            time.sleep(0.5)
        else:
            raise RuntimeError(f"TensorBoard has read no run of {folder} in two minutes")
        yield address
    finally:
        server.terminate()
        server.wait()


def main(folder: str, *tabs: str) -> None:
    """Draws the tabs that are named; by default those of the documentation."""
    with serve(folder) as address:
        for tab in tabs or ("text", "images", "pr_curves"):
            fragment, height = TABS[tab]
            folders = TemporaryDirectory(ignore_cleanup_errors=True)
            with folders as profile, open_browser(Path(profile), 1200, height) as page:
                page.call("Page.navigate", url=f"{address}?darkMode=false#{fragment}")
                time.sleep(30)  # charts are drawn one after another, and nothing says when the last one is
                page.save_picture(Path(__file__).parent / f"tensorboard-{tab}.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
