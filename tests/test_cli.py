"""The command line: help, scenarios, refusals, results for machines."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import yaml
from rich.console import Console

from command_line import refused, run
from scattermec._version import __version__
from scattermec.cli import output
from scattermec.cli.jobs import common
from scattermec.experiments.measure.table import Table
from scattermec.scenario import Scenario

# A parent in the background may ignore the interrupt, and its children would inherit that.
HEEDING = """import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("scattermec", run_name="__main__")"""


def start(*arguments, python=("-m", "scattermec"), **kwargs):
    command = [sys.executable, *python, *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, **kwargs)


def test_version_and_help():
    assert run("--version").stdout == f"scattermec {__version__}\n"
    text = run("--help").stdout
    for command in ("scenario", "simulate", "solve", "reproduce"):
        assert command in text
        page = run(command, "--help").stdout
        assert "Examples" in page
        for option in ("--scenario", "--set", "--json"):
            assert option in re.sub(r"\x1b\[[0-9;]*m", "", page)


def test_choices_are_those_of_the_package():
    from scattermec.cli import ap, reproduce, simulate, solve
    from scattermec.experiments.measure.beams import BEAMS, SimulatedBeams
    from scattermec.experiments.measure.sweeps import FIGURES
    from scattermec.experiments.report.captions import LEARNING_FIGURES
    from scattermec.online import wire
    from scattermec.optimisation import SCHEMES, SERVE
    from scattermec.price_net.modes import MODES

    def allowed(command, option):
        """What an option may be, but for None."""
        hint = get_type_hints(command)[option]
        return get_args(hint if get_origin(hint) is Literal else get_args(hint)[0])

    assert allowed(simulate.simulate, "scheme") == allowed(solve.solve, "scheme") == SCHEMES
    assert allowed(simulate.simulate, "beams") == get_args(SimulatedBeams)
    assert set(allowed(simulate.simulate_policy, "mode")) == set(MODES)
    assert allowed(ap.ap, "form") == get_args(wire.Form)
    assert reproduce.KINDS == BEAMS
    assert set(allowed(solve.solve, "serve")) < set(SERVE)
    others = ("frame", "learned", "named", "ranges", "knowledge")
    assert tuple(reproduce.FIGURES.split(",")) == (*LEARNING_FIGURES, *FIGURES, *others)
    assert set(reproduce.BEAMS.split(",")) <= set(BEAMS)


def test_module_answers_without_jax():
    code = """import sys
from scattermec.cli import app
for name in app.COMMANDS:
    app.Command(name).imported
