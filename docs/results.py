"""Renew the tables of results in the pages: `python docs/results.py [PAGE ...]`, or `make results`.

A table stands between a comment with the command that makes it and ``<!-- end -->``. The command is run with
``--out FILE.md``, and its output replaces the table.
"""

import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

DOCS = Path(__file__).parent

MADE = re.compile(
    r"^<!-- scattermec (?P<arguments>[^\n]+) -->\n(?P<tables>.*?)^<!-- end -->$", re.DOTALL | re.MULTILINE
)


def renewed(page: str, made: Callable[[str], str]) -> str:
    """The page's text with new tables: what ``made`` returns for the arguments of each command."""

    def block(match: re.Match[str]) -> str:
        return f"<!-- scattermec {match['arguments']} -->\n\n{made(match['arguments'])}\n<!-- end -->"

    return MADE.sub(block, page)


def computed(arguments: str) -> str:
    """The tables that a command writes."""
    print(f"scattermec {arguments}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "tables.md"
        command = [sys.executable, "-m", "scattermec", *shlex.split(arguments), "--out", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        # Only the tables are taken: the page has its own text about them.
        return "\n".join(re.findall(r"(?:^\|.*\n)+", out.read_text(encoding="utf-8"), re.MULTILINE))


def main() -> None:
    """Renew the named pages, or all pages with such tables."""
    for path in map(Path, sys.argv[1:] or sorted(map(str, DOCS.rglob("*.md")))):
        text = path.read_text(encoding="utf-8")
        if MADE.search(text):
            path.write_text(renewed(text, computed), encoding="utf-8")


if __name__ == "__main__":
    main()
