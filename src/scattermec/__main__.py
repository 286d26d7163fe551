"""The command line, as `scattermec` and as `python -m scattermec`."""

import os
import signal
import sys
from io import TextIOWrapper
from typing import Any, NoReturn

INTERRUPTED, TERMINATED = 130, 143
"""Exit statuses after Ctrl-C and after SIGTERM, as shells have them."""


def main() -> None:
    """Run the command line on the arguments of this process."""
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        # Whatever a file or a scenario calls itself can be shown, in any terminal's encoding.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        from scattermec.cli.app import app

        app(prog_name="scattermec")
    except KeyboardInterrupt:  # outside a command: while importing, say
        _leave(INTERRUPTED)
    except SystemExit as exit_:
        if exit_.code in (INTERRUPTED, TERMINATED):
            _leave(exit_.code)
        raise


def _terminate(number: int, frame: Any) -> NoReturn:
    """End as after an error, so that nothing unfinished is left behind."""
    # Once: a second signal must not interrupt the cleaning up.
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(TERMINATED)


def _leave(status: int) -> NoReturn:
    # JAX's compiler, interrupted, crashes when the interpreter shuts down; whatever had to be cleaned up has
    # been by now, so leave without shutting down.
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
