"""Results in files for other programs, read back by those or by parsers of their own."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from scipy.io import loadmat

from command_line import refused
from scattermec.cli import output
from scattermec.experiments.measure.table import Table
from scattermec.storage import ArrayWriter, InputError

HOSTILE = r"50% & $x_1$ #2 {a} ~b ^c \d <e> |f| [g] *h ≤ ≥ ✓ ✗ ◐"
TABLES = [
    Table(
        "A % title\nin lines",
        "",
        ("", "mean_x", r"a\|b"),
        (("[0, 1]", "1", "`name_x`"), ("*", "two\n[lines]", HOSTILE)),
    ),
    Table("No headings", "", ("", ""), (("a", "1"),)),
]


def written(tmp_path):
    path = tmp_path / "out.tex"
    output.Report(data={}, tables=TABLES, notes=["10% more"]).put_out(as_json=True, out=path)
    return path.read_text()


def test_latex_is_a_tabular_per_table(tmp_path):
    text = written(tmp_path)
    code = re.sub(r"(?<!\\)%.*", "", text)  # without comments
    tabulars = re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", code, re.DOTALL)
    assert [columns for columns, _ in tabulars] == ["lrr", "lr"]
    for table, (columns, body) in zip(TABLES, tabulars, strict=True):
        lines = [
            line for line in body.strip().splitlines() if not re.fullmatch(r"\\(top|mid|bottom)rule", line)
        ]
        assert len(lines) == len(table.rows) + any(table.columns)
        assert all(line.endswith(r"\\") for line in lines)
        assert all(len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1 for line in lines)
        assert body.count("{") == body.count("}")
    assert r"mean\_x & a\textbar{}b" in text
    assert r"\texttt{name\_x}" in text
    assert r"\shortstack[l]{two \\ {[}lines]}" in text
    assert r"50\% \& \$x\_1\$ \#2 \{a\} \textasciitilde{}b \textasciicircum{}c \textbackslash{}d" in text
    assert "% A % title in lines\n" in text
    assert text.endswith("\n% 10% more\n")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex")
def test_latex_compiles(tmp_path):
    written(tmp_path)
    document = r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{out.tex}\end{document}"
    (tmp_path / "page.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_files_for_matlab_hold_what_those_for_numpy_hold(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "energy": rng.normal(size=7),
        "beams": rng.normal(size=(7, 3, 2)) + 1j * rng.normal(size=(7, 3, 2)),
        "served": rng.uniform(size=(7, 3)) < 0.5,
        "status": np.arange(7, dtype="i1"),
    }
    rows = {name: (array.shape[1:], array.dtype) for name, array in arrays.items()}
    path = tmp_path / "out.mat"
    with ArrayWriter(path, 7, rows, {"scenario": "a: 1  # µ\nb: 2\n"}) as writer:
        for part in (slice(0, 4), slice(4, 7)):
            writer.append({name: array[part] for name, array in arrays.items()})
    assert list(tmp_path.iterdir()) == [path]
    found = loadmat(path)
    for name, array in arrays.items():
        # MATLAB has no vectors, and scipy reads its logical arrays as integers.
        np.testing.assert_array_equal(found[name], array[:, None] if array.ndim == 1 else array)
    assert found["beams"].dtype == complex
    assert found["scenario"].item() == "a: 1  # µ\nb: 2\n"


def test_what_a_file_for_matlab_cannot_hold_is_refused_first(tmp_path):
    rows = {"beams": ((2, 4), np.dtype("c16"))}
    most = (2**32 - 2**20) // 128
    ArrayWriter(tmp_path / "out.mat", most, rows, {})
    with pytest.raises(
        InputError, match=r"out.mat: cannot hold an array of [\d,]+ bytes.*end the name in .npz"
    ):
        ArrayWriter(tmp_path / "out.mat", most + 1, rows, {})
    assert not list(tmp_path.iterdir())


def test_other_endings_are_refused(tmp_path):
    path = tmp_path / "out.xlsx"
    assert refused("simulate", "--out", path) == [f"{path}: its name must end in .json, .csv, .md or .tex"]
