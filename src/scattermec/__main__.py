"""The command line, as `scattermec` and as `python -m scattermec`."""

import os
import sys
from typing import NoReturn

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


def main() -> None:
    """Run the command line on the arguments of this process."""
    try:
        from scattermec.cli.app import app

        app(prog_name="scattermec")
    except KeyboardInterrupt:  # outside a command: while importing, say
        _leave()
    except SystemExit as exit_:
        if exit_.code == INTERRUPTED:
            _leave()
        raise


def _leave() -> NoReturn:
    # JAX's compiler, interrupted, crashes when the interpreter shuts down; whatever had to be cleaned up has
    # been by now, so leave without shutting down.
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
