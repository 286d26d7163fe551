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
        _leave(exit_.code if isinstance(exit_.code, int) else 0 if exit_.code is None else 1)


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
    # Threads of the libraries crash now and then when the interpreter shuts down, JAX's compiler always where
    # it was interrupted. Whatever had to be cleaned up has been by now, so leave without shutting down.
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except RuntimeError:  # a signal has come in the middle of another write
            pass
        except OSError as error:  # a full disk, or nobody reads any more
            status = status or 1
            with contextlib.suppress(RuntimeError, OSError):
                os.write(2, f"error: {error.strerror}\n".encode())
    os._exit(status)


if __name__ == "__main__":
    main()