assert 'jax' not in sys.modules, 'slow to start'"""
    subprocess.run([sys.executable, "-c", code], check=True)
    process = start("scenario", "--set", "ap_power=2")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert Scenario.from_yaml(out) == Scenario(ap_power=2)


def test_module_refuses_on_standard_error_with_status_2():
    process = start("scenario", "--set", "ap_power=-1", "--set", "colour=red")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert out == ""
    assert err.splitlines() == [
        "ap_power: -1 is not allowed; it must be > 0 (W)",
        "colour: unknown; no constant has a name like it",
    ]


def test_scenario_is_printed_as_commented_yaml_and_as_json():
    assert run("scenario").stdout == Scenario().to_yaml()
    scenario = Scenario(user_positions=((1, 2), (3, 4)), idle_power=0.5)
    arguments = ["scenario", "--set", "user_positions=[[1, 2], [3, 4]]", "--set", "idle_power=0.5"]
    text = run(*arguments, "--json").stdout
    assert json.loads(text)["idle_power"] == 0.5
    assert Scenario.from_yaml(text) == Scenario.from_yaml(run(*arguments).stdout) == scenario


def test_settings_change_the_file(tmp_path):
    path = tmp_path / "scenario.yaml"
    Scenario(num_antennas=5, ap_power=3).save(path)
    text = run("scenario", "--scenario", path, "--set", "ap_power=2").stdout
    assert Scenario.from_yaml(text) == Scenario(num_antennas=5, ap_power=2)


@pytest.mark.parametrize(
    "arguments",
    [
        ("scenario",),
        ("simulate",),
        ("solve", "missing.npz", "--out", "out.npz"),
        ("reproduce", "--out", "folder"),
    ],
)
def test_every_command_refuses_a_wrong_scenario_first(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "wrong.yaml"
    path.write_text("ap_power: -1\nbandwith: 3\nuser_positions: [[0, 0]]\n")
    faults = refused(*arguments, "--scenario", path)
    assert len(faults) == 3
    assert f"{path}: bandwith: unknown; did you mean bandwidth?" in faults
    (fault,) = refused(*arguments, "--scenario", "nowhere.yaml")
    assert fault == "nowhere.yaml: cannot be read: No such file or directory"
    assert os.listdir(tmp_path) == ["wrong.yaml"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("simulate", "--scheme", "both"),
        ("simulate", "--beams", "wide"),
        ("solve", "frames.npz", "--out", "out.npz", "--beams", "random"),
        ("simulate", "--frames", "0"),
        ("simulate", "--seed", "-1"),
        ("solve", "frames.npz"),
        ("solve", "frames.npz", "--out", "out.npz", "--serve", "some"),
        ("simulat",),
        ("train", "price-net"),
        ("train-price-net", "--frames", "250"),
        ("simulate-policy", "price-net", "--beams", "mrt"),
        ("evaluate", "price-net", "--unseen", "2"),
        ("evaluate-unseen", "price-net-varied", "--set", "ap_power=2"),
    ],
)
def test_wrong_usage_has_status_2(arguments):
    assert "Usage" in run(*arguments, status=2).stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("simulate", "--beams", "optimal", "--out", "out.csv"),
        ("solve", "missing.npz", "--out", "out.npz", "--beams", "optimal"),
        ("reproduce", "--out", "folder", "--beams", "optimal", "--figures", "3a"),
        ("reproduce", "--out", "folder", "--beams", "mrt", "--figures", "3a,beams"),
        ("reproduce", "--out", "folder"),
    ],
)
def test_optimal_beams_with_a_curved_rectifier_are_refused_before_any_work(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    (fault,) = refused(*arguments, "--set", "harvest_model=sigmoidal")
    reason = "'sigmoidal' is not allowed with optimal beams"
    assert fault == f"harvest_model: {reason}; it must be 'linear', or choose other beams"
    assert os.listdir(tmp_path) == []


def test_slow_optimal_beams_are_announced(monkeypatch, capsys):
    from scattermec.optimisation import compiled

    for missing, wanted, told in ((True, True, True), (True, False, False), (False, True, False)):
        monkeypatch.setattr(compiled, "available", lambda missing=missing: not missing)
        common.warn_without_kernel(wanted)
        captured = capsys.readouterr()
        assert captured.out == ""
        assert bool(captured.err) == told


def test_results_for_machines_have_no_infinities():
    data = {"a": [1.0, float("inf")], "b": (float("nan"), 2), "c": {"d": -float("inf")}, "e": "text"}
    assert json.loads(output.to_json(data)) == {"a": [1, None], "b": [None, 2], "c": {"d": None}, "e": "text"}


def test_a_report_is_the_same_in_every_form(tmp_path, capsys):
    table = Table("What holds", "", ("", "of | all"), (("a|b", "1\n(0 to [2])"), (r"c\|d", "")))
    report = output.Report(
        data={"gap": float("inf")},
        tables=[table],
        values=iter([("name", "mean"), ("a,b", 0.1 + 0.2)]),
        heading="Above.",
        notes=["Below."],
    )
    report.put_out(as_json=False, out=tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == f'name,mean\n"a,b",{0.1 + 0.2}\n'
    printed = capsys.readouterr().out
    assert re.search(
        r"^Above\.\n\nWhat holds\b.*of \| all.*a\|b +1\b.*\(0 to \[2\]\).*Below\.$", printed, re.S | re.M
    )
    report.put_out(as_json=True, out=tmp_path / "out.md")
    assert json.loads(capsys.readouterr().out) == {"gap": None}
    lines = ["|  | of \\| all |", "|---|---:|", "| a\\|b | 1<br>(0 to [2]) |", "| c\\|d |  |"]
    written = "\n\n".join(["Above.", "### What holds", "\n".join(lines), "Below.\n"])
    assert (tmp_path / "out.md").read_text() == written


def test_verdicts_are_coloured_and_what_is_measured_is_dim(monkeypatch):
    table = Table("Claims", "", ("Claim", "mrt"), (("rises", "holds\nby 3"),))
    shown = io.StringIO()
    monkeypatch.setattr(
        output, "Console", lambda: Console(file=shown, force_terminal=True, color_system="standard")
    )
    output.Report(data={}, tables=[table], colours={"holds": "green"}).put_out(as_json=False)
    assert "\x1b[32mholds\x1b[0m" in shown.getvalue()
    assert "\x1b[2mby 3\x1b[0m" in shown.getvalue()


def test_simulate_refuses_places_that_cannot_be_written(tmp_path):
    path = tmp_path / "out.txt"
    assert refused("simulate", "--out", path) == [f"{path}: its name must end in .json, .csv, .md or .tex"]
    path = tmp_path / "nowhere" / "out.csv"
    expected = f"{path}: cannot be written: there is no folder {path.parent}"
    assert refused("simulate", "--out", path) == [expected]


def test_interrupted_work_ends_with_status_130_and_leaves_nothing(tmp_path):
    rng = np.random.default_rng(0)
    channels = rng.normal(size=(500_000, 3, 1)) * (1e-2 + 1e-2j)
    numbers = rng.uniform(0, 0.1, (500_000, 3))
    np.savez(tmp_path / "frames.npz", channels=channels, workload=numbers, battery=numbers)
    for _ in range(8):
        process = start("solve", "frames.npz", "--out", "solution.npz", python=("-c", HEEDING), cwd=tmp_path)
        deadline = time.monotonic() + 60
        while len(os.listdir(tmp_path)) == 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.5)  # now it compiles or solves
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        # Python itself drops an interrupt that comes while it runs a finaliser.
        if "Exception ignored" not in err:
            break
        (tmp_path / "solution.npz").unlink()
    assert (process.returncode, out, err) == (130, "", "")
    assert os.listdir(tmp_path) == ["frames.npz"]


def test_progress_appears_on_a_terminal_alone(monkeypatch, capsys):
    with output.progress("Working", quiet=False) as update:
        update(1, 2)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with output.progress("Working", quiet=True) as update:
        update(1, 2)
    assert capsys.readouterr() == ("", "")
    with output.progress("Working", quiet=False) as update:
        update(1000, 2000)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "1,000 of 2,000 frames" in captured.err


def test_printed_scenario_has_a_comment_for_every_constant():
    lines = [line for line in run("scenario").stdout.splitlines() if line and not line.startswith("#")]
    assert len(lines) == len(yaml.safe_load(run("scenario").stdout)) == len(Scenario.model_fields)
    assert all("  # " in line for line in lines)


def test_progress_is_drawn_on_a_terminal_before_anything_is_known(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with output.described_progress("Compiling", quiet=False) as update:
        update("Reward 7", 250, 500)
    assert "Reward 7" in terminal.getvalue()
    assert "250 of 500 frames" in terminal.getvalue()
