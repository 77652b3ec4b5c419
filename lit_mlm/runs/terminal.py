"""What a run may write to."""

import os
import sys


def is_terminal() -> bool:
    """Whether standard error is a terminal that can redraw a line, which the output of a notebook's ``!`` can't."""
    is_notebook, is_dumb = "JPY_PARENT_PID" in os.environ, os.environ.get("TERM") in (None, "dumb", "unknown")
    return sys.stderr.isatty() and not is_notebook and not is_dumb
