"""The documentation's code runs as it stands, and its site is built without a warning and without the network."""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from command_line import run

ROOT = Path(__file__).parent.parent
PAGES = [
    "README.md",
    "docs/tutorial.md",
    *(f"docs/how-to/{name}.md" for name in ("scenario", "channels", "algorithm", "figure")),
]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def run_shell(lines):
    """Commands of ours, one a line, and where their output goes."""
    for line in lines.splitlines():
        program, *arguments = shlex.split(line)
        assert program == "scattermec", f"only commands of the package can be run here: {line}"
        target = arguments[-1] if ">" in arguments else None
        result = run(*(arguments[:-2] if target else arguments))
        if target:
            Path(target).write_text(result.stdout)


@pytest.mark.parametrize("page", PAGES)
def test_code_of_a_page_runs_and_prints_what_the_page_says(page, tmp_path, monkeypatch):
    """Blocks of python and shell in one folder and one session; a block of text is what the last one printed."""
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall((ROOT / page).read_text())
    assert "python" in [language for language, _ in blocks]
    session, printed = {}, ""
    for language, code in blocks:
        if language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as output:
                exec(compile(code, page, "exec"), session)
            printed = output.getvalue()
        elif language == "shell":
            run_shell(code)
        elif language == "text":
            assert printed == code
