"""Studies on engines: the same findings on each, whoever is killed, and a reproduction on a Slurm cluster."""

import csv
import json
import pickle
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from command_line import run, stand_in_for_slurm
from scattermec.engines import slurm
from scattermec.errors import ComputationError, InputError
from scattermec.experiments import reproduce
from scattermec.experiments.studies.items import Items
from scattermec.experiments.studies.record import Record
from study_work import Others, Squares

STUDIES = (Squares((3, 1, 2)), Others((5, 4)))


def compute(engine, folder):
    """Compute what is missing; returns the frames done and the total, as they were reported."""
    items, told = Items(STUDIES, folder), []
    items.open()
    reproduce._compute(items, Record.open(folder), engine, lambda *now: told.append(now))
    return told


def files(folder):
    return {study.name: (folder / f"{study.name}.json").read_bytes() for study in STUDIES}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Each study by itself."""
    folder = tmp_path_factory.mktemp("studies")
    for study in STUDIES:
        study.run(folder, Record(folder), lambda done: None)
    return files(folder)


def backwards(items, numbers, report):
    """An engine that keeps no order, and computes elsewhere."""
    elsewhere = pickle.loads(pickle.dumps(items))
    for number in reversed(numbers):
        items.keep(number, elsewhere.compute(number))
        report(number)


def in_jobs(items, numbers, report):
    """What the jobs of an array do."""
    items.hand_out(numbers)
    for index in range(2):
        own = Items(STUDIES, items.folder)
        handed_out = own.handed_out()
        share = [handed_out[place] for place in slurm.share(index, 2, len(handed_out))]
        slurm.run(own, share, lambda number: None)
    for number in numbers:
        report(number)


def killed(items, numbers, report):
    """An engine whose driver is killed when four tasks are done, before it hears of the fourth."""
    for number in numbers[:4]:
        items.keep(number, items.compute(number))
        if number < 3:
            report(number)
    raise KeyboardInterrupt


@pytest.mark.parametrize("engine", [reproduce.IN_TURN, backwards, in_jobs])
def test_findings_are_those_of_the_studies_alone(engine, reference, tmp_path) -> None:
    told = compute(engine, tmp_path)
    assert files(tmp_path) == reference
    assert told[-1] == (150, 150)
    assert told == sorted(told)
    assert not (tmp_path / "parts").exists()
    assert set(Record.open(tmp_path).seconds) == {"squaring", "squaring others"}


@pytest.mark.parametrize("engine", [reproduce.IN_TURN, in_jobs])
def test_any_engine_goes_on_where_a_driver_was_killed(engine, reference, tmp_path) -> None:
    with pytest.raises(KeyboardInterrupt):
        compute(killed, tmp_path)
    assert json.loads((tmp_path / "squares.json").read_text())["found"] == {"3": 9, "1": 1, "2": 4}
    assert not (tmp_path / "others.json").exists()
    asked = []

    def recorded(items, numbers, report):
        asked.extend(numbers)
        engine(items, numbers, report)

    compute(recorded, tmp_path)
    assert asked == [4]
    assert files(tmp_path) == reference


def test_parts_take_turns() -> None:
    class Parity(Squares):
        def part(self, item: int) -> str:
            return "odd" if item % 2 else "even"

    items = Items([Parity((1, 3, 5, 2, 4)), Others((7, 8))], Path("unused"))
    assert items.in_turns(range(7)) == [0, 3, 5, 1, 4, 6, 2]
    assert items.in_turns([2, 1, 6]) == [2, 6, 1]


def test_files_of_other_settings_are_not_taken_for_findings(tmp_path) -> None:
    with pytest.raises(KeyboardInterrupt):
        compute(killed, tmp_path)
    others = Items([Others((5, 6))], tmp_path)
    others.open()
    assert others.left() == [0, 1]
    others.hand_out([1])
    with pytest.raises(InputError, match=r"left\.json: is of an array with other settings"):
        Items(STUDIES, tmp_path).handed_out()
    others.discard()
    with pytest.raises(InputError, match=r"left\.json: is missing"):
        others.handed_out()


def test_an_array_that_leaves_tasks_is_said_to(tmp_path, monkeypatch) -> None:
    settings = ["scattermec"], tmp_path, slurm.Settings(), 3
    monkeypatch.setattr(slurm, "submit", lambda *a, wait: (tmp_path / "array.sbatch", "7"))
    slurm.complete(*settings, lambda: 0)
    with pytest.raises(ComputationError, match="2 of 3 tasks of job 7 are left"):
        slurm.complete(*settings, lambda: 2)


TOY = ("num_antennas=2", "user_positions=[[3,3]]", "arrivals=constant", "local_rate=100")
REPRODUCE = (
    *("reproduce", "--figures", "3a", "--beams", "mrt", "--frames", "4", "--quick"),
    *(word for setting in TOY for word in ("--set", setting)),
)


def test_slurm_reproduces_the_same_digits_though_a_job_is_killed(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    # What is drawn from a folder is tested elsewhere.
    drawn = SimpleNamespace(contents=SimpleNamespace(measurements=[], findings=[]), files=())
    monkeypatch.setattr(reproduce, "redraw", lambda folder: drawn)
    stand_in_for_slurm(tmp_path, monkeypatch, kept="sweeps-0000-*.json")
    done = run(*REPRODUCE, "--out", "slurm", "--engine", "slurm", "--jobs", 1)
    assert "7 points computed" in done.stdout
    # So few frames are never divided among the threads of this process.
    run(*REPRODUCE, "--out", "local", "--processes", 1)
    tables = [(tmp_path / name / "data.csv").read_bytes() for name in ("slurm", "local")]
    assert tables[0] == tables[1]
    rows = list(csv.DictReader(tables[0].decode().splitlines()))
    assert {row["beams"] for row in rows} == {"mrt"}
    assert not (tmp_path / "slurm" / "parts").exists()


@pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra ray")
def test_ray_reproduces_the_same_digits(tmp_path) -> None:
    engines = {"ray": ("--engine", "ray", "--processes", "2"), "local": ("--processes", "1")}
    for name, options in engines.items():
        command = [sys.executable, "-m", "scattermec", *REPRODUCE, "--out", name, *options]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    tables = [(tmp_path / name / "data.csv").read_bytes() for name in engines]
    assert tables[0] == tables[1]
    assert not (tmp_path / "ray" / "parts").exists()
