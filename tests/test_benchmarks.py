"""The benchmarks run, save what they promise, and find that the peers agree. Nothing here is timed."""

import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from benchmarks import frames as workload
from benchmarks import gpu, jaxmarl_ippo, startup, trainers
from benchmarks.machine import describe, versions
from benchmarks.pendulum import STEPS, Pendulum
from benchmarks.results import Results

from scattermec.optimisation import compiled
from scattermec.physics import parameters_of

ROOT = Path(__file__).parent.parent


def run(*options: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *options]
    whole = os.environ | (environment or {})
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=whole)


def test_quickest_allocation_benchmark(tmp_path):
    saved, page = tmp_path / "new" / "numbers.json", tmp_path / "new" / "numbers.md"
    settings = ["--quick", "--only", "allocation", "--users", "3", "--batches", "16", "--seconds", "0.01"]
    done = run(*settings, "--docs", str(page))
    assert done.returncode == 0, done.stderr
    numbers = json.loads(saved.read_text())["allocation"]
    assert numbers["about"]["finished"]
    assert numbers["about"]["command"].startswith("python -m benchmarks --quick")
    assert numbers["about"]["machine"]["processor"]
    assert {"scattermec", "jax", "clarabel", "cvxpy"} <= set(numbers["about"]["versions"])

    (case,) = numbers["tables"]
    assert (case["users"], case["antennas"], case["frames"]) == (3, 3, 32)
    assert 0 < case["infeasible_share"] < 0.5
    rows = {row["solver"]: row for row in case["rows"]}
    assert {"scattermec", "Clarabel", "CVXPY"} <= set(rows)
    assert ("moreau" in rows) != ("moreau" in case["skipped"])
    ours = rows.pop("scattermec")
    assert ours["undecided"] == 0
    assert set(ours["ratio_to"]) == set(rows)
    for row in rows.values():
        assert row["frames_per_second"] > 0
        assert row["compared_frames"] >= 20
        assert row["worst_energy_difference"] < 1e-6
        assert row["verdicts_that_differ"] == 0

    for text in (done.stdout, page.read_text()):
        assert "Clarabel" in text
        assert "P1, allocation for given beams" in text
        assert "N = 3, M = 3, 32 frames" in text


def test_a_run_replaces_its_own_section_alone(tmp_path):
    page, numbers = tmp_path / "page.md", tmp_path / "page.json"
    shutil.copy(ROOT / "docs" / "benchmarks.json", numbers)
    before = json.loads(numbers.read_text())
    # No GPU is visible to JAX, wherever this runs.
    done = run("--only", "gpu", "--docs", str(page), environment={"JAX_PLATFORMS": "cpu"})
    assert done.returncode == 0, done.stderr
    assert "no GPU here" in done.stdout
    after = json.loads(numbers.read_text())
    assert after.pop("gpu")["about"]["command"] == f"python -m benchmarks --only gpu --docs {page}"
    before.pop("gpu", None)
    assert after == before
    # Each section of the page says what it is of, in the line below its title.
    sections = dict(part.split("\n\n", 1) for part in page.read_text().split("\n## ")[1:])
    assert [title.split(",")[0] for title in sections] == [
        *(["P1"] * sum(name.partition(",")[0] == "allocation" for name in after)),
        *(["P2"] * sum(name.partition(",")[0] == "beams" for name in after)),
        "Learning: speed",
        "Learning: DDPG on Pendulum-v1",
        "Trainers of others",
        *(["Trainers of others with a denser reward"] if "rewards" in after else []),
        "Commands that have little to do",
        "Sweeps",
        "price-net on devices",
        "P1 and P2 on a GPU",
        *(["Seeds side by side on a GPU"] if "seeds" in after else []),
    ]
    in_order = {name: section for name, section in after.items() if name != "seeds"} | {"gpu": {}} | after
    for (name, section), text in zip(in_order.items(), sections.values(), strict=True):
        origin = text.split("\n", 1)[0]
        if name == "gpu":
            assert origin.startswith("`python -m benchmarks --only gpu")
        else:
            about = section["about"]
            known = (about["command"], about["versions"]["commit"], about["started"][:10])
            assert all(fact in origin for fact in (*known, about["machine"]["processor"]))


