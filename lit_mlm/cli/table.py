"""The commands; imports nothing, so that help is fast and every file of the command line may import it."""

TRAINER_COMMANDS = {
    "fit": "train a model",
    "validate": "score a model on the validation split",
    "test": "score a model on the test split",
    "predict": "write what the model predicts for a split",
}
SHOW_COMMANDS = {
    "show": "print documents with their masks, or sentences or texts with their labels, without training",
    "audit": "report on the texts: lengths, unknown tokens, duplicates, unreadable records, without training",
    "prepare": "read, tokenise and cut all splits into the cache, so that a run starts at once",
}
OTHER_COMMANDS = {
    "fill": "fill the masks of texts",
    "score": "score texts or minimal pairs",
    "tag": "tag the words of texts or of a column file",
    "classify": "label texts",
    "embed": "write the vectors of texts, words or spans",
    "demo": "serve a page on this machine that fills masks or tags words",
    "export": "write a checkpoint of a run as a folder to share",
    "errors": "show where the model of a run errs, in tables and on a page",
    "compare": "tell whether runs differ by more than chance",
    "repeat": "train a model once for each of several seeds",
    "reproduce": "train a recipe again and tell whether its target is met",
    "sweep": "search options for the best validation",
    "adapt": "adapt a model to a domain, and tell what tasks gain and what is forgotten",
    "configs": "list the configs that come with lit-mlm",
    "schema": "print the JSON Schema of configs, for editors",
    "completion": "print a script that completes commands and options in a shell",
}
"""Each is a module of `lit_mlm.cli` with `main` and `make_parser`."""


def format_help() -> str:
    """Formats the list of commands."""
    commands = TRAINER_COMMANDS | SHOW_COMMANDS | OTHER_COMMANDS
    rows = "\n".join(f"  {name:<12}{text}" for name, text in commands.items())
    return (
        "usage: python -m lit_mlm COMMAND [options]\n\n"
        f"commands:\n{rows}\n\n"
        "COMMAND --help lists the options of a command, --version prints the version."
    )
