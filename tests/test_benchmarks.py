"""The benchmarks run, save what they promise, and find that the peers agree. Nothing here is timed."""

import json
import subprocess
import sys
from pathlib import Path

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from benchmarks.pendulum import STEPS, Pendulum

ROOT = Path(__file__).parent.parent


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_quickest_allocation_benchmark(tmp_path):
    saved, page = tmp_path / "new" / "numbers.json", tmp_path / "page.md"
    settings = ["--quick", "--only", "allocation", "--users", "3", "--batches", "16", "--seconds", "0.01"]
    done = run(*settings, "--json", str(saved), "--docs", str(page))
    assert done.returncode == 0, done.stderr
    numbers = json.loads(saved.read_text())
    assert numbers["finished"]
    assert numbers["command"].startswith("python -m benchmarks --quick")
    assert numbers["machine"]["processor"]
    assert {"scattermec", "jax", "clarabel", "cvxpy"} <= set(numbers["versions"])

    (case,) = numbers["cases"]
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
        assert "N = 3, M = 3, 32 frames" in text


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--users", "0"], "0 is not at least 1"),
        (["--seconds", "-1"], "-1 is not a time"),
        (["--core", "100000"], "--core: 100000 is not one of"),
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
