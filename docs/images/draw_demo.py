"""Draws pictures of the demo page with trained models, in a headless browser.

python -m docs.images.draw_demo fill MODEL "The [MASK] was [MASK]."
python -m docs.images.draw_demo tag MODEL "Tom Reed met Japanese farmers in Nairobi."
"""

import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

from lit_mlm.cli.demo import make_demo, make_parser
from lit_mlm.inference.demo import DemoServer
from tests.browser import open_browser


def main(task: str, model: str, *texts: str) -> None:
    """Runs the first text on the page, and saves what it looks like."""
    options = make_parser().parse_args(["--model", model, "--examples", *texts])
    with DemoServer(make_demo(options)) as server, TemporaryDirectory() as folder:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with open_browser(Path(folder), 800, 1080 if task == "fill" else 600) as page:
            page.open(f"http://127.0.0.1:{server.server_port}/")
            page.wait_for("document.querySelector('#examples button')")
            page.click("#run")
            page.wait_for("document.querySelector('#result h2')")
            page.save_picture(Path(__file__).parent / f"demo-{task}.png")
        server.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
