"""Renew the tables of results in the pages: `python docs/results.py [PAGE ...] [--only TEXT]`.

Or `make results`, which renews all.

Tables stand between a comment with the command that makes them and ``<!-- end -->``. The command is run with
``--out FILE.md``, or that of the torture suite with ``--docs FILE.md``, and its tables replace those in the
page: all, or as many as the comment counts, as in ``<!-- scattermec horizon; tables 1 2 -->``. With
``--only`` those alone whose command contains the text.
"""

import argparse
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

DOCS = Path(__file__).parent

MADE = re.compile(
    r"^<!-- (?P<command>(?:scattermec|python -m torture) [^;\n]+?)(?:; tables (?P<numbers>[\d ]+))? -->\n"
    r".*?^<!-- end -->$",
    re.DOTALL | re.MULTILINE,
)


def renewed(page: str, made: Callable[[str], list[str]], only: str = "") -> str:
    """The page's text with new tables: those that ``made`` returns for each command with ``only`` in it."""

    def block(match: re.Match[str]) -> str:
        if only not in match["command"]:
            return match[0]
        tables = made(match["command"])
        if match["numbers"]:
            tables = [tables[int(number) - 1] for number in match["numbers"].split()]
        return "\n".join([match[0].partition("\n")[0], "", *tables, "<!-- end -->"])

    return MADE.sub(block, page)


TRAINED = "train-price-net --train discount=1 --train batch_size=128 --steps 1500 --set battery_capacity="

NEEDED = {
    "scattermec-1": "benchmark-set --out scattermec-1",
    "results/battery-0.25": f"{TRAINED}0.25 --out results/battery-0.25",
    "results/battery-5": f"{TRAINED}5 --out results/battery-5",
}
"""Folders that commands read, and the commands that make them."""


def computed(command: str) -> list[str]:
    """The tables that a command writes, with their titles."""
    program, option = ("torture", "--docs") if command.startswith("python") else ("scattermec", "--out")
    words = shlex.split(command.partition(f"{program} ")[2])
    for needed in NEEDED.keys() & words:
        begun = (DOCS.parent / needed).exists()
        if not begun or NEEDED[needed].startswith("train"):  # a training may have been interrupted
            run("scattermec", [*NEEDED[needed].split(), *(["--resume"] if begun else [])])
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "tables.md"
        run(program, [*words, option, str(out)])
        text = re.sub(r"^### (.+)$", r"**\1**", out.read_text(encoding="utf-8"), flags=re.MULTILINE)
    title = "" if program == "torture" else r"(?:^[^|\n]+\n\n)?"
    return re.findall(rf"{title}(?:^\|.*\n)+", text, re.MULTILINE)


def run(program: str, arguments: list[str]) -> None:
    """Run a command of the package, or the torture suite."""
    print(f"{program} {shlex.join(arguments)}", flush=True)
    command = [sys.executable, "-m", program, *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=DOCS.parent)


def main() -> None:
    """Renew the named pages, or all pages with such tables."""
    parser = argparse.ArgumentParser(description="Renew the tables of results in the pages.")
    parser.add_argument("pages", nargs="*", type=Path, help="by default all")
    parser.add_argument("--only", default="", metavar="TEXT", help="only tables of commands that contain it")
    given = parser.parse_args()
    for path in given.pages or sorted(DOCS.rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        if MADE.search(text):
            path.write_text(renewed(text, computed, given.only), encoding="utf-8")


if __name__ == "__main__":
    main()
