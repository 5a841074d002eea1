"""`python -m qi_learn` and the `qi-learn` command.

An error is shown with what to do, never as a traceback.
"""

from __future__ import annotations

import io
import sys

from qi_learn.errors import EXIT_FAILED, QiError


def main() -> None:
    """Run the command line and exit with its code (errors.py)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # what models and tools write does not fit every terminal
            stream.reconfigure(errors="backslashreplace")
    from qi_learn.cli.app import app

    try:
        app()
    except QiError as error:
        _exit_with(error.what, error.hint, error.exit_code)
    except OSError as error:
        _exit_with(
            f"{error}.",
            "Check who owns it and that there is room; QI_LEARN_HOME names another place.",
            EXIT_FAILED,
        )
    except KeyboardInterrupt:
        sys.exit(130)


def _exit_with(what: str, hint: str, code: int) -> None:
    from qi_learn.terminal_text import harmless

    said = f"qi-learn: {what}\n" + (f"  -> {hint}\n" if hint else "")
    sys.stderr.write(harmless(said))
    sys.exit(code)


if __name__ == "__main__":
    main()
