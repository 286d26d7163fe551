"""The command line, as `scattermec` and as `python -m scattermec`."""

import contextlib
import os
import signal
import sys
from io import TextIOWrapper
from typing import Any, NoReturn

INTERRUPTED, TERMINATED = 130, 143
"""Exit statuses after Ctrl-C and after SIGTERM, following the shell convention."""


def main() -> None:
    """Run the command line on the arguments of this process."""
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        # Names of files and scenarios print in any terminal's encoding.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        from scattermec.cli.app import app

        app(prog_name="scattermec")
    except KeyboardInterrupt:  # outside a command: while importing, say
        _leave(INTERRUPTED)
    except SystemExit as exit_:
        _leave(exit_.code if isinstance(exit_.code, int) else 0 if exit_.code is None else 1)


def _terminate(number: int, frame: Any) -> NoReturn:
    """Stop child processes, remove unfinished files and exit at once.

    No exception is raised: Python drops one raised within a finaliser, and JAX's compiler crashes when one
    interrupts it.
    """
    multiprocessing = sys.modules.get("multiprocessing")
    for child in multiprocessing.active_children() if multiprocessing else ():
        child.terminate()
        child.join()
    # If it has not been imported, nothing has been written.
    atomic = sys.modules.get("scattermec.storage.atomic")
    if atomic:
        atomic.abandon()
    if sys.stderr.isatty():
        sys.stderr.write("\x1b[?25h")  # a progress bar hides the cursor
    _leave(TERMINATED)


def _leave(status: int) -> NoReturn:
    # On interpreter shutdown, library threads sometimes crash, and JAX's compiler always does if it was
    # interrupted. Everything has been cleaned up by now, so leave without shutting down.
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except RuntimeError:  # the signal arrived in the middle of another write
            pass
        except OSError as error:  # the disk is full, or the pipe is closed
            status = status or 1
            with contextlib.suppress(RuntimeError, OSError):
                os.write(2, f"error: {error.strerror}\n".encode())
    os._exit(status)


if __name__ == "__main__":
    main()
