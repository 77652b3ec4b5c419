"""Trains with processes that Lightning starts by itself, as a notebook does, and prints what came back.

python -m tests.launched STRATEGY MODEL CACHE FOLDER
"""

import json
import sys

from lightning.pytorch import Trainer

from lit_mlm import IMDBDataModule, MaskedLM
from tests.conftest import FIXTURES


def main(strategy: str, model: str, cache_dir: str, folder: str) -> None:
    net = MaskedLM(model=model, lr=3e-3)
    options = {"data_dir": str(FIXTURES / "aclImdb"), "block_size": 32, "batch_size": 8, "cache_dir": cache_dir}
    data = IMDBDataModule(**options)  # type: ignore[arg-type]
    quiet = {"enable_progress_bar": False, "logger": False, "accelerator": "cpu", "default_root_dir": folder}
    Trainer(strategy=strategy, devices=2, max_epochs=1, **quiet).fit(net, data)  # type: ignore[arg-type]
    figures = [net.results["val"]["perplexity"]]
    for module in (net, MaskedLM(model=model)):
        found = Trainer(**quiet).validate(module, data, verbose=False)  # type: ignore[arg-type]
        figures.append(found[0]["val/perplexity"])
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
