"""Workarounds for other packages."""

import logging
import warnings

ROUNDING = "MKL_CBWR"
"""Environment variable that makes MKL, torch's matrix products on x86, round independently of memory addresses.

Otherwise a resumed run may end with other weights on some CPUs (Intel oneMKL Developer Guide, "Obtaining Numerically
Reproducible Results").
"""

FALSE_ALARMS = (
    r".*does not have many workers.*",  # masking is vectorised, so workers pay off on fast devices only
    r".*is smaller than the logging interval.*",  # short runs are fine
    r".*args parameter is intended to run.*",  # `lit_mlm.cli.main` handles commands before LightningCLI
    r".*(exists and is not empty|your dataloader is not resumable).*",  # the samplers make it resumable
    r".*-wrapped module .* returned a view tensor.*",  # logits are never changed in place
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated.*",  # Lightning #21326: its own use of torch
)
"""Warnings of other packages that do not apply here, as regular expressions."""


def choose_messages() -> None:
    """Shows log messages of lit-mlm, and only warnings of other packages, without false alarms."""
    for pattern in FALSE_ALARMS:
        warnings.filterwarnings("ignore", pattern)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("lit_mlm").setLevel(logging.INFO)
