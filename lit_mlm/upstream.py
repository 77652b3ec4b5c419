"""What is worked around in the packages that lit-mlm stands on."""

import logging
import warnings

ROUNDING = "MKL_CBWR"
"""Environment variable: how MKL, torch's matrix products on x86 CPUs, rounds.

By default it rounds by the address of its operands on some CPUs, so that a resumed run ends with other weights (Intel
oneMKL Developer Guide, "Obtaining Numerically Reproducible Results").
"""

FALSE_ALARMS = (
    r".*does not have many workers.*",  # masking is vectorised: workers pay on fast devices only
    r".*is smaller than the logging interval.*",  # short runs are fine
    r".*args parameter is intended to run.*",  # the commands of `lit_mlm.cli.main` are found before LightningCLI
    r".*(exists and is not empty|your dataloader is not resumable).*",  # a run that goes on: it is, by its orders
    r".*-wrapped module .* returned a view tensor.*",  # nothing here changes logits in place
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated.*",  # Lightning #21326: its own use of torch
)
"""The warnings of other packages that say nothing to the user, as regular expressions."""


def choose_messages() -> None:
    """Has a command's process say what lit-mlm does, and of other packages what is a warning and no false alarm."""
    for pattern in FALSE_ALARMS:
        warnings.filterwarnings("ignore", pattern)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("lit_mlm").setLevel(logging.INFO)
