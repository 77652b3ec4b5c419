"""The error that stands for a mistake of the user, not of the program."""


class InputError(ValueError):
    """A mistake in a config, on the command line or in the data.

    Its message says what was found, where, and what to do. The command line prints it alone and exits with 2, where
    any other error keeps its traceback and exits with 1.
    """