def test_numbers_of_another_machine_are_added(tmp_path):
    other, page = tmp_path / "other.json", tmp_path / "page.md"
    sections = json.loads((ROOT / "docs" / "benchmarks.json").read_text())
    other.write_text(json.dumps({"beams": sections["beams"]}))
    (tmp_path / "page.json").write_text(json.dumps({"allocation": sections["allocation"]}))
    done = run("--add", str(other), "--docs", str(page))
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "page.json").read_text()) == {
        name: sections[name] for name in ("allocation", "beams")
    }


def test_numbers_of_another_machine_stand_beside_ours(tmp_path):
    other, page = tmp_path / "other.json", tmp_path / "page.md"
    sections = json.loads((ROOT / "docs" / "benchmarks.json").read_text())
    ours = {name: sections[name] for name in ("allocation", "beams")}
    (tmp_path / "page.json").write_text(json.dumps(ours))
    other.write_text(json.dumps({"allocation": sections["allocation"]}))
    for _ in range(2):  # once more, it replaces itself
        done = run("--add", str(other), "--label", "AVX-512", "--docs", str(page))
        assert done.returncode == 0, done.stderr
    numbers = json.loads((tmp_path / "page.json").read_text())
    assert list(numbers) == ["allocation", "allocation, AVX-512", "beams"]
    assert numbers == ours | {"allocation, AVX-512": sections["allocation"]}
    assert [line for line in page.read_text().splitlines() if line.startswith("## ")] == [
        "## P1, allocation for given beams",
        "## P1, allocation for given beams, AVX-512",
        "## P2, beams and allocation",
    ]


def test_page_of_the_docs_is_that_of_its_numbers():
    results = Results(ROOT / "docs" / "benchmarks.json", {})
    assert results.page() == (ROOT / "docs" / "benchmarks.md").read_text()


def test_batches_on_a_device_beside_one_core(tmp_path):
    about = {"command": "x", "machine": describe(None), "versions": versions("abc")}
    results = Results(tmp_path / "numbers.json", about)
    section = results.start("gpu")
    # Any device will do to see that the table is right.
    device = jax.devices("cpu")[0]
    gpu.compare_gpu(section, device, [20, 40], 30, 0.01, lambda text: None, problems=["P1"])
    results.finish(section)
    (table,) = json.loads((tmp_path / "numbers.json").read_text())["gpu"]["tables"]
    assert [(row["problem"], row["frames"], row["call"]) for row in table["rows"]] == [
        ("P1", 20, 20),
        ("P1, in blocks", 20, 20),
        ("P1", 40, 40),
        ("P1, in blocks", 40, 40),
    ]
    for row in table["rows"]:
        assert row["ratio"] == row["gpu_rate"] / row["cpu_rate"]
        assert row["compared_frames"] >= 0.5 * min(row["frames"], 30)
        assert row["worst_energy_difference"] < 2e-8  # both are within 1e-8 of the optimum
        assert row["verdicts_that_differ"] == row["undecided"] == 0
    assert "commit abc" in results.page()
    assert Results(tmp_path / "numbers.json", {}).page() == results.page()


def test_what_does_not_fit_the_memory_is_solved_in_several_calls():
    sizes = []

    def solve(factor, numbers):
        if len(numbers) > 10:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
        sizes.append(len(numbers))
        return factor * numbers

    timing, call = gpu._measure(solve, (2.0, jnp.arange(1000.0)), 1000, 0.0)
    assert call == 10
    assert set(sizes) == {10}
    np.testing.assert_array_equal(np.concatenate(timing.results), 2 * np.arange(1000.0))


