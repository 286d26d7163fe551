"""The command line, as `scattermec` and as `python -m scattermec`."""

import contextlib
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
        if exit_.code == INTERRUPTED:
            _leave(INTERRUPTED)
        raise


def _terminate(number: int, frame: Any) -> NoReturn:
    """End at once, with nothing unfinished left behind.

    No exception unwinds the stack: Python drops one that is raised within a finaliser, and JAX's compiler
    crashes where it is interrupted.
    """
    multiprocessing = sys.modules.get("multiprocessing")
    for child in multiprocessing.active_children() if multiprocessing else ():
        child.terminate()
        child.join()
    # What has not been imported yet has written nothing.
    atomic = sys.modules.get("scattermec.storage.atomic")
    if atomic:
        atomic.abandon()
    if sys.stderr.isatty():
        sys.stderr.write("\x1b[?25h")  # a progress bar hides the cursor
    _leave(TERMINATED)


def _leave(status: int) -> NoReturn:
    # JAX's compiler, interrupted, crashes when the interpreter shuts down; whatever had to be cleaned up has
    # been by now, so leave without shutting down.
    for stream in (sys.stdout, sys.stderr):
        # A signal may have come in the middle of another write.
        with contextlib.suppress(RuntimeError, OSError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
