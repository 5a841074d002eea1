"""`python -m qi_learn` and the `qi-learn` command.

An error is shown with what to do, never as a traceback. Ctrl-C is no error, also while the modules
are loaded: so they are imported within what catches it.
"""

from __future__ import annotations

import io
import sys


def main() -> None:
    """Run the command line and exit with its code (errors.py)."""
    try:
        _run()
    except KeyboardInterrupt:
        sys.exit(130)


def _run() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # what models and tools write does not fit every terminal
            stream.reconfigure(errors="backslashreplace")
    from qi_learn.cli.app import app
    from qi_learn.errors import EXIT_FAILED, EXIT_TRY_AGAIN, QiError, no_room

    try:
        app()
    except QiError as error:
        _exit_with(error.what, error.hint, error.exit_code)
    except OSError as error:
        if no_room(error):
            full = f"There is no room left on the disk{_named(error)}."
            _exit_with(full, "Make room; QI_LEARN_HOME names another place.", EXIT_TRY_AGAIN)
        _exit_with(
            f"{error.strerror or error}{_named(error)}.",
            "Check who owns it and that there is room; QI_LEARN_HOME names another place.",
            EXIT_FAILED,
        )


def _named(error: OSError) -> str:
    """The file that an error is about, behind a colon; empty if it names none."""
    return f": {error.filename}" if error.filename else ""


def _exit_with(what: str, hint: str, code: int) -> None:
    from qi_learn.cli.output import wrapped_for
    from qi_learn.terminal_text import harmless

    said = f"qi-learn: {what}\n" + (f"  -> {hint}\n" if hint else "")
    for line in harmless(said).removesuffix("\n").split("\n"):
        sys.stderr.write("\n".join(wrapped_for(sys.stderr, line)) + "\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
