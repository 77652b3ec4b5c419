"""All comparisons with other libraries, their figures as JSON, and the tables of docs/results.md.

    python -m benchmarks.all --model DIR --data FOLDER --json FILE [--only mlm ner] [--fill PAGE]

The folder has ``movie_reviews`` in the layout of ``aclImdb/``, ``wnut17`` with column files and ``speeches`` with text
files. Each side of a comparison runs in a process of its own, in turn, once per seed. Comparisons that the file has are
not run again. ``--fill`` replaces what lies between ``<!-- benchmark NAME -->`` and ``<!-- end -->``.
"""

import os
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks import data, growth, inference, mlm, ner, startup
from benchmarks.sides import Benchmark, format_runs
from lit_mlm.runs.atomic import read_json, write_json
from lit_mlm.runs.hardware import measure_peak

COMPARISONS: dict[str, tuple[Benchmark, str, list[str]]] = {
    "mlm": (mlm.BENCHMARK, "movie_reviews", []),
    "mlm bf16": (mlm.BENCHMARK, "movie_reviews", ["--precision", "bf16"]),
    "ner": (ner.BENCHMARK, "wnut17", ["--sides", "recipe", "packed", "--seeds", "1", "2", "3"]),
    "ner batch 8": (ner.BENCHMARK, "wnut17", ["--batch_size", "8", "--sides", "recipe", "packed"]),
    "data": (data.BENCHMARK, "movie_reviews", []),
    "fill": (inference.BENCHMARK, "speeches", ["--task", "fill"]),
    "tag": (inference.BENCHMARK, "speeches", ["--task", "tag"]),
    "startup": (startup.BENCHMARK, "", []),
    "growth": (growth.BENCHMARK, "movie_reviews", ["--seeds", "1"]),
}
"""The benchmark of each, the folder of its data, and its options."""


def describe_machine() -> dict[str, Any]:
    """What figures depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    peaks = {
        name: max(measure_peak(torch.device("cpu"), dtype) for _ in range(10)) / 1e9
        for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))
    }
    return {
        "cpu": next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown"),
        "cores": os.cpu_count(),
        "GFLOP/s": peaks,
        "versions": {name: version(name) for name in ("torch", "transformers", "lightning", "numpy")},
    }


def run(name: str, options: Namespace) -> dict[str, Any]:
    """Runs a comparison."""
    benchmark, folder, args = COMPARISONS[name]
    args = ["--model", options.model, *(["--data", str(options.data / folder)] if folder else []), *args]
    if options.seeds is not None:
        args = [*args, "--seeds", *map(str, options.seeds)]
    runs = benchmark.run(args)
    about = {"module": benchmark.module, "args": args, "date": time.strftime("%Y-%m-%d"), "machine": describe_machine()}
    return about | {"runs": runs}


def format_comparison(name: str, found: dict[str, Any]) -> str:
    """The command, the machine and the tables of a comparison."""
    _, folder, _ = COMPARISONS[name]
    first, machine = (4 if folder else 2), found["machine"]
    places = ["--model", "MINILM", *(["--data", f"DATA/{folder}"] if folder else []), *found["args"][first:]]
    tables = growth.format_curves(found["runs"]) if name == "growth" else format_runs(found["runs"])
    seeds = len(next(iter(found["runs"].values())))
    runs = f"{seeds} run{'s' if seeds > 1 else ''} of each side"
    about = f"{found['date']}, one thread of {machine['cores']} cores, {machine['cpu']}; {runs}."
    command = f"```bash\npython -m {found['module']} {' '.join(places)}\n```"
    return "\n\n".join([command, about, "\n".join(tables).rstrip()])


def fill(path: Path, content: dict[str, Any]) -> None:
    """Puts the tables into a page."""
    text = path.read_text(encoding="utf-8")
    for name, found in content["comparisons"].items():
        begin = f"<!-- benchmark {name} -->\n"
        before, _, rest = text.partition(begin)
        _, end, after = rest.partition("<!-- end -->")
        if not end:
            raise SystemExit(f"{path} needs {begin.strip()} with an <!-- end --> after it")
        text = f"{before}{begin}\n{format_comparison(name, found)}\n\n{end}{after}"
    path.write_text(text, encoding="utf-8")


def main() -> None:
    """Runs what is missing."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="name on the Hub, or folder")
    parser.add_argument("--data", type=Path, help="folder of the data")
    parser.add_argument("--json", type=Path, required=True, help="file of the figures")
    parser.add_argument("--only", nargs="*", choices=COMPARISONS, default=list(COMPARISONS), help="these comparisons")
    parser.add_argument("--seeds", type=int, nargs="+", help="in place of each comparison's own")
    parser.add_argument("--fill", type=Path, metavar="PAGE", help="page that gets the tables")
    options = parser.parse_args()
    torch.set_num_threads(1)
    content = read_json(options.json) or {"comparisons": {}}
    for name in options.only:
        if name not in content["comparisons"]:
            if options.model is None or options.data is None:
                parser.error(f"{name} needs --model and --data")
            content["comparisons"][name] = run(name, options)
            write_json(options.json, content)
    for name in options.only:
        print(f"## {name}\n\n{format_comparison(name, content['comparisons'][name])}\n")
    if options.fill is not None:
        fill(options.fill, content)


if __name__ == "__main__":
    main()