@pytest.mark.parametrize("problem", ["P1", "P2"])
def test_gpu_programs_do_without_the_kernel(problem, monkeypatch):
    """Lowered for a GPU, none of which is needed for that, they call nothing that exists on a CPU alone."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    parameters = parameters_of(workload.scenario(3, 3))
    frames, beams = workload.draw(parameters, 2)
    data = (parameters, frames, beams) if problem == "P1" else (parameters, frames)
    traced = gpu.SOLVERS[problem][0].trace(*data)
    assert "scattermec_" not in traced.lower(lowering_platforms=("cuda",)).as_text()
    assert ("scattermec_" in traced.lower(lowering_platforms=("cpu",)).as_text()) == compiled.available()


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--users", "0"], "0 is not at least 1"),
        (["--seconds", "-1"], "-1 is not a time"),
        (["--core", "100000"], "--core: 100000 is not one of"),
        (["--add", "README.md"], "README.md: is not a file of benchmarks"),
    ],
)
def test_faults_are_named(options, fault):
    done = run(*options)
    assert done.returncode == 2
    assert fault in done.stderr


def test_pendulum_is_gymnasiums():
    theirs, ours = gymnasium.make("Pendulum-v1"), Pendulum()
    step, observe = jax.jit(ours.step), jax.jit(ours.observe)
    random = np.random.default_rng(0)
    for seed in range(2):
        seen, _ = theirs.reset(seed=seed)
        state = ours.start(*jnp.asarray(theirs.unwrapped.state))
        np.testing.assert_allclose(observe(state), seen, atol=1e-6)
        for time in range(STEPS):
            # Random pushes, then such as keep it at its greatest speed.
            action = random.uniform(0, 1, 1) if time < STEPS // 2 else np.ones(1)
            seen, reward, terminated, truncated, _ = theirs.step(4 * action - 2)
            result = step(jax.random.key(time), state, jnp.asarray(action))
            np.testing.assert_allclose(result.observation, seen, atol=1e-5)
            np.testing.assert_allclose(result.reward, reward, rtol=1e-6, atol=1e-6)
            assert not terminated
            assert not result.terminated
            state = result.state
            assert truncated == (time == STEPS - 1) == (state.steps == 0)
    starts = jax.vmap(ours.reset)(jax.random.split(jax.random.key(0), 1000))
    assert 3 < jnp.max(jnp.abs(starts.angle)) <= jnp.pi
    assert 0.95 < jnp.max(jnp.abs(starts.speed)) <= 1


def test_startup_is_measured_in_processes_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    about = {"command": "x", "machine": describe(None), "versions": versions()}
    results = Results(tmp_path / "numbers.json", about)
    section = results.start("startup")
    commands = (("--help",), ("solve", startup.FRAMES_FILE, "--out", "solution.npz"))
    startup.compare_startup(section, None, quick=True, tell=lambda text: None, commands=commands)
    results.finish(section)
    told, solved = json.loads((tmp_path / "numbers.json").read_text())["startup"]["tables"][0]["rows"]
    assert (told["command"], solved["command"][:7]) == ("`--help`", "`solve ")
    assert all(0 < row[name] < 600 for row in (told, solved) for name in ("cold", "warm", "warm_elapsed"))
    assert "| `--help` | " in results.page()
    with pytest.raises(RuntimeError, match="no-such-command"):
        startup.compare_startup(section, None, quick=True, tell=print, commands=[("no-such-command",)])


class Trained:
    """A worker that answers at once: a trainer on the AP alone does as well as its seed is large."""

    def __init__(self, module, setup, *, python):
        if "SAC" in setup["trainer"]:
            raise trainers.Unavailable("not here")
        self.setup = setup

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def answer(self):
        pass

    def ask(self, *, seed, frames, evaluated):
        return {"of_optimum": 0.5 + 0.1 * seed, "outage": 0.25, "seconds": float(frames)}


def test_trainers_of_others_are_put_beside_ours(tmp_path, monkeypatch):
    ours = {"who": "ours", "acts": "the AP", "mean": 0.9, "low": 0.8, "high": 1.0, "outage": 0, "seconds": 1}
    monkeypatch.setattr(trainers, "_ours", lambda *arguments: dict(ours))
    monkeypatch.setattr(trainers, "_rate", lambda name, mode, copies, quick: 50 if mode == "sync" else 500)
    monkeypatch.setattr(trainers, "peer_python", lambda *arguments, **more: "python")
    monkeypatch.setattr(trainers, "Worker", Trained)
    about = {"command": "x", "machine": describe(None), "versions": versions()}
    results = Results(tmp_path / "numbers.json", about)
    section = results.start("trainers")
    trainers.compare_environments(section, quick=True, tell=lambda text: None)
    trainers.compare_learners(section, 10, 3, quick=True, tell=lambda text: None)
    results.finish(section)
    speed, shares = json.loads((tmp_path / "numbers.json").read_text())["trainers"]["tables"]
    assert [row["ratio"] for row in speed["rows"]] == [10, 10]
    each = "the AP and the users, each for itself"
    assert shares["remarks"] == [
        "Stable-Baselines3 SAC, the AP: not measured, not here",
        f"JaxMARL IPPO, {each}: not measured, its script is not given: --jaxmarl-ippo FILE",
    ]
    assert [(row["who"], row["acts"]) for row in shares["rows"][-2:]] == [
        ("Stable-Baselines3 PPO", "the AP, and for the users"),
        ("BenchMARL MAPPO", "the AP and the users, each for itself"),
    ]
    theirs = shares["rows"][-1]
    assert theirs["mean"] == pytest.approx(0.6)
    assert theirs["shares"] == pytest.approx([0.5, 0.6, 0.7])
    assert "60.0% | " in results.page()

    # Single rows are put into the table that is there, and say where they are from.
    monkeypatch.setattr(jaxmarl_ippo, "check", lambda path: None)
    later = Results(tmp_path / "numbers.json", about | {"command": "python -m benchmarks --trainers"})
    section = later.resume("trainers")
    add = partial(trainers.compare_learners, section, quick=True, tell=lambda text: None)
    add(10, 3, script=tmp_path / "x.py", only=["JaxMARL IPPO"], source=later.source())
    added = json.loads((tmp_path / "numbers.json").read_text())["trainers"]
    assert added["about"]["command"] == "x"
    assert added["tables"][1]["rows"][:-1] == shares["rows"]
    assert added["tables"][1]["rows"][-1] == theirs | {"who": "JaxMARL IPPO", "acts": each}
    assert added["tables"][1]["remarks"][0] == shares["remarks"][0]
    assert "`python -m benchmarks --trainers`, commit " in added["tables"][1]["remarks"][1]
    with pytest.raises(ValueError, match="no table of 11 frames, 3 seeds to add to"):
        add(11, 3, only=["JaxMARL IPPO"])
    with pytest.raises(ValueError, match="'PPO' is not allowed; choose from rejax PPO, Stable"):
        add(10, 3, only=["PPO"])
    with pytest.raises(ValueError, match="has no section gpu"):
        later.resume("gpu")


def test_trainers_are_paid_in_two_ways(tmp_path, monkeypatch):
    monkeypatch.setattr(trainers, "peer_python", lambda *arguments, **more: "python")
    monkeypatch.setattr(trainers, "Worker", Trained)
    about = {"command": "x", "machine": describe(None), "versions": versions()}
    results = Results(tmp_path / "numbers.json", about)
    section = results.start("rewards")
    trainers.compare_rewards(section, 10, 2, quick=True, tell=lambda text: None)
    results.finish(section)
    (sheet,) = json.loads((tmp_path / "numbers.json").read_text())["rewards"]["tables"]
    assert [row["reward"] for row in sheet["rows"]] == ["`efficiency`", "`partial`"] * len(trainers.REWARDED)
    assert {row["mean"] for row in sheet["rows"]} == {0.55}
    assert "| rejax PPO | state the allocation | `partial` | 55.0% | " in results.page()


def test_no_other_script_than_jaxmarls_own_is_run(tmp_path):
    script = tmp_path / "ippo_ff_mabrax.py"
    with pytest.raises(trainers.Unavailable, match=r"ippo_ff_mabrax.py.* is not there; download https://raw"):
        jaxmarl_ippo.check(script)
    script.write_text("print('something else')")
    with pytest.raises(trainers.Unavailable, match=r"SHA-256 .* it must be dfd6f633"):
        jaxmarl_ippo.script(script)
    page = (ROOT / "docs" / "how-to" / "trainers.md").read_text()
    assert f'curl -LO {jaxmarl_ippo.URL}\necho "{jaxmarl_ippo.SHA256}  ippo_ff_mabrax.py"' in page
