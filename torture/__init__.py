"""Stress tests of the package on everything that could break it: `python -m torture --help`."""

import sys
from pathlib import Path

# The test suite's references are also the judges here; they are plain modules beside the tests.
sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
