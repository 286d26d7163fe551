"""Workers: processes that stay loaded and warm, and do one pass of work per request.

Learners and peers that cannot run in one process thus take turns on the same core. A request and its answer
are one line of JSON each. The peers' workers run in virtual environments of their own: only the standard
library is imported here.
"""

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
"""further index for PyTorch, if installation from the usual index fails"""


class Unavailable(Exception):  # noqa: N818 - not an error but a fact about the machine
    """Something that cannot be measured here; the message is the reason."""


class Worker:
    """The caller's end of a worker. A context: leaving it ends the process."""

    def __init__(self, module: str, setup: dict[str, Any], *, python: str = sys.executable) -> None:
        self.name = module
        # Not a pipe, which would block a worker that prints much; read only if the worker fails.
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [python, "-m", f"benchmarks.{module}", json.dumps(setup)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def answer(self) -> Any:
        """Wait for the next answer; the first comes without a request, when the worker is warm."""
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            self.process.wait()
            self.errors.seek(0)
            said = self.errors.read().decode(errors="replace").strip().splitlines()
            raise Unavailable(f"{self.name} failed: {said[-1] if said else 'without a word'}")
        return json.loads(line)

    def request(self, **what: Any) -> None:
        """Send a request, without waiting."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(what) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # The worker has ended; `answer` gives the reason.

    def ask(self, **what: Any) -> Any:
        """Send a request and wait for the answer."""
        self.request(**what)
        return self.answer()


class Desk:
    """The worker's end: takes requests from standard input and answers on the original standard output."""

    def __init__(self) -> None:
        self.setup: dict[str, Any] = json.loads(sys.argv[1])
        # By default a worker stays on the core of the process that started it.
        if self.setup.get("core") is not None:
            os.sched_setaffinity(0, {self.setup["core"]})
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)  # Output of libraries must not look like an answer.

    def answer(self, what: Any) -> None:
        """Send an answer."""
        print(json.dumps(what), file=self._out, flush=True)

    def request(self) -> dict[str, Any]:
        """The next request; ends the process if there are no more."""
        line = sys.stdin.readline()
        if not line:
            os._exit(0)
        return json.loads(line)


def timed(work: Callable[[], Any]) -> dict[str, float]:
    """Wall-clock seconds of ``work``, and the share of them in which this process had a core."""
    started, processor = time.perf_counter(), time.process_time()
    work()
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "core_share": (time.process_time() - processor) / seconds}


def peer_python(peer: str, *, install: bool, tell: Callable[[str], None], with_ours: bool = False) -> str:
    """The interpreter of a peer's virtual environment, created if needed. Raises Unavailable.

    With ``with_ours`` it also sees this package and all that is installed for it, and its own requirements
    are installed without theirs.
    """
    folder, requirements = ROOT / f".venv-bench-{peer}", Path(__file__).parent / f"requirements-{peer}.txt"
    done, wanted = folder / ".installed", requirements.read_text(encoding="utf-8")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if done.exists() and done.read_text(encoding="utf-8") == wanted:
        return str(python)
    if not install:
        raise Unavailable("not installed (a run without --quick installs it)")
    tell(f"installing {requirements.name} into {folder.name}")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]
    pip += [str(requirements), *(["--no-deps"] if with_ours else [])]
    try:
        _run([sys.executable, "-m", "venv", "--clear", str(folder)])
        try:
            _run(pip)
        except Unavailable:
            _run([*pip, "--extra-index-url", TORCH_INDEX])
    except Unavailable as reason:
        raise Unavailable(f"cannot be installed ({reason})") from None
    if with_ours:
        (own,) = folder.glob("lib/python*/site-packages")
        seen = f"{ROOT / 'src'}\n{sysconfig.get_path('purelib')}\n"
        (own / "scattermec-and-its-packages.pth").write_text(seen, encoding="utf-8")
    done.write_text(wanted, encoding="utf-8")
    return str(python)


def _run(command: list[str]) -> None:
    # An environment created by one Python must not search for packages of another.
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Unavailable(said[-1] if said else f"exit status {done.returncode}")
