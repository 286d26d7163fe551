"""Speed and agreement with general-purpose solvers: `python -m benchmarks --help`."""

import sys
from pathlib import Path

# The test suite's reference solvers are also peers here; they are plain modules beside the tests.
sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
