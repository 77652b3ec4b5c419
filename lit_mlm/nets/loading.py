"""Quiet loading with `transformers`, and short reasons for its failures."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError

from huggingface_hub import HfApi, constants, errors
from huggingface_hub.utils import logging as hub_logging
from safetensors import SafetensorError
from transformers import CONFIG_MAPPING
from transformers.utils import logging as transformers_logging
from transformers.utils.import_utils import is_protobuf_available, is_sentencepiece_available

from lit_mlm.errors import InputError, follow_causes, shorten, suggest
from lit_mlm.nets.hub import describe
from lit_mlm.upstream import find_unread_vocabulary, get_http_error


@contextmanager
def quiet() -> Iterator[None]:
    """Silences logging and progress bars of `transformers` and the Hub; errors still raise."""
    verbosity, hub_verbosity = transformers_logging.get_verbosity(), hub_logging.get_verbosity()
    had_progress_bar = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    hub_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        hub_logging.set_verbosity(hub_verbosity)
        if had_progress_bar:
            transformers_logging.enable_progress_bar()


def check_name(name: str) -> None:
    """Checks that a name is a folder or a valid Hub id, before any request."""
    path = Path(name)
    if path.is_file():
        raise InputError(f"{name} is a file, not the folder of a model")
    if path.is_dir() or re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", name):
        return
    if name.startswith(("/", ".", "~")) or name.count("/") > 1:
        others = sorted(str(other.parent) for other in path.parent.glob("*/config.json"))
        advice = f"; there is {', '.join(others[:3])}" if others else ""
        raise InputError(f"{name} is missing: there is no such folder{advice}")
    raise InputError(f"{name} is neither a folder nor a valid name on the Hub (NAME or USER/NAME)")


CONFIG_ERRORS = (KeyError, TypeError, AttributeError, errors.StrictDataclassError)
"""What `transformers` raises if a file lacks a field or has it in another type."""


@contextmanager
def loading(name: str, revision: str | None = None) -> Iterator[None]:
    """Loads quietly, and turns what `transformers` can't find or read into an `InputError` with the reason.

    Errors of the system, such as a full disk, pass through.
    """
    check_name(name)
    if revision not in (None, "main") and Path(name).is_dir():  # "main" is the default
        raise InputError(f"revision {revision} has no effect on {name}, which is a folder: leave it out")
    try:
        with quiet():
            yield
    except (
        *(OSError, ValueError, ImportError, SafetensorError, UnpicklingError, get_http_error()),
        *CONFIG_ERRORS,
    ) as error:
        if isinstance(error, InputError) or getattr(error, "errno", None) is not None:
            raise
        reason = None if Path(name).is_dir() else explain_hub(error) or explain_missing(name, revision, error)
        if reason is None:
            raise InputError(f"transformers can't read {name}: {explain_files(Path(name), error)}") from error
        raise InputError(
            f"{name} is neither a folder here nor in the cache, and can't be downloaded: {reason};\n"
            "give a folder that has it, or check the name on huggingface.co"
        ) from error


def explain_files(folder: Path, error: Exception) -> str:
    """Explains why `transformers` can't read the files of a model."""
    if "custom code" in str(error):
        return (
            "it has custom code, which runs only on request: --model.trust_remote_code true, with --model.revision "
            "COMMIT for a model on the Hub (fill and tag: --trust_remote_code and --revision); code of a tokenizer is "
            "never run"
        )
    if "safetensors" in str(error) and (not folder.is_dir() or any(folder.glob("pytorch_model*.bin"))):
        return (
            "it has no safetensors; pickled weights are read only on request: --model.allow_pickle true (fill and tag: "
            "--allow_pickle)"
        )
    if isinstance(error, UnpicklingError):
        return "its pickled weights contain something else or are cut off; none of it was run"
    if "backend tokenizer" in str(error):
        return "it has no tokenizer"
    if "Unrecognized model in" in str(error):
        return f"it has no config.json{' with a model_type' if (folder / 'config.json').exists() else ''}"
    if lacking := find_lacking_packages(error):
        return lacking
    if match := re.search(r"model type `(.+?)` but Transformers does not recognize", str(error)):
        return f"its config.json has an unknown model_type {match[1]}{suggest(match[1], CONFIG_MAPPING.keys())}"
    return explain(error)


def find_lacking_packages(error: Exception) -> str:
    """Names the missing packages that a tokenizer's file needs; empty if an error has another cause."""
    file, lacking = find_unread_vocabulary(error), []
    if file is None:
        return ""
    if file != "tiktoken.model":
        found = {"sentencepiece": is_sentencepiece_available(), "protobuf": is_protobuf_available()}
        lacking = [name for name, is_installed in found.items() if not is_installed]
    packages = " ".join(lacking or ["tiktoken"])
    return f"its tokenizer {file} needs packages that are not installed: pip install {packages}"


def explain(error: Exception) -> str:
    """Returns the first sentence of an error of `transformers`, with class names shortened."""
    if isinstance(error, KeyError):
        return f"{error.args[0]!r} is missing or unknown"[:200]
    if isinstance(error, errors.StrictDataclassError):
        return " ".join(str(error).split())[:200]
    return re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", shorten(error)).partition(". ")[0][:200]


def explain_hub(error: Exception) -> str | None:
    """Explains why the Hub did not deliver a file; None if it did, so the error has another cause."""
    causes = list(follow_causes(error))

    def has(*kinds: type[Exception]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if has(errors.GatedRepoError):
        return "the repository is gated (request access on its page, then set HF_TOKEN or run hf auth login)"
    if has(errors.RepositoryNotFoundError):
        return "the Hub has no such repository, or it is private (set HF_TOKEN or run hf auth login)"
    if has(errors.RevisionNotFoundError):
        return "the Hub has no such revision"
    if passing := describe(error):
        return passing
    if has(errors.LocalEntryNotFoundError, ConnectionError):
        return f"the Hub can't be reached{', as HF_HUB_OFFLINE is set' if constants.HF_HUB_OFFLINE else ''}"
    if has(errors.HfHubHTTPError, errors.HFValidationError):
        return explain(error)
    return None


def explain_missing(name: str, revision: str | None, error: Exception) -> str | None:
    """Explains that the Hub did not deliver a file that it has; `transformers` takes such files for missing."""
    patterns = {"safetensors": r".*\.safetensors", "backend tokenizer": r"tokenizer\.json|vocab\..*|.*\.model"}
    wanted = next((pattern for word, pattern in patterns.items() if word in str(error)), None)
    if wanted is None or constants.HF_HUB_OFFLINE:
        return None
    try:
        found = [file for file in HfApi().list_repo_files(name, revision=revision) if re.fullmatch(wanted, file)]
    except (OSError, get_http_error()) as failure:
        return describe(failure)
    return f"the Hub has {found[0]}, but did not deliver it; repeat the command later" if found else None
