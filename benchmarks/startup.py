"""The CPU seconds until a typo is reported, by the options that an earlier command has saved and without them.

    python -m benchmarks.startup

Each run is a process of its own. Without saved options all packages are imported, and the options are saved.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile

COMMAND = [sys.executable, "-m", "lit_mlm", "fit", "--config", "imdb.yaml", "--data.batch_sizes", "3"]


def measure(cache: str) -> float:
    """The CPU seconds of a command with the cache of this folder."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.run(COMMAND, env=os.environ | {"XDG_CACHE_HOME": cache}, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode != 2:
        raise SystemExit(process.stderr.decode())
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Prints a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="runs with saved options")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        print(f"first command: {measure(cache):.2f} s")
        for _ in range(options.repeats):
            print(f"by the saved options: {measure(cache):.2f} s")


if __name__ == "__main__":
    main()
