"""The package tried on everything that could break it: `python -m torture --help`."""

import sys
from pathlib import Path

# The references of the test suite are the judges here too; they are plain modules beside the tests.
sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
