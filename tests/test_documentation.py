"""The documentation's code runs as it stands, and its site is built without warnings and needs no network."""

import contextlib
import io
import os
import re
import runpy
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from command_line import run
from scattermec import _processes
from scattermec.cli.app import COMMANDS

ROOT = Path(__file__).parent.parent
PAGES = [
    "README.md",
    "docs/tutorial.md",
    "docs/choose.md",
    "docs/price-net.md",
    "docs/faq.md",
    "docs/how-to/scenario.md",
    "docs/how-to/constants.md",
    "docs/how-to/results.md",
    "docs/how-to/sweeps.md",
    "docs/how-to/channels.md",
    "docs/how-to/ray-tracing.md",
    "docs/how-to/score.md",
    "docs/how-to/algorithm.md",
    "docs/how-to/trainers.md",
    "docs/how-to/figure.md",
    "docs/how-to/devices.md",
]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def run_shell(code):
    """Commands of the package, one a line, whose output may go to a file."""
    for line in code.splitlines():
        program, *arguments = shlex.split(line)
        assert program == "scattermec", f"not a command of the package: {line}"
        target = Path(arguments[-1]) if ">" in arguments else None
        result = run(*(arguments[:-2] if target else arguments))
        if target:
            target.write_text(result.stdout)


@pytest.mark.parametrize("page", PAGES)
def test_code_of_a_page_runs_and_prints_what_the_page_says(page, tmp_path, monkeypatch):
    """Blocks of python and shell, in one session and folder; a block of text is what the last python printed.

    Blocks of yaml are files, if they begin with their names. Blocks of console are not run.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_processes, "usable_cores", lambda: 1)
    blocks = BLOCK.findall((ROOT / page).read_text())
    assert "python" in dict(blocks)
    session, printed = {}, ""
    for language, code in blocks:
        if language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as output:
                exec(compile(code, page, "exec"), session)
            printed = output.getvalue()
        elif language == "shell":
            run_shell(code)
        elif language == "yaml" and (name := re.match(r"# (\w+\.yaml)\n", code)):
            Path(name[1]).write_text(code)
        elif language == "text":
            assert printed == code


def test_example_of_a_change_passes_its_test(monkeypatch):
    from scattermec.physics import frame

    change, its_test = (code for language, code in BLOCK.findall(CONTRIBUTING) if language == "python")
    added, tests = dict(vars(frame)), {}
    exec(change, added)
    for name in added.keys() - vars(frame).keys() - {"__builtins__"}:
        monkeypatch.setattr(frame, name, added[name], raising=False)
    exec(its_test, tests)
    (test,) = (value for name, value in tests.items() if name.startswith("test_"))
    test()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; a warning is an error."""
    pytest.importorskip("material", reason="the site needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **QUIET})
    assert built.returncode == 0, built.stderr
    return folder


QUIET = {"NO_MKDOCS_2_WARNING": "1"}


class Loads(HTMLParser):
    """What a page loads by itself; links that a reader may follow are none of it."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        names = {"src", "srcset", "data", "poster"} | ({"href"} if tag in ("link", "image", "use") else set())
        self.found += [value for name, value in attrs if name in names and value]


def test_site_loads_nothing_from_the_network(site):
    pages = sorted(site.rglob("*.html"))
    assert {"index.html", "tutorial.html", "model.html", "commands.html"} <= {page.name for page in pages}
    for page in pages:
        loads = Loads()
        loads.feed(page.read_text())
        assert loads.found
        assert not [address for address in loads.found if re.match(r"(\w+:)?//", address)], page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(\w+:)?//", sheet.read_text()), sheet


def test_formulas_are_mathml_and_tables_are_those_of_the_code(site):
    from scattermec.scenario import Scenario

    model = (site / "model.html").read_text()
    assert model.count("<math") > 100
    assert "arithmatex" not in model
    for name in Scenario.model_fields:
        assert f"<code>{name}</code>" in model
    for page in site.rglob("*.html"):
        assert not re.search(r"\{\{ \w+ \}\}", page.read_text()), page


def test_every_limit_is_in_the_docs(site):
    from scattermec import counts

    page = (site / "how-to" / "scenario.html").read_text()
    limits = {name: most for name, most in vars(counts).items() if name.startswith("MOST_")}
    assert len(limits) > 10
    for name, most in limits.items():
        assert f">{most:,}</td>" in page, name


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/design.md"])
def test_files_that_a_page_names_exist(page):
    named = re.findall(r"`((?:\w+/)+\w+\.(?:py|md))`", (ROOT / page).read_text())
    assert named
    for path in set(named) - {"tests/test_unused_time.py"}:  # an example of what readers may add
        assert (ROOT / path).is_file() or (ROOT / "src" / "scattermec" / path).is_file(), path


def test_only_tables_of_commands_are_renewed():
    results = runpy.run_path(str(ROOT / "docs" / "results.py"))
    page = (
        "a\n<!-- scattermec horizon -->\n| 1 |\n<!-- end -->\n| b |\n"
        "<!-- scattermec solve x; tables 2 -->\n\n<!-- end -->\n"
    )
    assert results["renewed"](page, lambda command: [f"| {command} |\n", "| second |\n"]) == (
        "a\n<!-- scattermec horizon -->\n\n| scattermec horizon |\n\n| second |\n\n<!-- end -->\n| b |\n"
        "<!-- scattermec solve x; tables 2 -->\n\n| second |\n\n<!-- end -->\n"
    )
    found = results["renewed"](page, lambda command: ["| new |\n"], "horizon")
    assert found == page.replace("-->\n| 1 |", "-->\n\n| new |\n")
    named = [
        match["command"].split()
        for path in sorted((ROOT / "docs").rglob("*.md"))
        for match in results["MADE"].finditer(path.read_text())
    ]
    assert named
    for program, *words in named:
        assert program != "scattermec" or {words[0], " ".join(words[:2])} & set(COMMANDS), words
